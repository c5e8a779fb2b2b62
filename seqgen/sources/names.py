"""What the names of texts stand for: files of a folder, a pipe, parallel files; which settings apply to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from seqgen.errors import ConfigError, TextError
from seqgen.sources import formats
from seqgen.sources.config import STDIN, Reading, is_path, name_of
from seqgen.sources.content import suffixes_of
from seqgen.sources.formats import pairs
from seqgen.sources.patterns import is_hidden, pattern_options, selects, suffix_counts, unselected_message

_FILE_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def reject_unused_settings(names: Sequence[str], reading: Reading) -> None:
    """Refuse settings that were given but apply to none of `names`.

    Raises:
        ConfigError: a setting does not apply.
        TextError: a directory cannot be read.
    """
    given = reading.model_fields_set
    decoding = [name for name in ("encoding", "errors") if getattr(reading, name) != Reading.model_fields[name].default]
    if decoding and not reading.is_raw and not any(is_path(name) or name == STDIN for name in names):
        raise ConfigError(f"{decoding[0]}: texts of the catalog are UTF-8, so this does not apply; leave it out")
    patterns = [name for name in ("glob", "exclude") if name in given]
    missing = any(is_path(name) and not os.path.lexists(name) for name in names)  # reading will raise the right error
    if patterns and not missing and not any(_is_folder(name) for name in names):
        raise ConfigError(
            f"{patterns[0]}: it selects files of a folder or an archive, and {name_of(names)} is neither; leave it out"
        )
    if (
        "documents" in given
        and reading.documents != "file"
        and not any(_is_plain(name, reading) for name in expand_names(names, reading))
    ):
        raise ConfigError(
            f"documents: it applies to plain text, and {name_of(names)} has documents of its format; leave it out"
        )
    if reading.has_pairs:
        _reject_unused_pair_fields(names, reading)
        return
    per_record = [name for name in ("field", "on_bad_line") if name in given and getattr(reading, name) is not None]
    if per_record and not any(_has_records(name, reading) for name in expand_names(names, reading)):
        suffixes = ", ".join(formats.RECORDS)
        raise ConfigError(
            f"{per_record[0]}: it applies to {suffixes}, and {name_of(names)} is read as plain text; leave it out, or "
            "rename the file to the suffix of its format"
        )


def _reject_unused_pair_fields(names: Sequence[str], reading: Reading) -> None:
    """Refuse fields of pairs where no text is JSON lines."""
    fields = [name for name in reading.pair_fields if name in reading.model_fields_set]
    if fields and not any(_may_be_json_lines(name) for name in expand_names(names, reading)):
        raise ConfigError(
            f"{fields[0]}: it applies to .jsonl and .ndjson, and {name_of(names)} is neither; leave it out"
        )


def _is_folder(name: str) -> bool:
    """Return whether a name is a directory or an archive, whose files are selected by patterns."""
    return is_path(name) and (_is_directory(name) or suffixes_of(name)[0] in formats.ARCHIVES)


def _has_records(name: str, reading: Reading) -> bool:
    """Return whether a text may have fields, by its name."""
    if name == STDIN:
        return reading.field is not None
    return is_path(name) and suffixes_of(name)[0] in {*formats.RECORDS, *formats.ARCHIVES}


def _may_be_json_lines(name: str) -> bool:
    """Return whether a text of pairs may be JSON lines, by its name."""
    return name == STDIN or (is_path(name) and suffixes_of(name)[0] in {".jsonl", ".ndjson", *formats.ARCHIVES})


def sides_are_lines(names: Iterable[str], reading: Reading) -> bool:
    """Return whether no side of the pairs of these texts has several lines, by their names: JSON lines may have some.

    The texts may be gone; the files of a folder are known by `glob`.
    """
    in_folders = any("json" in pattern for pattern in reading.glob)
    may_be_json = (name != STDIN and _may_be_json_lines(name) for name in names)
    return not (in_folders or reading.pair_fields or any(may_be_json))


def _is_plain(name: str, reading: Reading) -> bool:
    """Return whether a text may have plain text, by its name."""
    if name == STDIN:
        return reading.field is None
    return not is_path(name) or suffixes_of(name)[0] not in {*formats.RECORDS, *formats.BOOKS}


def are_parallel(names: Sequence[str], reading: Reading) -> bool:
    """Return whether texts are two files whose lines are the sources and the targets of pairs."""
    suffixes = {suffixes_of(name)[0] for name in names}
    return (
        reading.task == "translate"
        and len(names) == 2
        and all(map(is_path, names))
        and not any(map(_is_directory, names))
        and suffixes.isdisjoint({*formats.FORMATS, *pairs.READERS})
    )


def expand_names(names: Iterable[str], reading: Reading) -> Iterator[str]:
    """Yield `names`, each directory replaced by its selected files, sorted, without hidden ones.

    Raises:
        TextError: a directory has no selected file or cannot be read, or a name is empty.
    """
    for name in names:
        if not name:  # for pathlib this is the current folder
            raise TextError("a name is empty; name a file, a directory, - for stdin or corpus:NAME")
        if not is_path(name) or not _is_directory(name):
            yield name
            continue
        files = sorted(_files_in(name))
        selected = [file for file in files if selects(reading, file.relative_to(name))]
        if not selected:
            options = pattern_options(reading)
            raise TextError(f"{name} has no file that matches {options}; it has {_content_of(name, files)}")
        yield from map(str, selected)


def unselected_notices(names: Iterable[str], reading: Reading) -> list[str]:
    """Return a sentence for each directory of `names` with files that `glob` does not match."""
    messages = []
    for folder in names:
        if is_path(folder) and _is_directory(folder):
            with contextlib.suppress(TextError):  # a directory that cannot be read: `expand_names` raises that
                paths = [file.relative_to(folder) for file in _files_in(folder)]
                messages.append(unselected_message(folder, "file", paths, reading))
    return [message for message in messages if message is not None]


def is_read_once(name: str) -> bool:
    """Return whether a text can be read only once: stdin, a pipe, or a file descriptor from the shell."""
    return name == STDIN or name.startswith(_FILE_DESCRIPTORS) or _is_pipe(name)


def pipe_notice(names: Iterable[str]) -> str | None:
    """Return a sentence that the first pipe of `names` is read as soon as a program writes to it; None without one."""
    pipe = next(filter(_is_pipe, names), None)
    return pipe and f"reading from the pipe {pipe}: waiting for a program to write to it"


def _is_pipe(name: str) -> bool:
    try:
        return is_path(name) and Path(name).is_fifo()
    except (OSError, ValueError):  # opening it will raise the right error
        return False


def _is_directory(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # opening it will raise the right error
        return False


def _files_in(directory: str) -> Iterator[Path]:
    for folder, _, files in _walk(directory):
        yield from (path for name in files if not is_hidden(name) and (path := Path(folder, name)).is_file())


def _hidden_in(directory: str) -> Iterator[Path]:
    """Yield the hidden files and the hidden folders, whose files are not listed."""
    for folder, hidden, files in _walk(directory):
        yield from (Path(folder, name) for name in (*hidden, *filter(is_hidden, files)))


def _walk(directory: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder that is not hidden, the names of its hidden folders, and the names of its files."""

    def refuse(error: OSError) -> None:
        raise TextError(f"{error.filename} cannot be read: {error.strerror or error}") from error

    for folder, folders, files in os.walk(directory, onerror=refuse):
        hidden = list(filter(is_hidden, folders))
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield folder, hidden, files


def _content_of(directory: str, files: Iterable[Path]) -> str:
    """Return what a directory without selected files has."""
    if counts := suffix_counts(files):
        return counts
    hidden = sorted(_hidden_in(directory))
    if not hidden:
        return "no files"
    return f"only hidden files, which are read only if you name them: {name_of(map(str, hidden))}"

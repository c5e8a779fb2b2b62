"""What a user names -> documents, in bounded memory. No torch, no numpy.

    name        a file, a directory, - for stdin, corpus:NAME
    bytes       counted and hashed as they are read, decompressed where the name ends in .gz .bz2 .xz .zst
    documents   by the format that the name's suffix says (`seqgen.sources.formats`): one a file, a row, a line

`read_documents` is all of it in one call. A document is an iterator of chunks of text, none of which is longer than
`text.BLOCK` (but for a row or a line of JSON, which is read whole); it is to be gone through before the next one is
asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from seqgen.errors import ConfigError, TextError
from seqgen.sources import formats
from seqgen.sources.compression import decompressed
from seqgen.sources.config import CORPUS_PREFIX, STDIN, Reading, is_path, name_of
from seqgen.sources.content import Content, ReadIssues, bytes_as_characters, suffixes_of
from seqgen.sources.patterns import asked_for, is_hidden, selects, summary
from seqgen.sources.text import open_file
from seqgen.utils.text import plural, singular_or_plural

_PASSED_ON = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
Note = Callable[[str], None]
"""Is given what the user should know, a sentence each."""


def read_documents(
    names: Sequence[str], reading: Reading | None = None, note: Note = lambda _: None
) -> Iterator[Iterator[str]]:
    """The documents of all that is named, each an iterator of chunks to be gone through before the next.

    Args:
        names: files, directories, archives, `-` for stdin, `corpus:NAME`.
        reading: how their bytes become documents.
        note: is given what was replaced or skipped, a sentence a source.

    Raises:
        TextError: something cannot be read, or is not what it is said to be; the message has the place.
        ConfigError: there is no such encoding, or no such corpus; or a setting would change nothing for these.
    """
    reading = reading or Reading()
    reject_unused_settings(names, reading)
    for name in expand_names(names, reading):
        source = Source(name, reading)
        yield from source.documents()
        for message in issue_notices(source.name, source.issues, reading):
            note(message)


def load_documents(
    names: Sequence[str], reading: Reading | None = None, note: Note = lambda _: None
) -> tuple[str, ...]:
    """The documents of all that is named, in memory, those that hold anything.

    Raises:
        TextError, ConfigError: as of `read_documents`; and there is no text.
    """
    documents = tuple(filter(None, map("".join, read_documents(names, reading, note))))
    if not documents:
        raise TextError(f"{name_of(names)} is empty; give a text to work with")
    return documents


def issue_notices(name: str, issues: ReadIssues, reading: Reading) -> list[str]:
    """What to say of what was replaced, left out or skipped on the way, a sentence each."""
    messages = []
    if count := issues.ill_formed:
        done = "left out" if reading.errors == "ignore" else "read as U+FFFD"
        found, verb = plural(count, "stretch", "stretches"), singular_or_plural(count, "is", "are")
        messages.append(f"{name} has {found} of bytes that {verb} no {reading.encoding}, which {verb} {done}")
    if count := issues.skipped:
        lines = plural(count, "line, row or element", "lines, rows or elements")
        messages.append(
            f"{lines} of {name} {singular_or_plural(count, 'is', 'are')} skipped; the first: {issues.first_skipped}"
        )
    return messages


def reject_unused_settings(names: Sequence[str], reading: Reading) -> None:
    """Refuse settings that change nothing for any of `names`, whichever of them the reading was made with.

    Raises:
        ConfigError: one does.
        TextError: a directory cannot be read.
    """
    given = reading.model_fields_set
    decoding = [name for name in ("encoding", "errors") if getattr(reading, name) != Reading.model_fields[name].default]
    if decoding and not reading.is_raw and not any(is_path(name) or name == STDIN for name in names):
        raise ConfigError(f"{decoding[0]}: a text of the catalogue is UTF-8, so it would change nothing; leave it out")
    patterns = [name for name in ("glob", "exclude") if name in given]
    if patterns and not any(_is_folder(name) for name in names):
        raise ConfigError(
            f"{patterns[0]}: it selects files of a folder or an archive, and {name_of(names)} is neither; leave it out"
        )
    per_record = [name for name in ("field", "on_bad_line") if name in given and getattr(reading, name) is not None]
    if per_record and not any(_has_records(name, reading) for name in expand_names(names, reading)):
        suffixes = ", ".join(formats.RECORDS)
        raise ConfigError(
            f"{per_record[0]}: it counts for {suffixes}, and {name_of(names)} is read as plain text; leave it out, or "
            "give the file the suffix of what it is"
        )


def _is_folder(name: str) -> bool:
    """Whether files are chosen from what is named: a directory, or an archive."""
    return is_path(name) and (_is_directory(name) or suffixes_of(name)[0] in formats.ARCHIVES)


def _has_records(name: str, reading: Reading) -> bool:
    """Whether what is named has fields, as far as its name tells."""
    if name == STDIN:
        return reading.field is not None
    return is_path(name) and suffixes_of(name)[0] in {*formats.RECORDS, *formats.ARCHIVES}


def expand_names(names: Iterable[str], reading: Reading) -> Iterator[str]:
    """`names` with every directory as the files in it that `reading` selects, sorted, hidden ones left out.

    Raises:
        TextError: a directory has no such file, or cannot be read; or a name is empty.
    """
    for name in names:
        if not name:  # which pathlib takes for the folder that one is in
            raise TextError("the name of a text is empty; name a file, a directory, - for stdin or corpus:NAME")
        if not is_path(name) or not _is_directory(name):
            yield name
            continue
        found = sorted(_files_in(name))
        fitting = [file for file in found if selects(reading, file.relative_to(name))]
        if not fitting:
            raise TextError(f"{name} has no file that fits {asked_for(reading)}; it has {_summary(name, found)}")
        yield from map(str, fitting)


def is_read_once(name: str) -> bool:
    """Whether what is named is gone once it was read: stdin, a pipe, what a shell passed on by its number."""
    return name == STDIN or name.startswith(_PASSED_ON) or _is_pipe(name)


def pipe_notice(names: Iterable[str]) -> str | None:
    """What to say of the first pipe among `names`: whoever reads it waits until somebody writes; None without one."""
    pipe = next(filter(_is_pipe, names), None)
    return pipe and f"reading from {pipe}, which is no regular file: waiting for its writer"


def _is_pipe(name: str) -> bool:
    try:
        return is_path(name) and Path(name).is_fifo()
    except (OSError, ValueError):  # what is wrong with it, opening it will tell
        return False


def _is_directory(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # what is wrong with it, opening it will tell
        return False


def _files_in(directory: str) -> Iterator[Path]:
    for folder, _, files in _walk(directory):
        yield from (path for name in files if not is_hidden(name) and (path := Path(folder, name)).is_file())


def _hidden_in(directory: str) -> Iterator[Path]:
    """What is passed over: hidden files, and hidden folders, into which nothing looks."""
    for folder, hidden, files in _walk(directory):
        yield from (Path(folder, name) for name in (*hidden, *filter(is_hidden, files)))


def _walk(directory: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder that is not hidden, with the names of the hidden folders and of all files in it."""

    def refuse(error: OSError) -> None:
        raise TextError(f"{error.filename} cannot be read: {error.strerror or error}") from error

    for folder, folders, files in os.walk(directory, onerror=refuse):
        hidden = list(filter(is_hidden, folders))
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield folder, hidden, files


def _summary(directory: str, found: Iterable[Path]) -> str:
    """What a directory has, of which nothing fits."""
    if there := summary(found):
        return there
    hidden = sorted(_hidden_in(directory))
    if not hidden:
        return "no files at all"
    named = name_of(map(str, hidden))
    return f"nothing but hidden files, which are passed over unless they are named themselves: {named}"


class Source:
    """One file, stdin, or text of the catalogue; `size`, `sha256` and `issues` hold once its documents are read.

    Args:
        name: as `expand_names` gives it.
        reading: how its bytes become documents.
        watch: is told how many bytes were read, as they are.
    """

    def __init__(self, name: str, reading: Reading, watch: Callable[[int], None] = lambda _: None) -> None:
        self.name, self._reading, self._watch = name, reading, watch
        self._shown = "stdin" if name == STDIN else name
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes, as they are stored."""
        self.issues = ReadIssues()
        """What was replaced, left out or skipped."""
        self.place = name
        """Where the latest document stands, for messages."""
        self.member: str | None = None
        """Of an archive, the member that the latest document is from."""

    @property
    def sha256(self) -> str:
        """Of the bytes, as they are stored."""
        return self._digest.hexdigest()

    def documents(self) -> Iterator[Iterator[str]]:
        """The documents, in their order; each is to be gone through before the next."""
        if self.name.startswith(CORPUS_PREFIX):
            yield self._catalogued()
            return
        with contextlib.ExitStack() as stack:
            file, suffix, compression = self._open(stack)
            raw: BinaryIO | _Tapped = file
            if suffix in formats.IN_ANY_ORDER and file.seekable():
                self._hash(file)
                file.seek(0)
            else:
                raw = _Tapped(file, self._take)
            opened: BinaryIO | _Tapped = raw
            if compression:
                opened = stack.enter_context(decompressed(raw, compression, self.name))
            size = os.fstat(file.fileno()).st_size if suffix in formats.IN_ANY_ORDER else 0
            content = Content(self._shown, opened, suffix, self._reading, size, bool(compression), self.issues)
            for document in formats.read(content):
                self.place, self.member = document.place, document.member
                yield document.chunks
            if isinstance(raw, _Tapped):
                self._hash(raw)  # what a decompressor left: the hash is the whole file's

    def _catalogued(self) -> Iterator[str]:
        from seqgen.sources.catalog.corpus import read_chunks

        for chunk in read_chunks(self.name):
            self._take(chunk.encode())
            yield bytes_as_characters(chunk) if self._reading.is_raw else chunk

    def _open(self, stack: contextlib.ExitStack) -> tuple[BinaryIO, str, str]:
        """The file, the suffix of its format and that of its compression."""
        if self.name != STDIN:
            suffix, compression = suffixes_of(self.name)
            if self._reading.is_raw and suffix not in formats.ARCHIVES:
                suffix = ""
            return stack.enter_context(open_file(self.name)), suffix, compression
        if sys.stdin is None:
            raise TextError("stdin is closed; pipe a text into it, or name a file")
        return sys.stdin.buffer, ".jsonl" if self._reading.field is not None else "", ""

    def _hash(self, file: BinaryIO | _Tapped) -> None:
        """Read a file to its end; one that is not tapped is counted and hashed here."""
        for block in Content(self._shown, file, "", self._reading).blocks():
            if not isinstance(file, _Tapped):
                self._take(block)

    def _take(self, block: bytes) -> None:
        self.size += len(block)
        self._digest.update(block)
        self._watch(len(block))


class _Tapped(io.BufferedIOBase):
    """A file that tells what is read from it, on the way to its reader."""

    def __init__(self, file: BinaryIO, take: Callable[[bytes], None]) -> None:
        self._file, self._take = file, take

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._file.read(-1 if size is None else size)
        self._take(block)
        return block

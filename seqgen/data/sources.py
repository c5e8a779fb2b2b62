"""What a user names -> documents, in bounded memory. No torch, no numpy.

    name        a file, a directory, - for stdin, corpus:NAME
    bytes       counted and hashed as they are read, decompressed where the name ends in .gz .bz2 .xz .zst
    text        decoded a block at a time
    documents   one a file, or one a line where the name ends in .jsonl or .ndjson

`read_documents` is all of it in one call. A document is an iterator of chunks of text, none of which is longer than
`BLOCK` (but for a line of JSON, which is read whole); it is to be gone through before the next one is asked for.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import hashlib
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO

from seqgen.data.compression import DAMAGED, SUFFIXES, decompressed
from seqgen.data.config import PREFIX, STDIN, Reading, is_path, name_of
from seqgen.data.text import BLOCK, Decoder, open_file, without_halves
from seqgen.errors import TextError

DEFAULT_FIELD = "text"
_PASSED_ON = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_LINES = (".jsonl", ".ndjson")
_KINDS: dict[type, str] = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object"
}  # fmt: skip
"""What else a value of JSON may be, as JSON calls it; a bool is an int to Python, and so stands before it."""


def read_documents(names: Sequence[str], reading: Reading | None = None) -> Iterator[Iterator[str]]:
    """The documents of all that is named, each an iterator of chunks to be gone through before the next.

    Raises:
        TextError: something cannot be read, or is not what it is said to be; the message has the place.
        ConfigError: there is no such encoding, or no such corpus.
    """
    reading = reading or Reading()
    for name in expand(names, reading):
        yield from Source(name, reading).documents()


def read_whole(names: Sequence[str], reading: Reading | None = None) -> tuple[str, ...]:
    """The documents of all that is named, in memory, those that hold anything.

    Raises:
        TextError, ConfigError: as of `read_documents`; and there is no text.
    """
    documents = tuple(filter(None, map("".join, read_documents(names, reading))))
    if not documents:
        raise TextError(f"{name_of(names)} is empty; give a text to work with")
    return documents


def expand(names: Iterable[str], reading: Reading) -> Iterator[str]:
    """`names` with every directory as the files in it that fit `reading.glob`, sorted, hidden ones left out.

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
        fitting = [file for file in found if _fits(file.relative_to(name), reading.glob)]
        if not fitting:
            raise TextError(f"{name} has no file that fits --glob {reading.glob!r}; it has {_summary(name, found)}")
        yield from map(str, fitting)


def is_read_once(name: str) -> bool:
    """Whether what is named is gone once it was read: stdin, a pipe, what a shell passed on by its number."""
    return name == STDIN or name.startswith(_PASSED_ON) or _is_pipe(name)


def awaited(names: Iterable[str]) -> str | None:
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
        yield from (path for name in files if not _is_hidden(name) and (path := Path(folder, name)).is_file())


def _hidden_in(directory: str) -> Iterator[Path]:
    """What is passed over: hidden files, and hidden folders, into which nothing looks."""
    for folder, hidden, files in _walk(directory):
        yield from (Path(folder, name) for name in (*hidden, *filter(_is_hidden, files)))


def _walk(directory: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder that is not hidden, with the names of the hidden folders and of all files in it."""

    def refuse(error: OSError) -> None:
        raise TextError(f"{error.filename} cannot be read: {error.strerror or error}") from error

    for folder, folders, files in os.walk(directory, onerror=refuse):
        hidden = list(filter(_is_hidden, folders))
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield folder, hidden, files


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _summary(directory: str, found: Iterable[Path]) -> str:
    """What a directory has, of which nothing fits."""
    endings = Counter(file.suffix for file in found).most_common(3)
    if endings:
        return ", ".join(f"{count:,} *{suffix}" for suffix, count in endings)
    hidden = sorted(_hidden_in(directory))
    if not hidden:
        return "no files at all"
    named = name_of(map(str, hidden))
    return f"nothing but hidden files, which are passed over unless they are named themselves: {named}"


def _fits(path: PurePath, pattern: str) -> bool:
    """A name alone, or with a slash in the pattern the whole path; a suffix of compression counts for nothing."""
    shown = path.as_posix() if "/" in pattern else path.name
    plain = shown.removesuffix(path.suffix) if path.suffix in SUFFIXES else shown
    fits = _compiled(pattern).fullmatch
    return bool(fits(shown) or fits(plain))


@functools.lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    r"""As fnmatch has it, where a star reaches over slashes; and `**/` is any folders, or none."""
    pieces = re.split(r"(?:^|(?<=/))(?:\*\*/)+", pattern)
    # fnmatch ends each piece with the end of the text, by two characters, which only the last may mean.
    return re.compile("(?s:.*/)?".join(fnmatch.translate(piece)[:-2] for piece in pieces))


class Source:
    """One file, stdin, or text of the catalogue; `size`, `sha256` and `ill_formed` hold once its documents are read.

    Args:
        name: as `expand` gives it.
        reading: how its bytes become documents.
        watch: is told how many bytes were read, as they are.
    """

    def __init__(self, name: str, reading: Reading, watch: Callable[[int], None] = lambda _: None) -> None:
        self.name, self._reading, self._watch = name, reading, watch
        self._shown = "stdin" if name == STDIN else name
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes, as they are stored."""
        self.ill_formed = 0
        """How many stretches of bytes were no text, and were replaced or left out."""
        self.line: int | None = None
        """Of JSON lines, from 1, the one that the latest document stands on."""

    @property
    def sha256(self) -> str:
        """Of the bytes, as they are stored."""
        return self._digest.hexdigest()

    def documents(self) -> Iterator[Iterator[str]]:
        """The documents, in their order; each is to be gone through before the next."""
        plain = PurePath(self.name)
        if plain.suffix in SUFFIXES:
            plain = plain.with_suffix("")
        if self.name.startswith(PREFIX):
            yield self._catalogued()
        elif plain.suffix in _LINES or (self.name == STDIN and self._reading.field is not None):
            yield from self._lines()
        else:
            yield self._text()

    def _catalogued(self) -> Iterator[str]:
        from seqgen.data.catalogue import read_chunks

        for chunk in read_chunks(self.name):
            self._take(chunk.encode())
            yield chunk

    def _text(self) -> Iterator[str]:
        decoder = Decoder(self._reading.encoding, self._reading.errors, self._shown)
        for block in self._blocks():
            yield decoder.push(block)
        yield decoder.push(b"", final=True)
        self.ill_formed += decoder.ill_formed

    def _lines(self) -> Iterator[Iterator[str]]:
        field = self._reading.field or DEFAULT_FIELD
        for number, line in enumerate(_split_lines(self._text()), 1):
            if line.strip():
                self.line = number
                text = _field_of(line, field, f"{self._shown}, line {number:,}")
                text, halves = without_halves(text, self._reading.errors)
                self.ill_formed += halves
                yield iter([text])

    def _blocks(self) -> Iterator[bytes]:
        """The bytes, decompressed."""
        suffix = PurePath(self.name).suffix
        with contextlib.ExitStack() as stack:
            raw = _Tapped(self._open(stack), self._take)
            file: BinaryIO | _Tapped = raw
            if self.name != STDIN and suffix in SUFFIXES:
                file = stack.enter_context(decompressed(raw, suffix, self.name))
            while block := self._read(file, suffix):
                yield block
            while raw.read(BLOCK):  # what a decompressor left: the hash is the whole file's
                pass

    def _open(self, stack: contextlib.ExitStack) -> BinaryIO:
        if self.name != STDIN:
            return stack.enter_context(open_file(self.name))
        if sys.stdin is None:
            raise TextError("stdin is closed; pipe a text into it, or name a file")
        return sys.stdin.buffer

    def _read(self, file: BinaryIO | _Tapped, suffix: str) -> bytes:
        try:
            return file.read(BLOCK)
        except DAMAGED as error:
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            if suffix not in SUFFIXES:
                raise TextError(f"{self._shown} cannot be read: {reason}") from error
            raise TextError(f"{self.name} is damaged or cut short ({reason}); fetch or pack it anew") from error

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


def _split_lines(chunks: Iterable[str]) -> Iterator[str]:
    """The lines of a text, at newlines alone: JSON may hold the other line separators of Unicode."""
    held: list[str] = []
    for chunk in chunks:
        *lines, rest = chunk.split("\n")
        for line in lines:
            yield "".join([*held, line])
            held = []
        held.append(rest)
    yield "".join(held)


def _field_of(line: str, field: str, where: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{where} is no JSON ({error}); in a .jsonl file each line is one") from error
    if not isinstance(record, dict):
        raise TextError(f"{where} is no JSON object, so it has no field {field!r}")
    if field not in record:
        names = ", ".join(list(record)[:8]) or "none"
        raise TextError(
            f"{where} has no field {field!r}; say --field, of those that it has: {names}; or leave such lines out"
        )
    text = record[field]
    if not isinstance(text, str):
        kind = next(name for known, name in _KINDS.items() if isinstance(text, known))
        raise TextError(
            f"{where}: the field {field!r} is no text but {kind}; name one that is by --field, or leave such lines out"
        )
    return text

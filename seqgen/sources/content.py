"""What a format reads: the bytes of a file, or of a member of an archive, and how they become documents."""

from __future__ import annotations

import contextlib
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, NamedTuple, Protocol

from seqgen.errors import TextError
from seqgen.sources.compression import DAMAGED, SUFFIXES, decompressed
from seqgen.sources.config import Reading
from seqgen.sources.recognize import recognize
from seqgen.sources.text import CHUNK_BYTES, TextDecoder

DAMAGE: tuple[type[Exception], ...] = (*DAMAGED, zipfile.BadZipFile, tarfile.TarError)
"""What reading a file, or a member of an archive, may raise."""
_SHORT = {".tgz": (".tar", ".gz"), ".tbz2": (".tar", ".bz2"), ".txz": (".tar", ".xz"), ".tzst": (".tar", ".zst")}


class Readable(Protocol):
    """What is asked of a file."""

    def read(self, size: int, /) -> bytes: ...


class Document(NamedTuple):
    """A document: its text in chunks, to be gone through before the next one is asked for, and where it stands."""

    chunks: Iterator[str]
    place: str
    """For messages: `a.txt`, `the document on line 3 of a.jsonl`, `a.zip/b.txt`."""
    member: str | None = None
    """Of an archive, the member that it is from."""


@dataclass
class ReadIssues:
    """What was passed over on the way."""

    ill_formed: int = 0
    """How many stretches of bytes were no text, and were replaced or left out."""
    skipped: int = 0
    """How many lines, rows or items were left out by `on_bad_line`."""
    first_skipped: str | None = None
    """Why the first of them was."""


def suffixes_of(name: str) -> tuple[str, str]:
    """The suffix that names a file's format, and that of its compression, in small letters; empty where it has none."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if suffix in _SHORT:
        return _SHORT[suffix]
    if suffix in SUFFIXES:
        return path.with_suffix("").suffix.lower(), suffix
    return suffix, ""


@dataclass
class Content:
    """A file that is open, and how it is to be read."""

    name: str
    """As messages show it."""
    file: Readable
    """Its bytes, decompressed."""
    suffix: str
    """What names its format."""
    reading: Reading
    size: int = 0
    """Bytes as they are stored, where that is known."""
    packed: bool = False
    """Whether they come through a decompressor."""
    issues: ReadIssues = field(default_factory=ReadIssues)

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, up to `CHUNK_BYTES` at a time.

        Raises:
            TextError: they cannot be read, or are damaged.
        """
        while block := self._read():
            yield block

    def text(self) -> Iterator[str]:
        """Its bytes decoded, a block at a time.

        Raises:
            TextError: it is something else than text, or not in the encoding that it is said to be in.
        """
        decoder = TextDecoder(self.reading.encoding, self.reading.errors, self.name)
        first = True
        for block in self.blocks():
            if first and (found := recognize(block)) is not None:
                raise TextError(found.describe(self.name))
            first = False
            yield decoder.push(block)
        yield decoder.push(b"", final=True)
        self.issues.ill_formed += decoder.ill_formed

    def refuse(self, error: TextError) -> None:
        """Raise what is wrong with one line, row or item; or count it, where such are to be skipped."""
        if self.reading.on_bad_line != "skip":
            raise TextError(f"{error}; --on-bad-line skip leaves such lines out") from error
        self.issues.skipped += 1
        self.issues.first_skipped = self.issues.first_skipped or str(error)

    @contextlib.contextmanager
    def member(self, name: str, file: BinaryIO, size: int) -> Iterator[Content]:
        """A member of this archive, open, decompressed where its name says so."""
        suffix, compression = suffixes_of(name)
        place = f"{self.name}/{name}"
        with contextlib.ExitStack() as stack:
            if compression:
                file = stack.enter_context(decompressed(file, compression, place))
            yield Content(place, file, suffix, self.reading, size, packed=True, issues=self.issues)

    def _read(self) -> bytes:
        try:
            return self.file.read(CHUNK_BYTES)
        except DAMAGE as error:
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            if not self.packed:
                raise TextError(f"{self.name} cannot be read: {reason}") from error
            raise TextError(f"{self.name} is damaged or cut short ({reason}); fetch or pack it anew") from error


def bytes_as_characters(text: str) -> str:
    """The UTF-8 bytes of a text as `--encoding bytes` reads them: a character U+0000 to U+00FF for each."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")

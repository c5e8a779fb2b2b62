"""The content of an open file or archive member, which the formats read, and the documents that they return."""

from __future__ import annotations

import contextlib
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, NamedTuple, Protocol

from seqgen.errors import TextError
from seqgen.sources.compression import READ_ERRORS, SUFFIXES, decompressed
from seqgen.sources.config import Reading
from seqgen.sources.decoding import CHUNK_BYTES, TextDecoder
from seqgen.sources.recognize import recognize

ARCHIVE_ERRORS: tuple[type[Exception], ...] = (*READ_ERRORS, zipfile.BadZipFile, tarfile.TarError)
"""The exceptions that reading a damaged file or archive member may raise."""
_TAR_SUFFIXES = {".tgz": (".tar", ".gz"), ".tbz2": (".tar", ".bz2"), ".txz": (".tar", ".xz"), ".tzst": (".tar", ".zst")}


class Readable(Protocol):
    """A file as the formats use it."""

    def read(self, size: int, /) -> bytes: ...


class Document(NamedTuple):
    """A document: its text in chunks, to be read before the next document, and its place."""

    chunks: Iterator[str]
    place: str
    """For messages: `a.txt`, `the document on line 3 of a.jsonl`, `a.zip/b.txt`."""
    member: str | None = None
    """The archive member that it comes from."""
    end_bytes: int = 0
    """How many bytes end it in its file: a line end for a line, two for a paragraph."""


@dataclass
class ReadIssues:
    """What reading replaced or skipped."""

    ill_formed: int = 0
    """The number of byte sequences that are not valid in the encoding, and were replaced or left out."""
    skipped: int = 0
    """The number of lines, rows or array elements that `on_bad_line` skipped."""
    first_skipped: str | None = None
    """Why the first of them was skipped."""
    empty: int = 0
    """The number of blank lines between documents, and of empty documents: they are skipped."""
    unselected: str | None = None
    """Which members of an archive do not match `glob`."""


def suffixes_of(name: str) -> tuple[str, str]:
    """Return the suffix of the format and the suffix of the compression, in lower case; empty if missing."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if suffix in _TAR_SUFFIXES:
        return _TAR_SUFFIXES[suffix]
    if suffix in SUFFIXES:
        return path.with_suffix("").suffix.lower(), suffix
    return suffix, ""


@dataclass
class Content:
    """An open file, and how to read it."""

    name: str
    """The name that messages show."""
    file: Readable
    """The bytes, decompressed."""
    suffix: str
    """The suffix of the format."""
    reading: Reading
    size: int
    """The number of stored bytes read before; of an archive, all of them, which limit what it may expand to."""
    compressed: bool = False
    """Whether the bytes come from a decompressor or an archive."""
    issues: ReadIssues = field(default_factory=ReadIssues)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks of at most `CHUNK_BYTES`.

        Raises:
            TextError: the file cannot be read or is damaged.
        """
        while block := self._read():
            yield block

    def text(self) -> Iterator[str]:
        """Yield the decoded text in chunks.

        Raises:
            TextError: the file is not a text file, or is not valid in the encoding.
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
        """Raise the error of one line, row or element, or count it if those are skipped."""
        if self.reading.on_bad_line != "skip":
            raise TextError(f"{error}; to skip such lines, give --on-bad-line skip") from error
        self.issues.skipped += 1
        self.issues.first_skipped = self.issues.first_skipped or str(error)

    @contextlib.contextmanager
    def member(self, name: str, file: BinaryIO, size: int) -> Iterator[Content]:
        """Open a member of this archive, decompressed by its suffix."""
        suffix, compression = suffixes_of(name)
        place = f"{self.name}/{name}"
        with contextlib.ExitStack() as stack:
            if compression:
                file = stack.enter_context(decompressed(file, compression, place))
            yield Content(place, file, suffix, self.reading, size, compressed=True, issues=self.issues)

    def _read(self) -> bytes:
        try:
            return self.file.read(CHUNK_BYTES)
        except ARCHIVE_ERRORS as error:
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            if not self.compressed:
                raise TextError(f"{self.name} cannot be read: {reason}") from error
            raise TextError(f"{self.name} is damaged or cut short ({reason}); download or create it again") from error


def bytes_as_characters(text: str) -> str:
    """Return the UTF-8 bytes of a text as `--encoding bytes` reads them: a character U+0000 to U+00FF per byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")

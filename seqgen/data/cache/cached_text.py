"""A text in the cache: all documents as UTF-8, one after another, and where each begins. No torch.

    text.utf8       the text of the documents
    documents.i64   the byte offset of each document, and of the end: int64, little-endian
    manifest.json   counts, hashes, sources; written last, so a folder without it is incomplete

`write_text.py` writes it.
"""

from __future__ import annotations

import bisect
import codecs
import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from seqgen.config import Config, FileName
from seqgen.sources.content import ReadIssues
from seqgen.sources.decoding import CHUNK_BYTES
from seqgen.sources.lines import next_line_start
from seqgen.utils.files import hash_file, open_regular_file, read_at_most

Offsets: TypeAlias = npt.NDArray[np.int64]
OFFSET_DTYPE = np.dtype("<i8")

TEXT, DOCUMENTS, MANIFEST = "text.utf8", "documents.i64", "manifest.json"
MANIFEST_LIMIT_BYTES = 1 << 28
"""A manifest names every source, and 300 bytes of each of a million files are 300 MB."""
SHORT_DOCUMENT_BYTES = 1000
"""A document with fewer says little about how it was read."""


class SourceRecord(Config):
    """One source as it was read: its bytes, and what came of them."""

    name: FileName
    bytes: int
    sha256: str
    files: tuple[int, ...]
    """How many documents each file gave: several files where the source is an archive."""
    end_bytes: tuple[int, ...]
    """How many bytes ended each document of each file: 1 for lines, 2 for paragraphs, else 0."""
    empty: int
    """How many blank lines and empty documents were skipped."""
    ill_formed: int
    skipped: int
    first_skipped: str | None
    unselected: str | None

    @property
    def documents(self) -> int:
        """How many documents came of it."""
        return sum(self.files)


class TextManifest(Config):
    """What a cached text is. `sha256` is of its documents; of a single one, of its UTF-8."""

    sha256: str
    bytes: int
    characters: int
    documents: int
    sources: tuple[SourceRecord, ...]
    files: dict[str, str] = Field(default_factory=dict)
    """The SHA-256 of the other files."""
    landmarks: tuple[tuple[int, int], ...]
    """Byte and character offsets of the same places, a megabyte or so apart."""

    @property
    def has_ends(self) -> bool:
        """Whether its documents end by themselves: there are several, or they are lines or paragraphs."""
        return self.documents > 1 or self.end_bytes > 0

    @property
    def end_bytes(self) -> int:
        """How many bytes ended its documents in their files, which `bytes` and `characters` leave out."""
        return sum(
            files * size for source in self.sources for files, size in zip(source.files, source.end_bytes, strict=True)
        )

    @property
    def issues(self) -> ReadIssues:
        """What was replaced, left out or skipped in all sources."""
        reasons = (source.first_skipped for source in self.sources if source.first_skipped is not None)
        unselected = (source.unselected for source in self.sources if source.unselected is not None)
        return ReadIssues(
            ill_formed=sum(source.ill_formed for source in self.sources),
            skipped=sum(source.skipped for source in self.sources),
            first_skipped=next(reasons, None),
            empty=sum(source.empty for source in self.sources),
            unselected=next(unselected, None),
        )


class CachedText:
    """A text on disk. Only the offsets of its documents are in memory, mapped.

    Raises:
        OSError: it is missing or incomplete.
        ConfigError: its manifest is not valid.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_at_most(folder / MANIFEST, MANIFEST_LIMIT_BYTES)
        self.manifest = TextManifest.from_json(content, str(folder / MANIFEST))
        with open_regular_file(folder / DOCUMENTS) as file:
            self.documents: Offsets = np.memmap(file, dtype=OFFSET_DTYPE, mode="r").view(np.ndarray)
        """Byte offsets, [documents + 1]."""
        if len(self.documents) != self.manifest.documents + 1 or (folder / TEXT).stat().st_size != self.manifest.bytes:
            raise OSError(errno.EIO, "a file is cut short", str(folder))

    def verify(self) -> Self:
        """Return itself if every byte is as it was written; takes a second for each gigabyte or two.

        Raises:
            OSError: a file was changed.
        """
        verify_files(self.folder, self.manifest.files)
        return self

    def chunks(self, ranges: Offsets) -> Iterator[tuple[int, str]]:
        """Yield the text between byte offsets in chunks of at most `CHUNK_BYTES`: the number of the range, and a chunk.

        Args:
            ranges: int64 [N, 2], each from the start of a character to the start of another.
        """
        with (self.folder / TEXT).open("rb") as file:
            for number, (start, stop) in enumerate(ranges.tolist()):
                file.seek(start)
                if stop - start <= CHUNK_BYTES:
                    yield number, file.read(stop - start).decode()
                    continue
                decoder = codecs.getincrementaldecoder("utf-8")()  # it keeps a byte order mark within the text
                for at in range(start, stop, CHUNK_BYTES):
                    yield number, decoder.decode(file.read(min(CHUNK_BYTES, stop - at)))

    def read(self, start: int, stop: int) -> str:
        """Return the text between two byte offsets, whole."""
        return "".join(chunk for _, chunk in self.chunks(np.array([[start, stop]])))

    def bytes_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start` on."""
        with (self.folder / TEXT).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def samples(self, number: int, size: int) -> Iterator[tuple[int, str]]:
        """Yield up to `number` samples spread evenly, each up to `size` bytes: the number of the document, and text.

        The first sample of a document begins with it, the others begin after a line end if there is one. A sample of a
        very short document continues into the documents after it.
        """
        seen: set[int] = set()
        for at in dict.fromkeys(self.manifest.bytes * place // number for place in range(number)):
            document = int(np.searchsorted(self.documents, at, side="right")) - 1
            begin, end = self.documents[document : document + 2].tolist()
            if document not in seen:
                seen.add(document)
                length = size if end - begin < SHORT_DOCUMENT_BYTES else min(size, end - begin)
                yield document, self.bytes_at(begin, length).decode("utf-8", "ignore")
            if begin + size < at:
                sample = self.bytes_at(at, min(size, end - at)).decode("utf-8", "ignore")
                yield document, sample[next_line_start(sample) or 0 :]

    def passages(self, number: int, length: int) -> Iterator[list[str]]:
        """Yield up to `number` passages spread evenly, each of up to `length` documents that follow one another.

        Documents of `SHORT_DOCUMENT_BYTES` or more are left out.
        """
        count = self.manifest.documents
        for first in dict.fromkeys(count * place // number for place in range(number)):
            edges = self.documents[first : first + length + 1]
            ranges = np.stack([edges[:-1], edges[1:]], axis=1)
            yield [chunk for _, chunk in self.chunks(ranges[np.diff(edges) < SHORT_DOCUMENT_BYTES])]

    def end_bytes(self) -> npt.NDArray[np.int64]:
        """Return how many bytes ended each document in its file, int64 [documents]."""
        sources = self.manifest.sources
        sizes = [size for source in sources for size in source.end_bytes]
        return np.repeat(np.array(sizes, np.int64), [files for source in sources for files in source.files])

    def byte_offset(self, character: int) -> int:
        """Return the byte offset of the character with this number."""
        landmarks = self.manifest.landmarks
        at, seen = landmarks[bisect.bisect_right(landmarks, character, key=lambda mark: mark[1]) - 1]
        for _, chunk in self.chunks(np.array([[at, self.manifest.bytes]])):
            if seen + len(chunk) >= character:
                return at + len(chunk[: character - seen].encode())
            at, seen = at + len(chunk.encode()), seen + len(chunk)
        return at


@dataclass(frozen=True)
class Span:
    """Part of a text: byte ranges in it, int64 [N, 2], in its order, none of them empty."""

    text: CachedText
    ranges: Offsets

    @classmethod
    def whole(cls, text: CachedText) -> Self:
        """Return all of a text, one range for each document."""
        return cls(text, np.stack([text.documents[:-1], text.documents[1:]], axis=1))

    def every(self, step: int, first: int = 0) -> Self:
        """Return one range out of `step`, from number `first` on: of pairs, their sources or their targets."""
        return type(self)(self.text, self.ranges[first::step])

    @property
    def bytes(self) -> int:
        """How many bytes of UTF-8 it has."""
        return int((self.ranges[:, 1] - self.ranges[:, 0]).sum())

    def ends(self) -> npt.NDArray[np.bool_]:
        """Return which ranges end where a document ends, bool [N]."""
        return np.isin(self.ranges[:, 1], self.text.documents, assume_unique=True)

    def end_bytes(self) -> npt.NDArray[np.int64]:
        """Return how many bytes end each range in its file, int64 [N]; 0 for a range without the end of a document."""
        sizes = self.text.end_bytes()[np.searchsorted(self.text.documents, self.ranges[:, 1]) - 1]
        return np.where(self.ends(), sizes, 0)

    def chunks(self) -> Iterator[tuple[int, str]]:
        """Yield its text in chunks of at most `CHUNK_BYTES`: the number of the range, and a chunk."""
        return self.text.chunks(self.ranges)

    def chunks_split_at(self, split_point: Callable[[str], int]) -> Iterator[tuple[int, str]]:
        """Yield its text in chunks that end where a range ends, or where `split_point` finds a place.

        Args:
            split_point: of the text so far, returns the place at which it can be split, or 0 for none.
        """
        held, latest = "", -1
        for number, chunk in self.chunks():
            place = 0 if not held else split_point(held) if number == latest else len(held)
            if place:
                yield latest, held[:place]
                held = held[place:]
            held, latest = held + chunk, number
        if held:
            yield latest, held

    def texts(self) -> Iterator[str]:
        """Yield the text of each range, whole."""
        return ("".join(chunk for _, chunk in group) for _, group in groupby(self.chunks(), key=itemgetter(0)))

    def documents(self) -> tuple[str, ...]:
        """Return its text, whole: one string for each range."""
        return tuple(self.texts())


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by name."""
    return {name: hash_file(folder / name) for name in names}


def verify_files(folder: Path, hashes: dict[str, str]) -> None:
    """Refuse files that are not as they were written, with an OSError."""
    if hash_files(folder, hashes) != hashes:
        raise OSError(errno.EIO, "a file was changed", str(folder))

"""A text in the store: all documents as UTF-8, one after another, and where each begins. No torch.

    text.utf8       the documents' text
    documents.i64   the byte offset of each document and of the end: int64, little-endian
    manifest.json   counts, hashes, sources; written last, so a directory without it is not whole

`write_text` makes one from sources, in one pass and bounded memory. Killed between two sources it goes on after the
last whole one that `progress.json` knows.
"""

from __future__ import annotations

import bisect
import codecs
import errno
import hashlib
import os
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedRandom
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from seqgen.config import Config, FileName
from seqgen.errors import ConfigError
from seqgen.sources.config import Reading, is_path
from seqgen.sources.content import ReadIssues
from seqgen.sources.lines import next_line_start
from seqgen.sources.source import Source
from seqgen.sources.text import CHUNK_BYTES
from seqgen.tokenizers.base import without_surrogates
from seqgen.utils.files import open_plain, read_at_most, write_atomically
from seqgen.utils.locks import PROGRESS, keep

Offsets: TypeAlias = npt.NDArray[np.int64]
OFFSET = np.dtype("<i8")

TEXT, DOCUMENTS, MANIFEST = "text.utf8", "documents.i64", "manifest.json"
MANIFEST_CAP = 1 << 28
"""Bytes that a manifest may have: it names every source, and 300 bytes of each of a million files are 300 MB."""
VERY_SHORT = 1000
"""Bytes of a document that alone say little of how it was read."""
PROGRESS_EVERY = 1 << 26
"""Bytes of text from one note of progress to the next."""


class SourceRecord(Config):
    """One source as it was read: its bytes, and what came of them."""

    name: FileName
    bytes: int
    sha256: str
    files: tuple[int, ...]
    """How many documents each file gave: several files where this is an archive."""
    ill_formed: int
    skipped: int
    first_skipped: str | None
    state: tuple[int, ...] | None
    """What the file system said of it: see `state_of`."""

    @property
    def documents(self) -> int:
        """How many documents came of it."""
        return sum(self.files)


class TextManifest(Config):
    """What a stored text is. `sha256` is of its documents; of a single one, of its UTF-8."""

    format_version: Literal[1] = 1
    sha256: str = ""
    bytes: int = 0
    characters: int = 0
    documents: int = 0
    sources: tuple[SourceRecord, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    """The SHA-256 of the other files."""
    landmarks: tuple[tuple[int, int], ...] = ((0, 0),)
    """Byte and character offsets of the same places, a megabyte or so apart."""

    @property
    def tally(self) -> ReadIssues:
        """What was replaced, left out or skipped in all sources."""
        reasons = (source.first_skipped for source in self.sources if source.first_skipped is not None)
        return ReadIssues(
            ill_formed=sum(source.ill_formed for source in self.sources),
            skipped=sum(source.skipped for source in self.sources),
            first_skipped=next(reasons, None),
        )


class StoredText:
    """A text that `write_text` has written; nothing of it is in memory but where documents begin, mapped.

    As long as there is an object of it, nobody prunes it.

    Raises:
        OSError: it is not there, or not whole.
        ConfigError: its manifest is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keep(folder, self)
        self.manifest = TextManifest.from_json(read_at_most(folder / MANIFEST, MANIFEST_CAP), str(folder / MANIFEST))
        open_plain(folder / DOCUMENTS).close()  # a pipe would never end
        self.documents: Offsets = np.memmap(folder / DOCUMENTS, dtype=OFFSET, mode="r").view(np.ndarray)
        """Byte offsets, [documents + 1]."""
        if len(self.documents) != self.manifest.documents + 1 or (folder / TEXT).stat().st_size != self.manifest.bytes:
            raise OSError(errno.EIO, "it is cut short", str(folder))

    def check(self) -> Self:
        """Itself, if every byte is as it was written; a second for each gigabyte or two.

        Raises:
            OSError: one is not.
        """
        check_files(self.folder, (TEXT, DOCUMENTS), self.manifest.files)
        return self

    def chunks(self, ranges: Offsets) -> Iterator[tuple[int, str]]:
        """The text between byte offsets, in chunks of at most `CHUNK_BYTES` bytes: which range, and a chunk of it.

        Args:
            ranges: int64 [N, 2], each from the start of a character to another's.
        """
        with (self.folder / TEXT).open("rb") as file:
            for number, (start, stop) in enumerate(ranges.tolist()):
                file.seek(start)
                if stop - start <= CHUNK_BYTES:
                    yield number, file.read(stop - start).decode()
                    continue
                decoder = codecs.getincrementaldecoder("utf-8")()  # which takes no byte order mark for its own
                for at in range(start, stop, CHUNK_BYTES):
                    yield number, decoder.decode(file.read(min(CHUNK_BYTES, stop - at)))

    def read(self, start: int, stop: int) -> str:
        """The text between two byte offsets, whole."""
        return "".join(chunk for _, chunk in self.chunks(np.array([[start, stop]])))

    def bytes_at(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start` on."""
        with (self.folder / TEXT).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def pieces(self, number: int, size: int) -> Iterator[tuple[int, str]]:
        """Up to `number` pieces spread evenly, each up to `size` bytes: the number of its document, and the piece.

        The first piece of a document begins it, the others begin after a line end, if there is one. A piece of a very
        short document reaches into those that follow.
        """
        seen: set[int] = set()
        for at in dict.fromkeys(self.manifest.bytes * place // number for place in range(number)):
            document = int(np.searchsorted(self.documents, at, side="right")) - 1
            begin, end = self.documents[document : document + 2].tolist()
            if document not in seen:
                seen.add(document)
                length = size if end - begin < VERY_SHORT else min(size, end - begin)
                yield document, self.bytes_at(begin, length).decode("utf-8", "ignore")
            if begin + size < at:
                piece = self.bytes_at(at, min(size, end - at)).decode("utf-8", "ignore")
                yield document, piece[next_line_start(piece) or 0 :]

    def byte_of(self, character: int) -> int:
        """The byte offset of the character of this number."""
        marks = self.manifest.landmarks
        at, seen = marks[bisect.bisect_right(marks, character, key=lambda mark: mark[1]) - 1]
        for _, chunk in self.chunks(np.array([[at, self.manifest.bytes]])):
            if seen + len(chunk) >= character:
                return at + len(chunk[: character - seen].encode())
            at, seen = at + len(chunk.encode()), seen + len(chunk)
        return at


@dataclass(frozen=True)
class Span:
    """Some of a text: byte ranges in it, int64 [N, 2], in its order, none of them empty."""

    text: StoredText
    ranges: Offsets

    @classmethod
    def whole(cls, text: StoredText) -> Self:
        """All of a text, a range a document."""
        return cls(text, np.stack([text.documents[:-1], text.documents[1:]], axis=1))

    @property
    def bytes(self) -> int:
        """Of UTF-8."""
        return int((self.ranges[:, 1] - self.ranges[:, 0]).sum())

    def chunks(self) -> Iterator[tuple[int, str]]:
        """Its text, in chunks of at most `CHUNK_BYTES` bytes: which range, and a chunk of it."""
        return self.text.chunks(self.ranges)

    def documents(self) -> tuple[str, ...]:
        """Its text, whole: a string a range."""
        return tuple("".join(chunk for _, chunk in group) for _, group in groupby(self.chunks(), key=itemgetter(0)))


def state_of(name: str) -> tuple[int, ...] | None:
    """What the file system says of a source, another whenever its content is; None of what is no file.

    The device and the time of the change of the inode are in it, which no program sets back.
    """
    if not is_path(name):
        return None
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def write_text(
    names: Sequence[str], reading: Reading, folder: Path, watch: Callable[[int], None] = lambda _: None
) -> TextManifest:
    """Read the sources into `folder`, going on where an earlier call was killed; the manifest is returned, and written.

    Args:
        names: as `sources.expand` gives them.
        reading: how their bytes become documents.
        folder: is made if it is not there.
        watch: is told how many bytes of the sources were read, as they are.

    Raises:
        TextError: a source cannot be read.
        OSError: the store cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _Writer(folder, names) as writer:
        for record in writer.sources:
            watch(record.bytes)
        for name in names[len(writer.sources) :]:
            state, source = state_of(name), Source(name, reading, watch)
            files: Counter[str | None] = Counter()
            for document in source.documents():
                before = writer.documents
                writer.add(document)
                files[source.member] += writer.documents - before
            issues = source.issues
            writer.end_source(
                SourceRecord(
                    name=name, bytes=source.size, sha256=source.sha256, files=tuple(files.values()),
                    ill_formed=issues.ill_formed, skipped=issues.skipped, first_skipped=issues.first_skipped,
                    state=state,
                )
            )  # fmt: skip
        return writer.finish()


class _Writer:
    """The files of a stored text while they are written."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        done = _progress_in(folder, names)
        self._bytes, self._characters, self.documents = done.bytes, done.characters, done.documents
        self.sources, self._landmarks = list(done.sources), list(done.landmarks)
        self._noted = done.bytes
        self._starts = array("q")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._text = open_at(self._folder / TEXT, self._bytes)
        self._index = open_at(self._folder / DOCUMENTS, 8 * self.documents)
        while block := self._text.read(CHUNK_BYTES):
            self._digest.update(block)
        self._index.seek(0, os.SEEK_END)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._text.close()
        self._index.close()

    def add(self, document: Iterator[str]) -> None:
        start = self._bytes
        for chunk in document:
            self._write(chunk)
        if self._bytes > start:  # an empty one is none
            self._starts.append(start)
            self.documents += 1
        if len(self._starts) >= 1 << 16:
            self._flush_starts()

    def _write(self, chunk: str) -> None:
        try:
            content = chunk.encode()
        except UnicodeEncodeError:  # lone surrogates, which an odd codec can give
            content = without_surrogates(chunk).encode()
        if self._bytes - self._landmarks[-1][0] >= CHUNK_BYTES:
            self._landmarks.append((self._bytes, self._characters))
        self._text.write(content)
        self._digest.update(content)
        self._bytes += len(content)
        self._characters += len(chunk)

    def _flush_starts(self) -> None:
        self._index.write(np.array(self._starts, dtype=OFFSET).tobytes())
        self._starts = array("q")

    def end_source(self, record: SourceRecord) -> None:
        self.sources.append(record)
        if self._bytes - self._noted >= PROGRESS_EVERY and record.state is not None:
            self._sync()
            write_atomically(self._folder / PROGRESS, self._manifest("").model_dump_json().encode())
            self._noted = self._bytes

    def finish(self) -> TextManifest:
        self._starts.append(self._bytes)
        self._sync()
        manifest = self._manifest(self._identity())
        manifest = manifest.model_copy(update={"files": hashes_of(self._folder, (TEXT, DOCUMENTS))})
        write_atomically(self._folder / MANIFEST, manifest.model_dump_json().encode())
        (self._folder / PROGRESS).unlink(missing_ok=True)
        return manifest

    def _identity(self) -> str:
        if self.documents == len(self.sources) == 1:
            return self._digest.hexdigest()
        whole = hashlib.sha256(self._digest.digest())
        self._index.seek(0)
        while block := self._index.read(CHUNK_BYTES):
            whole.update(block)
        whole.update(str([files for source in self.sources for files in source.files]).encode())
        return whole.hexdigest()

    def _sync(self) -> None:
        self._flush_starts()
        for file in (self._text, self._index):
            file.flush()
            os.fsync(file.fileno())

    def _manifest(self, sha256: str) -> TextManifest:
        return TextManifest(
            sha256=sha256, bytes=self._bytes, characters=self._characters, documents=self.documents,
            sources=tuple(self.sources), landmarks=tuple(self._landmarks),
        )  # fmt: skip


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of files."""
    found = {}
    for name in names:
        with open_plain(folder / name) as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_files(folder: Path, names: Iterable[str], hashes: dict[str, str]) -> None:
    """Refuse files that are not as they were written, with an OSError."""
    if hashes_of(folder, names) != hashes:
        raise OSError(errno.EIO, "it is not as it was written", str(folder))


def open_at(path: Path, size: int) -> BufferedRandom:
    """Open a file that is being written, cut to the `size` that is known to be whole, to be read and written."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    return file


def _progress_in(folder: Path, names: Sequence[str]) -> TextManifest:
    """How far an earlier call came, if what it read is still what it was."""
    try:
        done = TextManifest.from_json(read_at_most(folder / PROGRESS, MANIFEST_CAP), PROGRESS)
        there = (folder / TEXT).stat().st_size >= done.bytes
    except (OSError, ConfigError):
        return TextManifest()
    names_then = [source.name for source in done.sources]
    # stdin has no state: what comes from it now is not what came then
    same = all(source.state is not None and source.state == state_of(source.name) for source in done.sources)
    return done if there and same and names_then == list(names[: len(names_then)]) else TextManifest()

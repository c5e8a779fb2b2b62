"""Write sources as a cached text: one pass, in bounded memory. No torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from seqgen.data.cache.cached_text import (
    DOCUMENTS,
    MANIFEST,
    OFFSET_DTYPE,
    TEXT,
    SourceRecord,
    TextManifest,
    hash_files,
)
from seqgen.sources.config import Reading
from seqgen.sources.decoding import CHUNK_BYTES
from seqgen.sources.source import Source, parallel_documents
from seqgen.utils.files import write_atomically


def write_text(
    names: Sequence[str],
    reading: Reading,
    folder: Path,
    watch: Callable[[int], None] = lambda _: None,
    *,
    parallel: bool = False,
) -> TextManifest:
    """Read the sources, write their text into `folder`, and return its manifest.

    Args:
        names: as `sources.names.expand_names` gives them.
        reading: how their bytes become documents.
        folder: where to write; it must not exist.
        watch: receives how many bytes of the sources were read since its last call.
        parallel: whether the lines of two sources are the sources and the targets of pairs.

    Raises:
        TextError: a source cannot be read.
        OSError: the folder cannot be written.
    """
    folder.mkdir()
    with _TextWriter(folder) as writer:
        if parallel:
            _write_parallel(writer, *(Source(name, reading, watch) for name in names))
        else:
            for name in names:
                _write_source(writer, Source(name, reading, watch))
        return writer.finish()


def _write_source(writer: _TextWriter, source: Source) -> None:
    """Write the documents of a source."""
    files: Counter[str | None] = Counter()
    end_bytes: dict[str | None, int] = {}
    with contextlib.closing(source.documents()) as documents:  # an error leaves no file open
        for document in documents:
            added = writer.add(document)
            source.issues.empty += not added
            files[source.member] += added
            end_bytes[source.member] = source.end_bytes
    writer.record(source, tuple(files.values()), tuple(end_bytes.values()))


def _write_parallel(writer: _TextWriter, first: Source, second: Source) -> None:
    """Write the pairs of two parallel files."""
    with contextlib.closing(parallel_documents(first, second)) as documents:
        written = sum(writer.add(document.chunks) for document in documents)
    for source in (first, second):
        writer.record(source, (written // 2,), (0,))


class _TextWriter:
    """The files of a cached text while they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes = self._characters = self._documents = 0
        self._landmarks = [(0, 0)]
        self._digest = hashlib.sha256()
        self.sources: list[SourceRecord] = []

    def __enter__(self) -> Self:
        self._text = (self._folder / TEXT).open("wb")
        self._index = (self._folder / DOCUMENTS).open("w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._text.close()
        self._index.close()

    def add(self, document: Iterator[str]) -> int:
        """Write a document and return 1, or 0 if it is empty."""
        start = self._bytes
        for chunk in document:
            self._write(chunk)
        if self._bytes == start:
            return 0
        self._write_offset(start)
        self._documents += 1
        return 1

    def record(self, source: Source, files: tuple[int, ...], end_bytes: tuple[int, ...]) -> None:
        """Note what came of a source, once all of it was read."""
        issues = source.issues
        self.sources.append(
            SourceRecord(
                name=source.name, bytes=source.size, sha256=source.sha256, files=files, end_bytes=end_bytes,
                empty=issues.empty, ill_formed=issues.ill_formed, skipped=issues.skipped,
                first_skipped=issues.first_skipped, unselected=issues.unselected,
            )
        )  # fmt: skip

    def _write(self, chunk: str) -> None:
        content = chunk.encode()
        if self._bytes - self._landmarks[-1][0] >= CHUNK_BYTES:
            self._landmarks.append((self._bytes, self._characters))
        self._text.write(content)
        self._digest.update(content)
        self._bytes += len(content)
        self._characters += len(chunk)

    def _write_offset(self, offset: int) -> None:
        self._index.write(offset.to_bytes(OFFSET_DTYPE.itemsize, "little"))

    def finish(self) -> TextManifest:
        """Write the manifest, once all else is on the disk, and return it."""
        self._write_offset(self._bytes)
        for file in (self._text, self._index):
            file.flush()
            os.fsync(file.fileno())
        manifest = TextManifest(
            sha256=self._sha256(), bytes=self._bytes, characters=self._characters, documents=self._documents,
            sources=tuple(self.sources), landmarks=tuple(self._landmarks),
            files=hash_files(self._folder, (TEXT, DOCUMENTS)),
        )  # fmt: skip
        write_atomically(self._folder / MANIFEST, manifest.model_dump_json().encode())
        return manifest

    def _sha256(self) -> str:
        """Return the hash of the text; that of several documents includes where they begin, their files and ends."""
        end_bytes = [size for source in self.sources for size in source.end_bytes]
        if self._documents == len(self.sources) == 1 and not any(end_bytes):
            return self._digest.hexdigest()
        whole = hashlib.sha256(self._digest.digest())
        self._index.seek(0)
        while block := self._index.read(CHUNK_BYTES):
            whole.update(block)
        files = [count for source in self.sources for count in source.files]
        whole.update(str([files, end_bytes]).encode())
        return whole.hexdigest()

"""Read the documents of named texts, in bounded memory. No torch, no numpy.

    name        a file, a directory, - for stdin, corpus:NAME
    bytes       counted and hashed while they are read, decompressed if the name ends in .gz .bz2 .xz .zst
    documents   by the suffix of the name (`seqgen.sources.formats`): one per file, row or line

`read_documents` does all of it. A document is an iterator of chunks of text of at most `CHUNK_BYTES` characters (a
row or a line of JSON is one chunk). Read all chunks of a document before the next document.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import BinaryIO, Self, TypeVar

from seqgen.errors import TextError
from seqgen.sources import formats
from seqgen.sources.compression import decompressed
from seqgen.sources.config import CORPUS_PREFIX, STDIN, Reading, name_of
from seqgen.sources.content import Content, Document, Readable, ReadIssues, bytes_as_characters, suffixes_of
from seqgen.sources.decoding import open_file
from seqgen.sources.documents import cut_documents
from seqgen.sources.formats import pairs
from seqgen.sources.names import are_parallel, expand_names, reject_unused_settings, unselected_notices
from seqgen.utils.text import plural, singular_or_plural

T = TypeVar("T")
Note = Callable[[str], None]
"""Receives a sentence that the user should read."""


def read_documents(
    names: Sequence[str], reading: Reading | None = None, note: Note = lambda _: None
) -> Iterator[Iterator[str]]:
    """Yield the documents of named texts, each an iterator of chunks to read before the next document.

    Args:
        names: files, directories, archives, `-` for stdin, `corpus:NAME`.
        reading: how bytes become documents.
        note: receives what was left out, replaced or skipped, a sentence per text.

    Raises:
        TextError: a text cannot be read or is not valid; the message has the place.
        ConfigError: an encoding or corpus is unknown, or a setting does not apply to these texts.
    """
    for _, document in read_sources(names, reading or Reading(), note):
        yield document


def read_sources(names: Sequence[str], reading: Reading, note: Note) -> Generator[tuple[Source, Iterator[str]]]:
    """Yield the source of each document, and its chunks; see `read_documents`."""
    reject_unused_settings(names, reading)
    for message in unselected_notices(names, reading):
        note(message)
    if are_parallel(names, reading):
        first, second = (Source(name, reading) for name in names)
        for side in parallel_documents(first, second):
            yield first, side.chunks
        for source in (first, second):
            for message in issue_notices(source.name, source.issues, reading):
                note(message)
        return
    for name in expand_names(names, reading):
        source = Source(name, reading)
        for document in source.documents():
            yield source, document
        for message in issue_notices(source.name, source.issues, reading):
            note(message)


class LoadedDocuments(tuple[str, ...]):
    """Documents, which of them have an end, how many bytes end each of them in its file, and where it is.

    A line has a line end, a paragraph two, a file or a record none. A block that was cut out of a document has no end.
    """

    end_sizes: tuple[int, ...]
    ends: tuple[bool, ...]
    places: tuple[str, ...]
    """As in messages: `a.txt`, `the document on line 3 of a.jsonl`; empty where they are in no file."""

    @classmethod
    def of(
        cls,
        documents: Iterable[str],
        end_sizes: Iterable[int] | None = None,
        ends: Iterable[bool] | None = None,
        places: Iterable[str] | None = None,
    ) -> Self:
        """Return documents that `end_sizes` bytes end, by default none; without `ends`, all of them have an end."""
        made = cls(documents)
        made.end_sizes = (0,) * len(made) if end_sizes is None else tuple(end_sizes)
        made.ends = (True,) * len(made) if ends is None else tuple(ends)
        made.places = ("",) * len(made) if places is None else tuple(places)
        return made

    @property
    def end_bytes(self) -> int:
        """How many bytes end all of them."""
        return sum(self.end_sizes)

    @property
    def in_file(self) -> str:
        """The documents as they are in a file: lines with their ends, paragraphs with a blank line after each."""
        return "".join(text + "\n" * size for text, size in zip(self, self.end_sizes, strict=True))

    def first(self, characters: int) -> Self:
        """Return the documents up to so many characters; one that is cut has no end."""
        kept: list[tuple[str, int, bool, str]] = []
        left = characters
        for text, size, end, place in zip(self, self.end_sizes, self.ends, self.places, strict=True):
            if left <= 0:
                break
            is_whole = len(text) <= left
            kept.append((text[:left], size if is_whole else 0, end and is_whole, place))
            left -= len(text)
        texts, sizes, ends, places = zip(*kept, strict=True) if kept else ((), (), (), ())
        return type(self).of(texts, sizes, ends, places)


def load_documents(
    names: Sequence[str], reading: Reading | None = None, note: Note = lambda _: None
) -> LoadedDocuments:
    """Return the documents of named texts that are not empty.

    Raises:
        TextError, ConfigError: as `read_documents`; also if all documents are empty.
    """
    with contextlib.closing(read_sources(names, reading or Reading(), note)) as found:  # an error leaves no file open
        read = ((source, "".join(chunks)) for source, chunks in found)
        documents = [(text, source.end_bytes, source.place) for source, text in read if text]
    if not documents:
        raise TextError(f"{name_of(names)} is empty; name a file with text")
    texts, end_sizes, places = zip(*documents, strict=True)
    return LoadedDocuments.of(texts, end_sizes, places=places)


def issue_notices(name: str, issues: ReadIssues, reading: Reading) -> list[str]:
    """Return a sentence for each kind of issue that reading counted."""
    messages = [] if issues.unselected is None else [issues.unselected]
    if count := issues.ill_formed:
        done = "left out" if reading.errors == "ignore" else "read as U+FFFD"
        verb = singular_or_plural(count, "is", "are")
        invalid = f"{plural(count, 'byte sequence')} of {name} {verb} not valid {reading.encoding}"
        messages.append(f"{invalid}; {singular_or_plural(count, 'it is', 'they are')} {done}")
    if count := issues.skipped:
        lines = plural(count, "line, row or element", "lines, rows or elements")
        messages.append(
            f"{lines} of {name} {singular_or_plural(count, 'is', 'are')} skipped; the first: {issues.first_skipped}"
        )
    if count := issues.empty:
        kind = "empty document" if reading.documents == "file" else "empty line"
        messages.append(f"{plural(count, kind)} of {name} {singular_or_plural(count, 'is', 'are')} skipped")
    return messages


class Source:
    """A file, stdin, or a text of the catalog.

    `size`, `sha256` and `issues` are complete when all documents were read.

    Args:
        name: a name from `expand_names`.
        reading: how bytes become documents.
        progress: receives the number of bytes of each block.
    """

    def __init__(self, name: str, reading: Reading, progress: Callable[[int], None] = lambda _: None) -> None:
        self.name, self._reading, self._progress = name, reading, progress
        self._display_name = "stdin" if name == STDIN else name
        self._digest = hashlib.sha256()
        self.size = 0
        """The number of stored bytes."""
        self.issues = ReadIssues()
        self.place = name
        """The place of the latest document, for messages."""
        self.member: str | None = None
        """The archive member of the latest document."""
        self.end_bytes = 0
        """How many bytes end the latest document in its file."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the stored bytes."""
        return self._digest.hexdigest()

    def documents(self) -> Generator[Iterator[str]]:
        """Yield the documents in order; read each one before the next."""
        if self.name.startswith(CORPUS_PREFIX) and not self._reading.has_pairs:
            yield from self._chunks_of(
                cut_documents(self._catalog_chunks(), self._reading.documents, self.name, self.issues)
            )
        else:
            yield from self._chunks_of(self._read(formats.read))

    def lines(self) -> Generator[str]:
        """Yield the lines of plain text, blank ones too, without their ends."""
        yield from self._read(pairs.read_lines)

    def checked(self, pair: pairs.Pair) -> Iterator[Document]:
        """Yield the two documents of a pair of which this source has one side; refuse or skip a bad pair."""
        return pairs.checked(self._content(io.BytesIO(), ""), pair)

    def _read(self, read: Callable[[Content], Iterator[T]]) -> Generator[T]:
        """Open the source, and yield what `read` finds in it."""
        with contextlib.ExitStack() as stack:
            if self.name.startswith(CORPUS_PREFIX):
                yield from read(self._content(_CatalogFile(self._catalog_chunks()), ""))
                return
            file, suffix, compression = self._open(stack)
            raw: BinaryIO | _ObservedFile = file
            if suffix in formats.SEEKING and file.seekable():
                self._hash(file)
                file.seek(0)
            else:
                raw = _ObservedFile(file, self._count)
            opened: BinaryIO | _ObservedFile = raw
            if compression:
                opened = stack.enter_context(decompressed(raw, compression, self.name))
            yield from read(self._content(opened, suffix, compressed=bool(compression)))
            if isinstance(raw, _ObservedFile):
                self._hash(raw)  # the bytes that the decompressor did not read: the hash is that of the whole file

    def _content(self, file: Readable, suffix: str, *, compressed: bool = False) -> Content:
        return Content(self._display_name, file, suffix, self._reading, self.size, compressed, self.issues)

    def _chunks_of(self, documents: Iterable[Document]) -> Iterator[Iterator[str]]:
        for document in documents:
            self.place, self.member, self.end_bytes = document.place, document.member, document.end_bytes
            yield document.chunks

    def _catalog_chunks(self) -> Iterator[str]:
        from seqgen.sources.catalog.corpus import read_chunks

        for chunk in read_chunks(self.name, all_columns=self._reading.has_pairs):
            self._count(chunk.encode())
            yield bytes_as_characters(chunk) if self._reading.is_raw else chunk

    def _open(self, stack: contextlib.ExitStack) -> tuple[BinaryIO, str, str]:
        """Return the open file, the suffix of its format, and the suffix of its compression."""
        if self.name != STDIN:
            suffix, compression = suffixes_of(self.name)
            if self._reading.is_raw and suffix not in formats.ARCHIVES:
                suffix = ""
            return stack.enter_context(open_file(self.name)), suffix, compression
        if sys.stdin is None:
            raise TextError("stdin is closed; pipe a text into it, or name a file")
        is_json = self._reading.field is not None or bool(self._reading.pair_fields)
        return sys.stdin.buffer, ".jsonl" if is_json else "", ""

    def _hash(self, file: BinaryIO | _ObservedFile) -> None:
        """Read a file to its end; a file that is not observed is counted and hashed here."""
        for block in Content(self._display_name, file, "", self._reading, self.size).blocks():
            if not isinstance(file, _ObservedFile):
                self._count(block)

    def _count(self, block: bytes) -> None:
        self.size += len(block)
        self._digest.update(block)
        self._progress(len(block))


def parallel_documents(first: Source, second: Source) -> Generator[Document]:
    """Yield the lines of two files, which are the sources and the targets of pairs, in turn.

    Raises:
        TextError: one has more lines than the other; or as of `Source.documents`.
    """
    with contextlib.closing(first.lines()) as lines, contextlib.closing(second.lines()) as others:
        for number, (line, other) in enumerate(zip_longest(lines, others), 1):
            if line is None or other is None:
                short, long = (first, second) if line is None else (second, first)
                raise TextError(
                    f"{short.name} ends after {plural(number - 1, 'line')}, and {long.name} has more; give parallel "
                    "files a line for each line of the other, as nothing says which lines belong together"
                )
            if line.strip() or other.strip():
                yield from first.checked(pairs.Pair(line, other, number))
            else:
                first.issues.empty += 1


class _CatalogFile:
    """A text of the catalog as a file: each read gives a chunk, encoded."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks

    def read(self, size: int, /) -> bytes:
        del size  # a chunk is of about the size that is asked for
        return next(self._chunks, "").encode()


class _ObservedFile(io.BufferedIOBase):
    """A file that passes each block on to `observe` when it is read."""

    def __init__(self, file: BinaryIO, observe: Callable[[bytes], None]) -> None:
        self._file, self._observe = file, observe

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._file.read(-1 if size is None else size)
        self._observe(block)
        return block

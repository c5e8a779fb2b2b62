"""A corpus that its publisher sends: which files it has, what they must be, which bytes of them are which part.

Only `fetch` reaches the network. Whoever reads finds the files in the cache, checks each against its hash, and is told
what to run where they are not there.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from filelock import Timeout
from pydantic import Field, field_validator, model_validator

from seqgen.config import Config
from seqgen.errors import SaveError, TextError
from seqgen.sources.catalog.download import LARGEST, Progress, Wanted, fetch, is_allowed
from seqgen.sources.catalog.download_cache import download_directory, held_hash, hold_hash
from seqgen.sources.text import CHUNK_BYTES, TextDecoder
from seqgen.utils.files import hash_file
from seqgen.utils.locks import hold_lock, note_use

PartName = Literal["train", "valid", "test"]
FETCHING = "fetching"
"""The lock by which a corpus is fetched."""
LONGEST = 3
"""Bytes by which a bound within a character is past its start, at most."""


class File(Config):
    """A file as its publisher sends it, and who says what its hash is."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    url: str
    size: int | None = Field(default=None, gt=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """None where nobody states one: then the first download's is recorded and held."""
    sha256_source: str
    """Who states the hash, or that nobody does."""

    @field_validator("url")
    @classmethod
    def _is_https(cls, url: str) -> str:
        if not is_allowed(url):
            raise ValueError("only https addresses are fetched")
        return url


class Part(Config):
    """Where a part's text is: a file, or a named member of a zip file, or the bytes from `start` to `end` of either.

    A cut within a character moves to that character's start.
    """

    name: PartName
    file: str
    member: str | None = None
    start: int = Field(default=0, ge=0)
    end: int | None = None

    @model_validator(mode="after")
    def _has_bytes(self) -> Part:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end: should come after start {self.start}, not {self.end}")
        return self


class Fetched(Config):
    """A corpus of fetched files in its customary parts."""

    kind: Literal["fetched"]
    files: tuple[File, ...] = Field(strict=False, min_length=1)
    split: tuple[Part, ...] = Field(strict=False, min_length=1)
    largest: int = Field(gt=0, le=LARGEST)
    """Bytes that a part may have, unpacked."""
    column: str | None = None
    """Of files with tab-separated columns under a header: the one that is read."""

    @model_validator(mode="after")
    def _has_its_files(self) -> Fetched:
        missing = {part.file for part in self.split} - {file.name for file in self.files}
        if missing:
            raise ValueError(f"split: {', '.join(sorted(missing))} is none of the files")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.split)

    def is_here(self, corpus: str) -> bool:
        """Whether every file has been fetched."""
        return all((download_directory(corpus) / file.name).is_file() for file in self.files)

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """A part's text, a block at a time; but a column's is put together in memory.

        Raises:
            TextError: it has not been fetched, or is no longer what was fetched.
        """
        chosen = next(one for one in self.split if one.name == part)
        path = download_directory(corpus) / chosen.file
        _check_hash(corpus, path, next(file.sha256 for file in self.files if file.name == chosen.file))
        text = self._decoded(path, chosen)
        return text if self.column is None else iter([_column_of("".join(text), self.column, path)])

    def _decoded(self, path: Path, part: Part) -> Iterator[str]:
        decoder = TextDecoder("utf-8", "strict", str(path))
        note_use(path.parent)
        with _opened(path, part.member) as file:
            for block in _cut_out(_Bounded(file, path, part, self.largest), part):
                yield decoder.push(block)
        yield decoder.push(b"", final=True)

    def fetch(self, corpus: str, progress: Callable[[File], Progress]) -> list[File]:
        """Download what is not here yet, and give the files with the hashes that they have.

        Args:
            corpus: the spec's name.
            progress: for a file gives what is told of its progress.

        Raises:
            TextError: a file cannot be had, or is not what it should be.
            SaveError: the cache cannot be written.
        """
        folder = download_directory(corpus)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with hold_lock(folder, FETCHING, 0):
                return [_fetch_file(corpus, folder, file, progress) for file in self.files]
        except Timeout as error:
            raise TextError(f"corpus:{corpus} is being fetched by another process; wait until it is done") from error
        except OSError as error:
            raise SaveError(
                f"{folder} cannot be written: {error.strerror or error}; name another directory by SEQGEN_CACHE"
            ) from error


def _fetch_file(corpus: str, folder: Path, file: File, progress: Callable[[File], Progress]) -> File:
    path = folder / file.name
    expected = file.sha256 or held_hash(path)
    if path.is_file():
        found = _check_hash(corpus, path, file.sha256)
    else:
        found = fetch(Wanted(file.url, path, file.size, expected), progress(file))
    if file.sha256 is None and expected is None:
        hold_hash(path, found)
    return file.model_copy(update={"sha256": found})


def _check_hash(corpus: str, path: Path, pinned: str | None) -> str:
    """The SHA-256 of a fetched file, which is the one that it should have."""
    if not path.is_file():
        raise TextError(f"corpus:{corpus} has not been fetched yet; run `seqgen corpus fetch {corpus}`")
    expected, found = pinned or held_hash(path), hash_file(path)
    if expected not in {None, found}:
        raise TextError(
            f"{path} is not the file that was fetched (SHA-256 {found[:12]}..., then {str(expected)[:12]}...); "
            f"remove it, and run `seqgen corpus fetch {corpus}`"
        )
    return found


@contextlib.contextmanager
def _opened(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    """A file, or one member of a zip file as a stream: no name of the archive becomes a path."""
    try:
        if member is None:
            with path.open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
                yield stream
    except KeyError as error:
        raise TextError(f"{path} has no member called {member}") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise TextError(f"{path} cannot be {'read' if member is None else 'unpacked'}: {error}") from error


class _Bounded:
    """What a part's file holds, as it is read: `at` bytes so far, of `largest` at most whatever an archive claims."""

    def __init__(self, file: IO[bytes], path: Path, part: Part, largest: int) -> None:
        self._file, self._path, self._part, self._largest = file, path, part, largest
        self.at = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer where the file ends."""
        block = self._file.read(size)
        self.at += len(block)
        if self._part.member is not None and self.at > self._largest:
            raise TextError(
                f"{self._path}: {self._part.member} is more than {self._largest:,} bytes unpacked, which is not what "
                "was wanted"
            )
        return block

    def read_to(self, end: int) -> Iterator[bytes]:
        """The bytes up to `end`, in blocks.

        Raises:
            TextError: the file ends before.
        """
        while self.at < end:
            block = self.read(min(CHUNK_BYTES, end - self.at))
            if not block:
                raise TextError(
                    f"{self._part.file} has {self.at:,} bytes, so its part {self._part.name} cannot be cut out of it"
                )
            yield block


def _cut_out(file: _Bounded, part: Part) -> Iterator[bytes]:
    """The part's bytes, in blocks; each of its bounds moved back to the start of the UTF-8 character it stands in."""
    for _ in file.read_to(max(0, part.start - LONGEST)):
        pass
    lead = part.start - file.at
    held = b"".join(file.read_to(part.start + 1))
    held = held[_character_start(held, lead) :]
    if part.end is None:
        yield held
        while block := file.read(CHUNK_BYTES):
            yield block
        return
    for block in file.read_to(max(file.at, part.end - LONGEST)):
        yield held
        held = block
    held += b"".join(file.read_to(part.end))
    following = file.read(1)
    yield held[: _character_start(held + following, len(held))]


def _character_start(content: bytes, place: int) -> int:
    """The start of the UTF-8 character that byte `place` belongs to; the end of the content is one too."""
    while place and content[place : place + 1] >= b"\x80" and content[place] < 0xC0:
        place -= 1
    return place


def _column_of(text: str, column: str, path: Path) -> str:
    """One column of tab-separated lines under a header, a row a line, those where it is empty left out."""
    # By hand: lines end by newlines alone and nothing is quoted, which the csv module cannot be told.
    header, *rows = (line.removesuffix("\r").split("\t") for line in text.split("\n"))
    if column not in header:
        raise TextError(f"{path} has no column called {column!r}; its first line is {header}")
    place = header.index(column)
    return "".join(f"{row[place]}\n" for row in rows if len(row) > place and row[place])

"""A corpus that its publisher sends: which files it has, what they must be, which bytes of them are which part.

Only `fetch` reaches the network. Whoever reads finds the files in the cache, checks each against its hash, and is told
what to run where they are not there.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import Field, field_validator, model_validator

from seqgen.data.cache import corpus_directory, hash_file, held_hash, hold_hash
from seqgen.data.fetch import LARGEST, Progress, Wanted, fetch, is_allowed
from seqgen.data.text import decode_text
from seqgen.errors import SaveError, TextError
from seqgen.settings import Settings

PartName = Literal["train", "valid", "test"]


class File(Settings):
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


class Part(Settings):
    """Where a part's text is: a file, or a named member of a zip file, or the bytes from `start` to `end` of either.

    A cut within a character moves to that character's start.
    """

    name: PartName
    file: str
    member: str | None = None
    start: int = Field(default=0, ge=0)
    end: int | None = None


class Fetched(Settings):
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
        return all((corpus_directory(corpus) / file.name).is_file() for file in self.files)

    def read(self, corpus: str, part: str | None) -> str:
        """A part's text.

        Raises:
            TextError: it has not been fetched, or is no longer what was fetched.
        """
        chosen = next(one for one in self.split if one.name == part)
        path = corpus_directory(corpus) / chosen.file
        _check_hash(corpus, path, next(file.sha256 for file in self.files if file.name == chosen.file))
        content = path.read_bytes() if chosen.member is None else _unzip(path, chosen.member, self.largest)
        text = decode_text(content[slice(*_at_characters(content, chosen))], "utf-8", str(path))
        return text if self.column is None else _column_of(text, self.column, path)

    def fetch(self, corpus: str, progress: Callable[[File], Progress]) -> list[File]:
        """Download what is not here yet, and give the files with the hashes that they have.

        Args:
            corpus: the recipe's name.
            progress: for a file gives what is told of its progress.

        Raises:
            TextError: a file cannot be had, or is not what it should be.
            SaveError: the cache cannot be written.
        """
        folder = corpus_directory(corpus)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=0):
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


def _unzip(path: Path, member: str, largest: int) -> bytes:
    """One member's bytes, read as a stream: no name of the archive becomes a path, no claim of it a size."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            content = stream.read(largest + 1)
    except KeyError as error:
        raise TextError(f"{path} has no member called {member}") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise TextError(f"{path} cannot be unpacked: {error}") from error
    if len(content) > largest:
        raise TextError(f"{path}: {member} is more than {largest:,} bytes unpacked, which is not what was wanted")
    return content


def _at_characters(content: bytes, part: Part) -> tuple[int, int]:
    """The part's bounds, each moved back to the start of the UTF-8 character that it stands in."""
    bounds = (part.start, len(content) if part.end is None else part.end)
    if not bounds[0] < bounds[1] <= len(content):
        raise TextError(f"{part.file} has {len(content):,} bytes, so its part {part.name} cannot be cut out of it")
    moved = [next(at for at in range(bound, -1, -1) if content[at : at + 1] < b"\x80" or content[at] >= 0xC0)
             for bound in bounds]  # fmt: skip
    return moved[0], moved[1]


def _column_of(text: str, column: str, path: Path) -> str:
    """One column of tab-separated lines under a header, a row a line, those where it is empty left out."""
    # By hand: lines end by newlines alone and nothing is quoted, which the csv module cannot be told.
    header, *rows = (line.removesuffix("\r").split("\t") for line in text.split("\n"))
    if column not in header:
        raise TextError(f"{path} has no column called {column!r}; its first line is {header}")
    place = header.index(column)
    return "".join(f"{row[place]}\n" for row in rows if len(row) > place and row[place])

"""Download the files of a corpus, check their hashes, and cut its parts out of them.

Only `Download.fetch` uses the network, through pooch. Reading finds the files in the cache directory, checks each one
against its SHA-256, and says which command to run when a file is missing or damaged.

    <cache directory>/corpora/text8/text8.zip    the file as its publisher sends it
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

from pydantic import Field, model_validator

from seqgen._version import __version__
from seqgen.config import Config
from seqgen.errors import SaveError, TextError
from seqgen.sources.decoding import CHUNK_BYTES, TextDecoder
from seqgen.utils.files import cache_directory, hash_file
from seqgen.utils.locks import hold_lock, note_use

PartName = Literal["train", "valid", "test"]
DownloadProgress = Callable[[int], None]
"""Receives the number of bytes downloaded so far."""
FETCHING = "fetching"
"""The name of the lock that a process holds while it downloads a corpus."""
TIMEOUT_SECONDS = 30.0
"""How long a server may send nothing."""
_CONTINUATION = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that continue a character; at most three follow each other."""


class RemoteFile(Config):
    """A file as its publisher sends it, its SHA-256, and who states that."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    url: str = Field(pattern=r"^https?://")
    size: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sha256_source: str


class Part(Config):
    """Where the text of a part is: a file or a member of a zip file, all of it or its bytes from `start` to `end`.

    A bound inside a UTF-8 character moves forward to the next character.
    """

    name: PartName
    file: str
    member: str | None = None
    start: int = Field(default=0, ge=0)
    end: int | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Part:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end: must be greater than start, which is {self.start}, not {self.end}")
        return self


class Download(Config):
    """A corpus of downloaded files and its customary parts."""

    kind: Literal["download"]
    files: tuple[RemoteFile, ...] = Field(strict=False, min_length=1)
    split: tuple[Part, ...] = Field(strict=False, min_length=1)
    max_bytes: int = Field(gt=0)
    """The largest size that a member of a zip file may have, uncompressed."""
    column: str | None = None
    """The column to read, for files of tab-separated columns with a header."""

    @model_validator(mode="after")
    def _check_files(self) -> Download:
        missing = {part.file for part in self.split} - {file.name for file in self.files}
        if missing:
            raise ValueError(f"split: {', '.join(sorted(missing))} is not one of the files")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.split)

    def is_downloaded(self, corpus: str) -> bool:
        """Return whether every file is in the cache directory."""
        return all((download_directory(corpus) / file.name).is_file() for file in self.files)

    def with_all_columns(self) -> Self:
        """Return the same corpus with all of its columns, of which one may be a label."""
        return self.model_copy(update={"column": None})

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Return the text of a part in chunks; the text of a column comes as one chunk.

        Raises:
            TextError: a file is missing, does not have its hash, or cannot be read.
        """
        chosen = next(one for one in self.split if one.name == part)
        path = download_directory(corpus) / chosen.file
        _check_hash(corpus, path, next(file.sha256 for file in self.files if file.name == chosen.file))
        text = self._decode(path, chosen)
        return text if self.column is None else iter([_read_column("".join(text), self.column, path)])

    def _decode(self, path: Path, part: Part) -> Iterator[str]:
        decoder = TextDecoder("utf-8", "strict", str(path))
        note_use(path.parent)
        with _open(path, part.member, self.max_bytes) as file:
            for block in _read_part(file, part, path):
                yield decoder.push(block)
        yield decoder.push(b"", final=True)

    def fetch(self, corpus: str, progress: Callable[[RemoteFile], DownloadProgress]) -> None:
        """Download the files that are missing or do not have their hash.

        Args:
            corpus: the name of the corpus.
            progress: returns the callback that receives the progress of a file.

        Raises:
            TextError: a file cannot be downloaded or does not have its hash.
            SaveError: the cache directory cannot be written.
        """
        from filelock import Timeout

        folder = download_directory(corpus)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with hold_lock(folder, FETCHING, timeout=0):
                for path in folder.glob(f"{tempfile.gettempprefix()}*"):  # pooch's, of a process that was killed
                    if path.name not in {file.name for file in self.files}:
                        path.unlink()
                for file in self.files:
                    _download(file, folder, progress(file))
        except Timeout as error:
            raise TextError(f"another process is downloading corpus:{corpus}; wait until it has finished") from error
        except OSError as error:
            raise SaveError(
                f"{folder} cannot be written: {error.strerror or error}; free some space, or name another directory "
                "with SEQGEN_CACHE"
            ) from error


def download_directory(corpus: str) -> Path:
    """Return the folder of the downloaded files of a corpus."""
    return cache_directory() / "corpora" / corpus


@dataclass
class _PoochProgress:
    """The progress bar that pooch calls: pass the bytes so far on to `progress`."""

    progress: DownloadProgress
    size: int
    done: int = 0
    total: int = 0
    """Set by pooch, to what the server states."""

    def update(self, size: int) -> None:
        self.done += size
        self.progress(min(self.done, self.size))

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Do nothing: the caller owns the bar."""


def _download(file: RemoteFile, folder: Path, progress: DownloadProgress) -> None:
    """Download a file under a temporary name, and rename it once its hash is right; keep one that is right already."""
    import pooch
    import requests

    responses: list[requests.Response] = []
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=_PoochProgress(progress, file.size),
        chunk_size=1 << 16,
        timeout=TIMEOUT_SECONDS,
        # Some publishers refuse the names that libraries give themselves.
        headers={"User-Agent": f"seqgen/{__version__}", "Accept-Encoding": "identity"},
        hooks={"response": lambda response, **_: responses.append(response)},
    )
    try:
        pooch.retrieve(file.url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader)
    except requests.RequestException as error:
        raise TextError(f"{file.url} could not be downloaded ({error}); check the connection and try again") from error
    except ValueError as error:  # by pooch, which has removed what it downloaded
        raise TextError(
            f"{file.url} does not have the SHA-256 {file.sha256}; its publisher or a proxy sends another file, so "
            "nothing was kept"
        ) from error
    finally:
        for response in responses:  # pooch leaves that of a failed download open
            response.close()


def _check_hash(corpus: str, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise TextError(f"corpus:{corpus} is not downloaded; run `seqgen corpus fetch {corpus}`")
    if hash_file(path) != sha256:
        raise TextError(
            f"{path} was changed or damaged: its SHA-256 is not {sha256}; run `seqgen corpus fetch {corpus}` to "
            "download it again"
        )


@contextlib.contextmanager
def _open(path: Path, member: str | None, max_bytes: int) -> Iterator[IO[bytes]]:
    """Open a file, or one member of a zip file; nothing is extracted to the disk."""
    try:
        if member is None:
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(member).file_size  # zipfile reads no more than this
            if size > max_bytes:
                raise TextError(f"{path}: {member} has {size:,} bytes, more than the {max_bytes:,} that it may have")
            with archive.open(member) as file:
                yield file
    except KeyError as error:
        raise TextError(f"{path} has no member called {member}") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise TextError(f"{path} cannot be read: {error}") from error


def _read_part(file: IO[bytes], part: Part, path: Path) -> Iterator[bytes]:
    """Yield the bytes of a part in blocks, from the start of a UTF-8 character to the end of one."""
    file.seek(part.start)
    position = part.start
    while part.end is None or position < part.end:
        block = file.read(CHUNK_BYTES if part.end is None else min(CHUNK_BYTES, part.end - position))
        if not block:
            break
        yield block if position > part.start or not position else block.lstrip(_CONTINUATION)
        position += len(block)
    if position == part.start or (part.end is not None and position < part.end):
        raise TextError(f"{path} is too short: its part {part.name} should reach to byte {part.end or part.start:,}")
    following = file.read(3)
    yield following[: len(following) - len(following.lstrip(_CONTINUATION))]


def _read_column(text: str, column: str, path: Path) -> str:
    """Return one column of tab-separated lines with a header, a row per line, without the empty cells."""
    # Not by the csv module: lines end by newlines alone, and quotes are ordinary characters.
    header, *rows = (line.removesuffix("\r").split("\t") for line in text.split("\n"))
    if column not in header:
        raise TextError(f"{path} has no column called {column!r}; its first line is {header}")
    index = header.index(column)
    return "".join(f"{row[index]}\n" for row in rows if len(row) > index and row[index])

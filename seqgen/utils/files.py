"""Write atomically, read within bounds, hash files, and find the user's cache directory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

import platformdirs

from seqgen.errors import SaveError

TEMPORARY = ".tmp-"
"""The start of the names of files that are being written."""
CACHE_VARIABLE = "SEQGEN_CACHE"
"""The environment variable that names another cache directory."""


def cache_directory() -> Path:
    """Return $SEQGEN_CACHE, or else seqgen's folder in the user's cache directory; it may not exist yet."""
    directory = os.environ.get(CACHE_VARIABLE)
    return Path(directory) if directory else platformdirs.user_cache_path("seqgen", appauthor=False)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a regular file, in hex."""
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Replace the file at `path` by `content`, all of it or its parts, durably; of a link, the file it points to.

    Raises:
        SaveError: it could not be written; what was there is untouched.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise SaveError(f"{path} is a pipe or a device, which a file would replace; name a file")
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    try:
        write_durably(temporary, content)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # it may be missing, or its directory
            temporary.unlink()
        raise SaveError(
            f"{path} could not be written: {error.strerror or error}; make room, or choose another place"
        ) from error


def open_regular_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; refuse a pipe or a device, which need not end, with an OSError."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_at_most(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; refuse a longer one with an OSError."""
    with open_regular_file(path) as file:
        fits = os.fstat(file.fileno()).st_size <= limit
        content = file.read(limit) if fits else b""
    if not fits:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return content


def write_durably(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of processes that were killed, as far as possible. No other may write here."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()


def unwritable_parent(path: Path) -> Path | None:
    """Return the nearest existing parent of `path` if no directory can be made in it, else None."""
    place = path.absolute()
    nearest = next((folder for folder in place.parents if folder.exists()), Path(place.anchor))
    return None if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) else nearest


def make_directory(path: Path) -> None:
    """Make a new directory and its parents durably; if that fails, it does not exist."""
    above = [folder for folder in path.parents if not folder.exists()]
    path.mkdir(parents=True)
    with contextlib.ExitStack() as undo:
        undo.callback(_remove_empty, path)
        for folder in (path, *above):
            sync_directory(folder.parent)
        undo.pop_all()


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

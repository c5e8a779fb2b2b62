"""Where the files of fetched corpora lie, and what keeps them the files that they were.

<user's cache directory, or $SEQGEN_CACHE>/
  corpora/text8/text8.zip           the file as its publisher sends it
  corpora/text8/text8.zip.sha256    its hash at the first download: held from then on, also where the file is removed
"""

from __future__ import annotations

from pathlib import Path

from seqgen.errors import TextError
from seqgen.utils.files import cache_directory, read_at_most, write_atomically


def download_directory(corpus: str) -> Path:
    """Where the files of a fetched corpus lie."""
    return cache_directory() / "corpora" / corpus


def held_hash(path: Path) -> str | None:
    """The SHA-256 that the first download of `path` had; None before it.

    Raises:
        TextError: the record was damaged.
    """
    record = _record_of(path)
    try:
        held = read_at_most(record, 100).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TextError(f"{record} cannot be read: {error.strerror or error}") from error
    if len(held) != 64 or not set(held) <= set("0123456789abcdef"):
        raise TextError(f"{record} holds no SHA-256; remove it to accept the next download, whatever it is")
    return held


def hold_hash(path: Path, sha256: str) -> None:
    """Record what `path` is, for every later download and every reading.

    Raises:
        SaveError: it cannot be written.
    """
    write_atomically(_record_of(path), f"{sha256}\n".encode())


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")

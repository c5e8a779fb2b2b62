"""Files that are read through a decompressor: by their suffix, a block at a time, so that a bomb takes no memory."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import zlib
from io import BufferedIOBase
from typing import Any, BinaryIO, cast

from seqgen.errors import TextError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


def _find_zstd() -> Any:
    """Python's own module from 3.14 on, its backport before; None where neither is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


_zstd = _find_zstd()
_ZSTD_ERRORS: tuple[type[Exception], ...] = () if _zstd is None else (_zstd.ZstdError,)
DAMAGED: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError, *_ZSTD_ERRORS)
"""What reading such a file may raise."""


def decompressed(file: BufferedIOBase | BinaryIO, suffix: str, name: str) -> BinaryIO:
    """What is in a compressed file, to be read; closing it leaves `file` open.

    Raises:
        TextError: nothing here decompresses this suffix; the message says what to install.
    """
    if suffix == ".zst" and _zstd is None:
        raise TextError(f"{name}: to read .zst, pip install backports.zstd")
    openers: dict[str, Any] = {
        ".gz": lambda packed: gzip.GzipFile(fileobj=packed, mode="rb"),
        ".bz2": bz2.BZ2File,
        ".xz": lzma.LZMAFile,
        ".zst": getattr(_zstd, "ZstdFile", None),
    }
    return cast("BinaryIO", openers[suffix](file))

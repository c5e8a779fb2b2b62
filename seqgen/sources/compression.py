"""Decompress .gz, .bz2, .xz and .zst files a block at a time, so that a decompression bomb takes no memory."""

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
    """Return the module of Python 3.14, or its backport; None if neither is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


_zstd = _find_zstd()
_ZSTD_ERRORS: tuple[type[Exception], ...] = () if _zstd is None else (_zstd.ZstdError,)
READ_ERRORS: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError, *_ZSTD_ERRORS)
"""The exceptions that reading a damaged file may raise."""


def decompressed(file: BufferedIOBase | BinaryIO, suffix: str, name: str) -> BinaryIO:
    """Open the content of a compressed file; closing it leaves `file` open.

    Raises:
        TextError: the package that reads .zst is not installed.
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

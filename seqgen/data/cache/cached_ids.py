"""Ids in the cache: those of the training documents, then those of the validation documents. No torch.

    ids.bin         the ids, each of 1, 2 or 4 bytes, little-endian: to be mapped
    starts.i64      where each document begins in it: int64, little-endian
    tokenizer/      what made them
    manifest.json   counts and hashes; written last, so a folder without it is incomplete

`write_ids.py` writes them.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from seqgen.config import Config
from seqgen.data.cache.cached_text import MANIFEST, OFFSET_DTYPE, verify_files
from seqgen.data.cache.encode import Counts
from seqgen.data.documents import Documents
from seqgen.data.leakage import Leakage, PairLeakage
from seqgen.data.split import Split
from seqgen.utils.files import open_regular_file, read_at_most

IDS, STARTS, TOKENIZER = "ids.bin", "starts.i64", "tokenizer"
MANIFEST_LIMIT_BYTES = 1 << 20
"""A real manifest has a thousand."""

IdDtype = Literal["<u1", "<u2", "<u4"]


class IdsManifest(Config):
    """The hashes of the texts and of the tokenizer that made the ids, and what was counted while encoding."""

    text_sha256: str
    valid_sha256: str | None
    tokenizer: str
    vocab_size: int
    dtype: IdDtype
    train: Counts
    valid: Counts
    leakage: Leakage | PairLeakage | None
    files: dict[str, str] = Field(default_factory=dict)
    """The SHA-256 of `ids.bin` and `starts.i64`."""


class CachedIds:
    """Ids on disk, mapped: `train` and `valid`.

    Args:
        folder: where they are.
        split: the parts that were encoded: it says which documents have ends.

    Raises:
        OSError, ValueError: they are missing or incomplete.
        ConfigError: the manifest is not valid.
    """

    def __init__(self, folder: Path, split: Split) -> None:
        content = read_at_most(folder / MANIFEST, MANIFEST_LIMIT_BYTES)
        self.manifest = IdsManifest.from_json(content, str(folder / MANIFEST))
        train, valid = self.manifest.train, self.manifest.valid
        tokens, documents = train.tokens + valid.tokens, train.documents + valid.documents
        with open_regular_file(folder / IDS) as file:
            mapped: np.memmap[Any, Any] = np.memmap(file, dtype=self.manifest.dtype, mode="r", shape=(tokens,))
        with open_regular_file(folder / STARTS) as file:
            starts = np.fromfile(file, dtype=OFFSET_DTYPE)
        if len(starts) != documents:
            raise OSError(errno.EIO, "a file is cut short", str(folder / STARTS))
        ids, starts = mapped.view(np.ndarray), np.append(starts, tokens)
        cut = train.documents
        self.train = Documents(ids[: train.tokens], np.append(starts[:cut], train.tokens), split.ends(split.train))
        self.valid = Documents(ids[train.tokens :], starts[cut:] - train.tokens, split.ends(split.valid))
        self._folder = folder

    def verify(self) -> Self:
        """Return itself if every byte is as it was written; takes a second for each gigabyte or two.

        Raises:
            OSError: a file was changed.
        """
        verify_files(self._folder, self.manifest.files)
        return self


def smallest_dtype(vocab_size: int) -> IdDtype:
    """Return the smallest type that holds every id."""
    return "<u1" if vocab_size <= 1 << 8 else "<u2" if vocab_size <= 1 << 16 else "<u4"

"""Ids of documents: one array, or mapped file, of all of them, and where each begins. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from seqgen.tokenizers.base import Ids


class Documents(Sequence[npt.NDArray[Any]]):
    """The ids of documents, each a slice of `ids`.

    Args:
        ids: [N], of any integer type, without boundaries.
        starts: where each document begins in it, and N: int64 [documents + 1], strictly increasing from 0.
    """

    def __init__(self, ids: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> None:
        self.ids, self.starts = ids, starts

    @classmethod
    def of(cls, documents: Iterable[Ids]) -> Self:
        """Return arrays as documents; empty ones are left out."""
        kept = [ids for ids in documents if len(ids)]
        starts = np.cumsum([0, *map(len, kept)], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, dtype=np.int32), *kept]), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[npt.NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> npt.NDArray[Any] | Sequence[npt.NDArray[Any]]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        one = range(len(self))[index]
        return self.ids[self.starts[one] : self.starts[one + 1]]

    @property
    def tokens(self) -> int:
        """How many ids all documents have."""
        return int(self.starts[-1])

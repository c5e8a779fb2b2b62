"""Ids of documents: one array, or mapped file, of all of them, where each begins, and which have an end. No torch."""

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
        ends: whether the boundary is a target after the last id of a document, bool [documents]; None is all False, as
            for a single text.
    """

    def __init__(
        self, ids: npt.NDArray[Any], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self.ids, self.starts = ids, starts
        self.ends = np.zeros(len(starts) - 1, dtype=bool) if ends is None else ends

    @classmethod
    def of(cls, documents: Iterable[Ids], *, ends: bool = False) -> Self:
        """Return arrays as documents, all of them with ends or none; empty ones are left out."""
        kept = [ids for ids in documents if len(ids)]
        starts = np.cumsum([0, *map(len, kept)], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, dtype=np.int32), *kept]), starts, np.full(len(kept), ends))

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
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many targets each document has: its ids, and its end; int64 [documents]."""
        return np.diff(self.starts) + self.ends.astype(np.int64)

    @property
    def tokens(self) -> int:
        """How many targets all documents have: their ids and ends."""
        return int(self.starts[-1]) + int(self.ends.sum())

"""Counts of n-grams in a stream, exact until a table is full.

A symbol is a number below 2**21 (a code point, or the number of a word), so three of them are one int64 and a table is
two sorted arrays. Runs of symbols that share their first n-1 lie side by side in it, which is what an entropy needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BITS = 21
LONGEST = 3
TABLE_LIMIT = 1 << 20
"""Distinct n-grams, about 16 MB, at which a table is full."""

Symbols = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entropy:
    """An entropy in bits a symbol, as counted, and with Miller and Madow's correction for what was not seen.

    Counts of a short text make the entropies of higher orders too small: most contexts were met once, and what followed
    then looks certain. The correction (distinct n-grams less distinct contexts, by twice the number of symbols, in
    nats; Miller 1955) takes off the first order of that error and no more: it is still too small.
    """

    order: int
    bits: float
    corrected_bits: float
    counted: int
    """Symbols that it was counted over: the first ones, where the table was full then."""


class NGrams:
    """How often each n-gram of a stream of symbols occurs. None spans two documents.

    `counted` symbols have been counted: all of them, unless the table was full first (`is_full`).
    """

    def __init__(self, n: int, limit: int = TABLE_LIMIT) -> None:
        self.n, self.counted = n, 0
        self._limit = limit
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._before = np.empty(0, np.int64)
        """The last n-1 symbols, with which the next ones make n-grams."""

    @property
    def is_full(self) -> bool:
        """Whether the table takes no more: what comes now is not counted."""
        return len(self._keys) >= self._limit

    @property
    def distinct(self) -> int:
        """How many different n-grams there are."""
        return len(self._keys)

    def end_document(self) -> None:
        """What comes next has nothing before it."""
        self._before = self._before[:0]

    def add(self, symbols: Symbols) -> None:
        """Count the n-grams that end in `symbols`, [N], which follow those before."""
        if self.is_full or not len(symbols):
            return
        self.counted += len(symbols)
        stretch = np.concatenate([self._before, symbols])
        self._before = stretch[len(stretch) - min(self.n - 1, len(stretch)) :]
        if len(stretch) < self.n:
            return
        keys = np.zeros(len(stretch) - self.n + 1, np.int64)
        for place in range(self.n):
            keys = keys << BITS | stretch[place : place + len(keys)]
        self._merge(*np.unique(keys, return_counts=True))

    def _merge(self, keys: Symbols, counts: Symbols) -> None:
        """Add counts of sorted keys."""
        places = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), bool)
        inside = places < len(self._keys)
        known[inside] = self._keys[places[inside]] == keys[inside]
        self._counts[places[known]] += counts[known]
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        self._counts = np.insert(self._counts, places[~known], counts[~known])

    def most_frequent(self, number: int) -> list[tuple[tuple[int, ...], int]]:
        """The `number` n-grams that occur most often, as symbols and count; of equals the smaller symbols first."""
        order = np.argsort(-self._counts, kind="stable")[:number]
        mask = (1 << BITS) - 1
        return [
            (tuple(int(key) >> BITS * place & mask for place in reversed(range(self.n))), int(count))
            for key, count in zip(self._keys[order], self._counts[order], strict=True)
        ]

    def entropy(self) -> Entropy:
        """The entropy of a symbol, given the n-1 before it."""
        contexts = self._keys >> BITS
        starts = np.flatnonzero(np.diff(contexts, prepend=-1))
        total = int(self._counts.sum())
        if not total:
            return Entropy(self.n - 1, 0.0, 0.0, 0)
        of_context = np.add.reduceat(self._counts, starts)
        nats = (_times_log(of_context) - _times_log(self._counts)) / total
        missing = (self.distinct - len(starts)) / (2 * total)
        return Entropy(self.n - 1, nats / math.log(2), (nats + missing) / math.log(2), self.counted)


def _times_log(counts: Symbols) -> float:
    """The sum of c ln c."""
    return float((counts * np.log(counts)).sum())

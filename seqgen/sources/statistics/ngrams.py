"""Count the n-grams of a stream of symbols, exactly until a table is full.

A symbol is a number below 2**21 (a code point or the id of a word), so three symbols are one int64, and a table is two
sorted arrays. N-grams that share their first n-1 symbols are next to each other, as the entropy needs them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SYMBOL_BITS = 21
MAX_N = 3
MAX_NGRAMS = 1 << 20
"""The number of distinct n-grams at which a table is full, at about 16 MB."""

Symbols = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entropy:
    """An entropy in bits per symbol, as counted, and with the correction of Miller and Madow.

    Counts of a short text make the entropies of higher orders too small: most contexts occur once, so the next symbol
    looks certain. The correction (distinct n-grams minus distinct contexts, divided by twice the number of symbols, in
    nats; Miller 1955) removes the first order of that error only, so the result is still too small.
    """

    order: int
    bits: float
    corrected_bits: float
    counted: int
    """The number of symbols counted: the first ones, if the table became full."""


class NGrams:
    """The counts of the n-grams of a stream of symbols. No n-gram spans two documents.

    `counted` is the number of symbols counted: all of them, unless the table became full (`is_full`).
    """

    def __init__(self, n: int, limit: int = MAX_NGRAMS) -> None:
        self.n, self.counted = n, 0
        self._limit = limit
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._before = np.empty(0, np.int64)
        """The last n-1 symbols, which begin the next n-grams."""

    @property
    def is_full(self) -> bool:
        """Whether the table is full; further symbols are not counted."""
        return len(self._keys) >= self._limit

    @property
    def distinct(self) -> int:
        """The number of distinct n-grams."""
        return len(self._keys)

    def end_document(self) -> None:
        """Start the next document: its n-grams do not continue those before."""
        self._before = self._before[:0]

    def add(self, symbols: Symbols) -> None:
        """Count the n-grams that end in `symbols`, [N], which continue the symbols before."""
        if self.is_full or not len(symbols):
            return
        self.counted += len(symbols)
        sequence = np.concatenate([self._before, symbols])
        self._before = sequence[len(sequence) - min(self.n - 1, len(sequence)) :]
        if len(sequence) < self.n:
            return
        keys = np.zeros(len(sequence) - self.n + 1, np.int64)
        for place in range(self.n):
            keys = keys << SYMBOL_BITS | sequence[place : place + len(keys)]
        self._merge(*np.unique(keys, return_counts=True))

    def _merge(self, keys: Symbols, counts: Symbols) -> None:
        """Add the counts of sorted keys."""
        places = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), bool)
        inside = places < len(self._keys)
        known[inside] = self._keys[places[inside]] == keys[inside]
        self._counts[places[known]] += counts[known]
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        self._counts = np.insert(self._counts, places[~known], counts[~known])

    def most_frequent(self, number: int) -> list[tuple[tuple[int, ...], int]]:
        """Return the `number` most frequent n-grams as (symbols, count); equal counts by their symbols."""
        order = np.argsort(-self._counts, kind="stable")[:number]
        mask = (1 << SYMBOL_BITS) - 1
        return [
            (tuple(int(key) >> SYMBOL_BITS * place & mask for place in reversed(range(self.n))), int(count))
            for key, count in zip(self._keys[order], self._counts[order], strict=True)
        ]

    def entropy(self) -> Entropy:
        """Return the entropy of a symbol, given the n-1 symbols before it."""
        contexts = self._keys >> SYMBOL_BITS
        starts = np.flatnonzero(np.diff(contexts, prepend=-1))
        total = int(self._counts.sum())
        if not total:
            return Entropy(self.n - 1, 0.0, 0.0, 0)
        of_context = np.add.reduceat(self._counts, starts)
        nats = (_times_log(of_context) - _times_log(self._counts)) / total
        missing = (self.distinct - len(starts)) / (2 * total)
        return Entropy(self.n - 1, nats / math.log(2), (nats + missing) / math.log(2), self.counted)


def _times_log(counts: Symbols) -> float:
    """Return the sum of c ln c."""
    return float((counts * np.log(counts)).sum())

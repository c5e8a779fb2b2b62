"""Measure how much of a sample is copied word for word from the training text of its model.

The text is read once, block by block, in constant memory. For each block, a polynomial hash of every window of n
characters comes from two cumulative sums (Karp and Rabin 1987, modulo 2**64) and is looked up among the sample's. Hits
are compared character by character. The longest copy can only grow: a block without a longer one costs one lookup, and
a block with a longer one is searched by doubling and bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.utils.hashing import Hashes, powers

NGRAM = 30
"""Characters in a row that count as copied: a phrase of five or six words."""
BLOCK_SIZE = 1 << 16
"""Characters of the text that are searched at once: their hashes stay in the processor's cache."""
_TABLE_BITS = 16


@dataclass(frozen=True)
class Memorization:
    """What a sample has in common with the training text.

    `longest_copy` is the sample's longest substring that occurs in the text; it begins at the sample's character
    `start`. `copied_share` is the share of the sample's characters inside n-grams of `NGRAM` characters that occur in
    the text.
    """

    characters: int
    longest_copy: str
    start: int
    copied_share: float


def measure_memorization(samples: Sequence[str], documents: Iterable[Iterable[str]]) -> list[Memorization]:
    """Compare samples with a text.

    Args:
        samples: what the model wrote, one or several.
        documents: the text, each document in chunks of any length. A copy does not cross from one into the next.
    """
    searches = [_Search(sample) for sample in samples]
    longest = max(map(len, samples), default=0)
    size = max(BLOCK_SIZE, 2 * longest)
    for chunks in documents:
        for block in _blocks(chunks, size, overlap=longest):
            windows = _windows_of(block)
            for search in searches:
                search.add(block, windows)
    return [search.result() for search in searches]


Windows = Callable[[int], Hashes]
"""From n to the hashes of all windows of n characters of a text, [N - n + 1]."""


def _windows_of(text: str) -> Windows:
    """Return the window hashes of `text`: (sum of code x base**i over the window) / base**(where it begins)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    up, down = powers(len(codes))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * up[: len(codes)], out=sums[1:])

    def windows(width: int) -> Hashes:
        count = max(0, len(codes) - width + 1)
        return (sums[len(sums) - count :] - sums[:count]) * down[:count]

    return windows


class _Search:
    """What has been found of one sample so far."""

    def __init__(self, sample: str) -> None:
        self._sample = sample
        self._windows = _windows_of(sample)
        self._start = self._length = 0
        self._ngrams = _Lookup(self._windows(NGRAM))
        self._copied = np.zeros(max(0, len(sample) - NGRAM + 1), bool)
        """Which of the sample's n-grams occur in the text."""

    def add(self, block: str, windows: Windows) -> None:
        """Search a block of the text."""
        self._mark_ngrams(block, windows(NGRAM))
        known, tried = self._length, self._length + 1
        while self._find(tried, block, windows):  # double the step until it is too long
            known, tried = tried, tried + 2 * (tried - known)
        while tried - known > 1:
            middle = (known + tried) // 2
            if self._find(middle, block, windows):
                known = middle
            else:
                tried = middle

    def _mark_ngrams(self, block: str, hashes: Hashes) -> None:
        positions = self._ngrams.find_in(hashes)
        found, first = np.unique(hashes[positions], return_index=True)
        for index in np.flatnonzero(~self._copied & np.isin(self._ngrams.hashes, found)):
            position = int(positions[first[np.searchsorted(found, self._ngrams.hashes[index])]])
            self._copied[index] = block[position : position + NGRAM] == self._sample[index : index + NGRAM]

    def _find(self, width: int, block: str, windows: Windows) -> bool:
        """Look for `width` characters of the sample in the block, and keep the longest copy so far."""
        if width > len(self._sample):
            return False
        hashes = windows(width)
        for position in _Lookup(self._windows(width)).find_in(hashes):
            start = self._sample.find(block[position : position + width])
            if start >= 0:
                self._start, self._length = start, width
                return True
        return False

    def result(self) -> Memorization:
        edges = np.zeros(len(self._sample) + 1, np.int64)
        (begins,) = np.nonzero(self._copied)
        edges[begins] += 1
        edges[begins + NGRAM] -= 1
        covered = int((np.cumsum(edges) > 0).sum())
        longest = self._sample[self._start : self._start + self._length]
        return Memorization(len(self._sample), longest, self._start, covered / max(1, len(self._sample)))


class _Lookup:
    """A small set of hashes to find in a large array: by a table of their first bits, then exactly."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._table = np.zeros(1 << _TABLE_BITS, bool)
        self._table[self._slots(hashes)] = True

    def find_in(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return the positions in `hashes` of the members of the set."""
        likely = np.flatnonzero(self._table[self._slots(hashes)])
        return likely[np.isin(hashes[likely], self.hashes)]

    @staticmethod
    def _slots(hashes: Hashes) -> Hashes:
        return hashes >> np.uint64(64 - _TABLE_BITS)


def _blocks(chunks: Iterable[str], size: int, overlap: int) -> Iterator[str]:
    """Yield a document in blocks of `size` characters, each with the `overlap` characters before it."""
    held, new = "", 0
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            part = chunk[start : start + size]
            if new + len(part) > size:
                yield held
                held, new = held[len(held) - min(overlap, len(held)) :], 0
            held, new = held + part, new + len(part)
    if new:
        yield held

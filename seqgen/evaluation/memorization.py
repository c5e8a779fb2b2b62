"""How much of a sample stands word for word in the text that its model learnt from.

The text is read once, piece by piece, in flat memory. Of each piece a polynomial hash of every window of w characters
comes from two cumulative sums (Karp and Rabin 1987, modulo 2**64), and is looked up among those of the sample. What the
hashes find is compared character by character. A sample's longest stretch only ever grows: a piece that has none longer
than the best so far costs one look, one that has is searched by doubling and halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPAN = 30
"""Characters that a stretch must have to count as copied: a phrase of five or six words."""
PIECE = 1 << 16
"""Characters of the text that are looked through at once: what is made of them stays in the processor's cache."""
_TABLE_BITS = 16
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Memorization:
    """What a sample has in common with the training text.

    `stretch` is the longest part of it that stands there verbatim, which begins at its character `start`; `share` is
    how much of it lies in stretches of `SPAN` characters or more.
    """

    characters: int
    stretch: str
    start: int
    share: float


def measure_memorization(samples: Sequence[str], documents: Iterable[Iterable[str]]) -> list[Memorization]:
    """Compare samples with a text.

    Args:
        samples: what the model wrote, one or several.
        documents: the text, each document in chunks of any length. A stretch does not go from one into the next.
    """
    searches = [_Search(sample) for sample in samples]
    longest = max(map(len, samples), default=0)
    powers = _Powers(max(PIECE, 2 * longest) + longest)
    for chunks in documents:
        for piece in _pieces(chunks, max(PIECE, 2 * longest), overlap=longest):
            windows = powers.windows_of(piece)
            for search in searches:
                search.look_through(piece, windows)
    return [search.result() for search in searches]


Windows = Callable[[int], Hashes]
"""From w to the hashes of all windows of w characters of a text, [N - w + 1]."""


class _Powers:
    """The powers of the base and of its inverse, for texts of up to `length` characters."""

    def __init__(self, length: int) -> None:
        self._up, self._down = (self._of(base, length + 1) for base in (_BASE, pow(_BASE, -1, 1 << 64)))

    @staticmethod
    def _of(base: int, count: int) -> Hashes:
        factors = np.full(count, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    def windows_of(self, text: str) -> Windows:
        """The window hashes of `text`: (sum of code x base**i over the window) / base**(where it begins)."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(codes * self._up[: len(codes)], out=sums[1:])

        def windows(width: int) -> Hashes:
            count = max(0, len(codes) - width + 1)
            return (sums[len(sums) - count :] - sums[:count]) * self._down[:count]

        return windows


class _Search:
    """What has been found of one sample so far."""

    def __init__(self, sample: str) -> None:
        self._sample = sample
        self._windows = _Powers(len(sample)).windows_of(sample)
        self._start = self._length = 0
        self._spans = _Lookup(self._windows(SPAN))
        self._copied = np.zeros(max(0, len(sample) - SPAN + 1), bool)
        """Which windows of `SPAN` characters stand in the text."""

    def look_through(self, piece: str, windows: Windows) -> None:
        """Search a piece of the text."""
        self._mark_spans(piece, windows(SPAN))
        known, asked = self._length, self._length + 1
        while self._find(asked, piece, windows):  # double what is added, until it is too much
            known, asked = asked, asked + 2 * (asked - known)
        while asked - known > 1:
            middle = (known + asked) // 2
            if self._find(middle, piece, windows):
                known = middle
            else:
                asked = middle

    def _mark_spans(self, piece: str, hashes: Hashes) -> None:
        positions = self._spans.find_in(hashes)
        found, first = np.unique(hashes[positions], return_index=True)
        for index in np.flatnonzero(~self._copied & np.isin(self._spans.hashes, found)):
            position = int(positions[first[np.searchsorted(found, self._spans.hashes[index])]])
            self._copied[index] = piece[position : position + SPAN] == self._sample[index : index + SPAN]

    def _find(self, width: int, piece: str, windows: Windows) -> bool:
        """Whether `width` characters of the sample stand in the piece; the longest so far is kept."""
        if width > len(self._sample):
            return False
        hashes = windows(width)
        for position in _Lookup(self._windows(width)).find_in(hashes):
            start = self._sample.find(piece[position : position + width])
            if start >= 0:
                self._start, self._length = start, max(self._length, width)
                return True
        return False

    def result(self) -> Memorization:
        edges = np.zeros(len(self._sample) + 1, np.int64)
        (begins,) = np.nonzero(self._copied)
        edges[begins] += 1
        edges[begins + SPAN] -= 1
        covered = int((np.cumsum(edges) > 0).sum())
        stretch = self._sample[self._start : self._start + self._length]
        return Memorization(len(self._sample), stretch, self._start, covered / max(1, len(self._sample)))


class _Lookup:
    """Finds which of many hashes are among a few: by a table of their first bits, then exactly."""

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._table = np.zeros(1 << _TABLE_BITS, bool)
        self._table[self._slots(hashes)] = True

    def find_in(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """The positions in `hashes` of those that are."""
        likely = np.flatnonzero(self._table[self._slots(hashes)])
        return likely[np.isin(hashes[likely], self.hashes)]

    @staticmethod
    def _slots(hashes: Hashes) -> Hashes:
        return hashes >> np.uint64(64 - _TABLE_BITS)


def _pieces(chunks: Iterable[str], size: int, overlap: int) -> Iterator[str]:
    """A document in pieces of `size` characters, each with the `overlap` ones before it."""
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

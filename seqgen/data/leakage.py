"""What is on both sides of a split, word for word: a model that repeats it has not understood it. No torch.

A line shorter than `WINDOW` characters is compared whole. Of a longer one each window of `WINDOW` characters is: so a
passage is found wherever it begins and ends. A line or window is known by a hash of 64 bits; where the withheld part
has too many, those are looked for whose hashes are multiples of 2, 4, ..., which samples both parts alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.config import Config
from seqgen.data.cache.cached_text import Offsets, Span
from seqgen.sources.lines import last_line_start

Hashes: TypeAlias = npt.NDArray[np.uint64]
Weights: TypeAlias = npt.NDArray[np.float64]

WINDOW = 100
"""Characters of a long line that are compared at once: more than lines of a log have between their numbers. At 32, 61%
of 5,000 different lines with two random numbers each were found.
"""
MOST = 1 << 16
"""Hashes that are looked for: their share is known to 0.4%, in some megabytes."""
NOTABLE = 0.25
"""Share of the withheld text that is worth a note. Ordinary text repeats itself: none of a book, 10% of Python code,
19% of some Python packages, 37% of docstrings with those inherited; of a text that is there twice it is 99%.
"""
FILTER_BITS = 20
"""Of a hash: so many say whether it may be looked for, before it is looked up."""
_BASE = 0x9E3779B97F4A7C15
_LF, _CR = 10, 13


class Leakage(Config):
    """Of `looked_for` withheld characters in different lines and passages, how many are in the training part too.

    Where not all were looked for, both are estimates.
    """

    found: int
    looked_for: int

    @property
    def share(self) -> float:
        """The share of the withheld text that is in the training part too."""
        return self.found / max(1, self.looked_for)

    @property
    def is_notable(self) -> bool:
        """Whether it is more than ordinary text repeats by itself."""
        return self.share >= NOTABLE

    def __str__(self) -> str:
        return (
            f"{self.share:.0%} of the validation text also occurs in the training text: remove repeated passages, or "
            "expect a higher loss on new text"
        )


def find_leakage(train: Span, valid: Span) -> Leakage:
    """Compare the training part with what is withheld, by whole short lines and by windows of long ones."""
    wanted, weights, step = _wanted(valid)
    may_be_wanted = np.zeros(1 << FILTER_BITS, bool)
    may_be_wanted[_slots(wanted)] = True
    found = np.zeros(len(wanted), bool)
    for hashes, _ in _pieces(train, step) if len(wanted) else ():
        candidates = hashes[may_be_wanted[_slots(hashes)]]
        places = np.minimum(np.searchsorted(wanted, candidates), len(wanted) - 1)
        found[places[wanted[places] == candidates]] = True
    return Leakage(found=round(step * weights[found].sum()), looked_for=round(step * weights.sum()))


def _wanted(valid: Span) -> tuple[Hashes, Weights, int]:
    """Different hashes of what is withheld, sorted, what each weighs, and the step that sampled them."""
    wanted, weights, step = np.empty(0, np.uint64), np.empty(0), 1
    for hashes, more in _pieces(valid, 1):
        kept = hashes % np.uint64(step) == 0
        wanted, first = np.unique(np.concatenate([wanted, hashes[kept]]), return_index=True)
        weights = np.concatenate([weights, more[kept]])[first]
        while len(wanted) > MOST:
            step *= 2
            kept = wanted % np.uint64(step) == 0
            wanted, weights = wanted[kept], weights[kept]
    return wanted, weights, step


def _slots(hashes: Hashes) -> Hashes:
    """The places of hashes in the filter: their upper bits, since the lower ones sample."""
    return hashes >> np.uint64(64 - FILTER_BITS)


def _pieces(span: Span, step: int) -> Iterator[tuple[Hashes, Weights]]:
    """Hashes of short lines and of windows, those that are multiples of `step`, and how many characters each is for."""
    for _, chunk in span.chunks_split_at(lambda held: last_line_start(held) or len(held)):
        codes = np.frombuffer(chunk.encode("utf-32-le"), np.uint32)
        starts, stops, weights = _lines_and_windows(codes)
        hashes = _hashes(codes, starts, stops)
        kept = hashes % np.uint64(step) == 0
        yield hashes[kept], weights[kept]


def _lines_and_windows(codes: npt.NDArray[np.uint32]) -> tuple[Offsets, Offsets, Weights]:
    """Where short lines and the windows of long ones begin and end, and how many characters each is for.

    A short line is for all of its characters. The windows of a long one share them, each n / (n - WINDOW + 1) of n.
    """
    ends = np.append(np.flatnonzero((codes == _LF) | (codes == _CR)), len(codes))  # CRLF: two, an empty line between
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts
    short = (lengths > 0) & (lengths < WINDOW)
    long = lengths >= WINDOW
    windows = lengths[long] - WINDOW + 1
    # 0, 1, 2, ... within each line: how far its windows begin from its start
    within = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    begins = np.repeat(starts[long], windows) + within
    return (
        np.concatenate([starts[short], begins]),
        np.concatenate([ends[short], begins + WINDOW]),
        np.concatenate([lengths[short], np.repeat(lengths[long] / windows, windows)]),
    )


def _hashes(codes: npt.NDArray[np.uint32], starts: Offsets, stops: Offsets) -> Hashes:
    """A hash of the characters between each start and stop: the sum of mixed(code) * base ** place, modulo 2 ** 64."""
    powers, inverses = _powers(1 << max(1, len(codes)).bit_length())
    sums = np.append(np.uint64(0), np.cumsum(_mixed(codes.astype(np.uint64)) * powers[: len(codes)]))
    return _mixed((sums[stops] - sums[starts]) * inverses[starts])


def _mixed(values: Hashes) -> Hashes:
    """Each value with every bit spread over all of it (the finalizer of splitmix64)."""
    values = values + np.uint64(_BASE)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@functools.lru_cache(maxsize=2)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """The first `size` powers of the base, and of its inverse, modulo 2 ** 64."""
    factors = np.array([[_BASE], [pow(_BASE, -1, 1 << 64)]], np.uint64).repeat(size, axis=1)
    factors[:, 0] = 1
    powers, inverses = np.cumprod(factors, axis=1)
    return powers, inverses

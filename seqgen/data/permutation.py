"""The order in which windows are shown: drawn as a whole while that is small, computed where it would be large."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Places: TypeAlias = npt.NDArray[np.int64]
Permutation: TypeAlias = Callable[[Places], Places]

DRAWN_AT_MOST = 1 << 22
"""Things of which the whole order is drawn: 32 MiB."""
ROUNDS = 6


def permutation(count: int, random: np.random.Generator) -> Permutation:
    """A random order of 0 ... count - 1, as a function from places to what stands there."""
    if count <= DRAWN_AT_MOST:
        drawn = random.permutation(count)
        return lambda places: drawn[places]
    return _feistel(count, random)


def _feistel(count: int, random: np.random.Generator) -> Permutation:
    """A Feistel network over the least even number of bits that `count` fits in, walked on until it is back below
    `count`: a permutation that takes no memory (Black and Rogaway 2002, cycle walking).
    """
    half = np.uint64(((count - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << int(half)) - 1)
    keys = random.integers(1 << 63, size=ROUNDS, dtype=np.uint64)

    def once(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> half, values & mask
        for key in keys:
            left, right = right, left ^ (_mix(right + key) & mask)
        return left << half | right

    def look_up(places: Places) -> Places:
        values = once(places.astype(np.uint64))
        while (outside := values >= count).any():
            values[outside] = once(values[outside])
        return values.astype(np.int64)

    return look_up


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Every bit of the result from every bit of the value (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

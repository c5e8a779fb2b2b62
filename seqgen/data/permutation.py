"""Draw random permutations: as a table while that is small, else as a function that takes no memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.utils.hashing import mix

Places: TypeAlias = npt.NDArray[np.int64]
Permutation: TypeAlias = Callable[[Places], Places]

MAX_TABLE_SIZE = 1 << 22
"""Numbers in a table: 32 MiB."""
FEISTEL_ROUNDS = 6


def permutation(count: int, random: np.random.Generator) -> Permutation:
    """Return a random permutation of 0 ... count - 1, as a function from places to numbers."""
    if count <= MAX_TABLE_SIZE:
        drawn = random.permutation(count)
        return lambda places: drawn[places]
    return _feistel(count, random)


def _feistel(count: int, random: np.random.Generator) -> Permutation:
    """Return a permutation by a Feistel network over the least even number of bits that `count` fits in.

    A result of `count` or more is permuted again until it is below (cycle walking, Black and Rogaway 2002).
    """
    half = np.uint64(((count - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << int(half)) - 1)
    keys = random.integers(1 << 63, size=FEISTEL_ROUNDS, dtype=np.uint64)

    def once(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> half, values & mask
        for key in keys:
            left, right = right, left ^ (mix(right + key) & mask)
        return left << half | right

    def look_up(places: Places) -> Places:
        values = once(places.astype(np.uint64))
        while (outside := values >= count).any():
            values[outside] = once(values[outside])
        return values.astype(np.int64)

    return look_up

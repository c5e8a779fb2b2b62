"""Hash windows of a text by a polynomial of its characters, modulo 2**64 (Karp and Rabin 1987). No torch."""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]

BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64


def powers(length: int) -> tuple[Hashes, Hashes]:
    """Return the powers of the base, and of its inverse, with exponents from 0 to at least `length`."""
    return _powers(BASE, 1 << length.bit_length())


@functools.lru_cache(maxsize=4)
def _powers(base: int, count: int) -> tuple[Hashes, Hashes]:
    factors = np.array([[base], [pow(base, -1, 1 << 64)]], np.uint64).repeat(count, axis=1)
    factors[:, 0] = 1
    up, down = np.cumprod(factors, axis=1)
    return up, down


def mix(values: Hashes) -> Hashes:
    """Return each value with every bit spread over all of it (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

"""Training by negative sampling, compiled by numba; the plain twin is `batches.py`, which sums gradients of a batch.

Here each prediction is learned before the next one, as in word2vec.c. Arrays are C-contiguous and fp32. Threads call
`_train_blocks` for different blocks at the same time and write to the same vectors without locks (Hogwild; Recht et
al., 2011): a change that another thread overwrites is lost, which is rare and does no harm.

Importing this module needs numba, which caches the compiled code next to this file or in the user's cache directory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from seqgen.embeddings.draws import FACTORS, GAMMA

U64, F32 = np.uint64, np.float32
_GAMMA, _FACTOR_1, _FACTOR_2 = U64(GAMMA), U64(FACTORS[0]), U64(FACTORS[1])
_1, _2, _27, _30, _31, _32 = (U64(number) for number in (1, 2, 27, 30, 31, 32))
_LOW = U64(0xFFFFFFFF)
FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Allow sums to be reordered, but keep NaN and infinity."""
LIMIT, SCALE = 16.0, 128.0
"""The table of the sigmoid has 128 entries for each unit from -16 to 16; between them it is linear, within 1e-6."""
SIGMOID: npt.NDArray[np.float32] = (1 / (1 + np.exp(-np.arange(-LIMIT, LIMIT + 1, 1 / SCALE)))).astype(np.float32)
LARGEST = np.finfo(F32).max
"""The largest score that is finite."""
SIZE = 0
"""The length of the vectors, a constant of the compiled code: `compile_for` sets it."""
MEASURED = 16
"""The loss is measured at every 16th word of a block: its logarithms would take a tenth of the time. The first of them
is drawn, or of short documents only the first words would be measured."""


def compile_for(size: int) -> Callable[..., tuple[float, int]]:
    """Return `_train_blocks` for vectors of this length: with a length that LLVM knows, it is a quarter faster."""
    learn = _with_globals(_learn, size, SIZE=size)
    compiled: Callable[..., tuple[float, int]] = _with_globals(_train_blocks, size, _learn=learn)
    return compiled


@functools.cache
def _with_globals(function: Any, size: int, **values: Any) -> Any:
    """Compile a copy of a function that has other globals, and a name that numba caches it by."""
    copy = FunctionType(function.__code__, {**globals(), **values}, f"{function.__name__}_{size}")
    copy.__qualname__ = copy.__name__
    return njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")(copy)


@njit(inline="always")
def _mix(x: Any) -> Any:
    x = (x ^ (x >> _30)) * _FACTOR_1
    x = (x ^ (x >> _27)) * _FACTOR_2
    return x ^ (x >> _31)


@njit(inline="always")
def _draw(key: Any, counter: Any) -> Any:
    return _mix(key + counter * _GAMMA)


@njit(inline="always")
def _entry(score: Any) -> Any:
    """Return the place of a score in the table of the sigmoid, between two entries."""
    entry = (score + F32(LIMIT)) * F32(SCALE)
    if not entry > F32(0.0):  # NaN too
        return F32(0.0)
    return min(entry, F32(2 * LIMIT * SCALE - 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _subsample(rows: Any, begin: Any, end: Any, key: Any, steps: Any, kept: Any, words: Any) -> Any:
    """Copy the words of a block that are not left out into `words`; return how many they are."""
    length = 0
    for place in range(begin, end):
        word = rows[place]
        if (_draw(key, U64(place - begin) * steps) >> _32) < kept[word]:
            words[length] = word
            length += 1
    return length


def _learn(  # noqa: PLR0912
    words: Any, length: int, key: Any, steps: Any, accept: Any, alias: Any, vectors: Any, contexts: Any,
    sigmoid: Any, skipgram: Any, window: Any, negative: Any, rate: Any, hidden: Any, change: Any,
) -> Any:  # fmt: skip
    """Learn the predictions of a block; return the sum of the measured losses, and their number."""
    # No function that takes an array is called here: numba would count its references, for each thread in turn.
    loss, measured, shift = 0.0, 0, int(key % U64(MEASURED))
    for i in range(length):
        first, is_measured = U64(i) * steps, (i + shift) % MEASURED == 0
        reach = 1 + int(((_draw(key, first + _1) >> _32) * U64(window)) >> _32)
        low, high, target = max(0, i - reach), min(length, i + reach + 1), words[i]
        for place in range(low, high):
            if place == i:
                continue
            slot, start, end, weight = 0, low, high, F32(1.0) / F32(high - low - 1)  # the inputs: the whole window
            if skipgram:
                slot, start, end, weight = place - i + window - (1 if place > i else 0), place, place + 1, F32(1.0)
            for d in range(SIZE):
                hidden[d] = change[d] = F32(0.0)
            for other in range(start, end):
                if other != i:
                    row = words[other]  # read once: inside the loop it would keep LLVM from using vectors
                    for d in range(SIZE):
                        hidden[d] += vectors[row, d] * weight
            for k in range(negative + 1):
                row, label = target, F32(1.0)
                if k > 0:
                    number = _draw(key, first + _2 + U64(slot * negative + k - 1))
                    column = np.int64(((number >> _32) * U64(len(accept))) >> _32)
                    row, label = column if (number & _LOW) < accept[column] else np.int64(alias[column]), F32(0.0)
                    if row == target:
                        continue
                score = F32(0.0)
                for d in range(SIZE):
                    score += hidden[d] * contexts[row, d]
                entry = _entry(score)
                below = np.int64(entry)
                share = sigmoid[below] + (entry - F32(below)) * (sigmoid[below + 1] - sigmoid[below])
                if is_measured:
                    if not abs(score) <= LARGEST:  # numba folds math.isfinite away where sums may be reordered
                        loss = math.nan  # the table of the sigmoid hides it
                    loss -= math.log(max(share if k == 0 else F32(1.0) - share, F32(1e-7)))
                gradient = (label - share) * rate
                for d in range(SIZE):
                    change[d] += gradient * contexts[row, d]
                for d in range(SIZE):
                    contexts[row, d] += gradient * hidden[d]
            measured += 1 if is_measured else 0
            for other in range(start, end):
                if other != i:
                    row = words[other]
                    for d in range(SIZE):
                        vectors[row, d] += change[d] * weight
            if not skipgram:
                break  # all places are the inputs of one prediction
    return loss, measured


def _train_blocks(
    rows: Any, starts: Any, first: Any, last: Any, epoch_key: Any, steps: Any, kept: Any, accept: Any, alias: Any,
    vectors: Any, contexts: Any, sigmoid: Any, skipgram: Any, window: Any, negative: Any, rates: Any,
) -> Any:  # fmt: skip
    """Learn the blocks from `first` up to `last`; return the sum of the measured losses, and their number.

    Args are those of `draws.draw_examples`, one by one; `rates` has the learning rate of each block from `first` on.
    """
    hidden, change = np.empty(vectors.shape[1], F32), np.empty(vectors.shape[1], F32)
    longest = 0
    for block in range(first, last):
        longest = max(longest, starts[block + 1] - starts[block])
    words = np.empty(longest, np.int64)
    loss, measured = 0.0, 0
    for block in range(first, last):
        key = _mix(epoch_key + U64(block) * _GAMMA)
        length = _subsample(rows, starts[block], starts[block + 1], key, steps, kept, words)
        own_loss, own_measured = _learn(
            words, length, key, steps, accept, alias, vectors, contexts, sigmoid, skipgram, window, negative,
            rates[block - first], hidden, change,
        )  # fmt: skip
        loss, measured = loss + own_loss, measured + own_measured
    return loss, measured

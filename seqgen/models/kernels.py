"""What the compiled decoders are made of, as numba compiles it: products, gates, attention, all on plain arrays.

Arrays are fp32 and C-contiguous. A weight [N, K] is fp32, bf16 (its bits, uint16) or int8, N a multiple of 4 (rows of
zeros fill it up), with a scale [N] for each row: what is multiplied and summed is fp32 in each of them. Sums may be
taken in any order, so that they vectorise; which order does not depend on the number of threads.

Importing this takes numba. What it compiles is kept in its cache, beside this file or in the user's cache directory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, get_num_threads, njit, prange, set_num_threads, types
from numba.extending import overload

__all__ = [
    "MOST_THREADS", "TILE", "attend", "get_num_threads", "multiply", "normalise", "reset", "set_num_threads",
    "step_gru_after", "step_gru_before", "step_lstm", "step_rnn", "swiglu",
]  # fmt: skip
MOST_THREADS: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

F32 = np.float32
FAST = {"reassoc", "contract", "nsz", "arcp"}
"""What the order of sums may do; numbers that are none stay as they are."""
TILE = 4
"""Rows of the weight, and of what it multiplies, that are worked on at once, in registers."""
LN_2_HIGH, LN_2_LOW = F32(0.693359375), F32(-2.12194440e-4)


def widen(number: Any) -> Any:
    """A number of a weight in fp32; so without numba's compiler too (NUMBA_DISABLE_JIT)."""
    if isinstance(number, np.uint16):
        return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return F32(number)


@overload(widen, inline="always", strict=False)  # strict would have the lambda annotated
def _widen(number: Any) -> Any:
    if number is types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: np.float32(number)  # noqa: PLW0108 - numba compiles no other callable


@njit(cache=True, fastmath=FAST)
def exponential(x: np.float32) -> np.float32:
    """e^x in fp32, to its last bits, from -87 to 88 (and held there): Cephes' expf, which vectorises."""
    # max and min would make a number of what is none.
    x = F32(-87.0) if x < F32(-87.0) else x  # noqa: FURB136
    x = F32(88.0) if x > F32(88.0) else x  # noqa: FURB136
    whole = np.floor(x * F32(1.44269504) + F32(0.5))
    x = x - whole * LN_2_HIGH - whole * LN_2_LOW
    y = F32(1.9875691500e-4)
    y = y * x + F32(1.3981999507e-3)
    y = y * x + F32(8.3334519073e-3)
    y = y * x + F32(4.1665795894e-2)
    y = y * x + F32(1.6666665459e-1)
    y = y * x + F32(5.0000001201e-1)
    y = y * x * x + x + F32(1.0)
    return y * np.uint32(np.int32(np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(cache=True, fastmath=FAST)
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + e^-x)."""
    return F32(1.0) / (F32(1.0) + exponential(-x))


@njit(cache=True, fastmath=FAST)
def tanh(x: np.float32) -> np.float32:
    """Through the sigmoid: to 2e-7, not to the last bit of what is near 0."""
    return F32(2.0) * sigmoid(F32(2.0) * x) - F32(1.0)


@njit(cache=True, parallel=True, fastmath=FAST)
def multiply(x: Floats, weight: Array, scale: Floats, out: Floats) -> None:
    """out [B, N] += x [B, K] @ weight [N, K].T, each column times its scale."""
    rows, size = x.shape
    for tile in prange(weight.shape[0] // TILE):
        n = TILE * tile
        tiled = rows - rows % TILE
        for b in range(0, tiled, TILE):
            a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = F32(0.0)
            a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = F32(0.0)
            for k in range(size):
                w0, w1 = widen(weight[n, k]), widen(weight[n + 1, k])
                w2, w3 = widen(weight[n + 2, k]), widen(weight[n + 3, k])
                x0, x1, x2, x3 = x[b, k], x[b + 1, k], x[b + 2, k], x[b + 3, k]
                a00, a01, a02, a03 = a00 + w0 * x0, a01 + w1 * x0, a02 + w2 * x0, a03 + w3 * x0
                a10, a11, a12, a13 = a10 + w0 * x1, a11 + w1 * x1, a12 + w2 * x1, a13 + w3 * x1
                a20, a21, a22, a23 = a20 + w0 * x2, a21 + w1 * x2, a22 + w2 * x2, a23 + w3 * x2
                a30, a31, a32, a33 = a30 + w0 * x3, a31 + w1 * x3, a32 + w2 * x3, a33 + w3 * x3
            add(out, scale, b, n, a00, a01, a02, a03)
            add(out, scale, b + 1, n, a10, a11, a12, a13)
            add(out, scale, b + 2, n, a20, a21, a22, a23)
            add(out, scale, b + 3, n, a30, a31, a32, a33)
        for b in range(tiled, rows):
            a0 = a1 = a2 = a3 = F32(0.0)
            for k in range(size):
                x0 = x[b, k]
                a0, a1 = a0 + widen(weight[n, k]) * x0, a1 + widen(weight[n + 1, k]) * x0
                a2, a3 = a2 + widen(weight[n + 2, k]) * x0, a3 + widen(weight[n + 3, k]) * x0
            add(out, scale, b, n, a0, a1, a2, a3)


@njit(cache=True, fastmath=FAST)
def add(
    out: Floats, scale: Floats, b: int, n: int, a0: np.float32, a1: np.float32, a2: np.float32, a3: np.float32
) -> None:
    """Four sums of a row to where they belong; what fills up the weight belongs nowhere."""
    left = out.shape[1] - n
    out[b, n] += a0 * scale[n]
    if left > 1:
        out[b, n + 1] += a1 * scale[n + 1]
    if left > 2:
        out[b, n + 2] += a2 * scale[n + 2]
    if left > 3:
        out[b, n + 3] += a3 * scale[n + 3]


# --- recurrent cells: the equations are in cells.py


@njit(cache=True, fastmath=FAST)
def step_rnn(sums: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """sums [B, H] -> the hidden state of layer `depth`, in state [B, layers, H], and added to out [B, H]."""
    hidden = state[0]
    for b in range(len(sums)):
        for i in range(hidden.shape[2]):
            hidden[b, depth, i] = tanh(sums[b, i])
            out[b, i] += hidden[b, depth, i]


@njit(cache=True, fastmath=FAST)
def step_lstm(sums: Floats, state: tuple[Floats, Floats], depth: int, out: Floats) -> None:
    """The same for sums [B, 4 x H], and the cell state beside the hidden one."""
    hidden, cell = state
    size = hidden.shape[2]
    for b in range(len(sums)):
        for i in range(size):
            kept = sigmoid(sums[b, size + i]) * cell[b, depth, i]
            cell[b, depth, i] = kept + sigmoid(sums[b, i]) * tanh(sums[b, 2 * size + i])
            hidden[b, depth, i] = sigmoid(sums[b, 3 * size + i]) * tanh(cell[b, depth, i])
            out[b, i] += hidden[b, depth, i]


@njit(cache=True, fastmath=FAST)
def step_gru_after(x_sums: Floats, h_sums: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """The same for a gru with the reset gate after the product, whose sums [B, 3 x H] come apart."""
    hidden = state[0]
    size = hidden.shape[2]
    for b in range(len(x_sums)):
        for i in range(size):
            r = sigmoid(x_sums[b, i] + h_sums[b, i])
            z = sigmoid(x_sums[b, size + i] + h_sums[b, size + i])
            candidate = tanh(x_sums[b, 2 * size + i] + r * h_sums[b, 2 * size + i])
            hidden[b, depth, i] = z * hidden[b, depth, i] + (F32(1.0) - z) * candidate
            out[b, i] += hidden[b, depth, i]


@njit(cache=True, fastmath=FAST)
def reset(sums: Floats, state: tuple[Floats], depth: int) -> Floats:
    """r * h, which the candidate of a gru with the reset gate before the product sees: [B, H]."""
    hidden = state[0]
    rows, _, size = hidden.shape
    seen = np.empty((rows, size), np.float32)
    for b in range(rows):
        for i in range(size):
            seen[b, i] = sigmoid(sums[b, i]) * hidden[b, depth, i]
    return seen


@njit(cache=True, fastmath=FAST)
def step_gru_before(sums: Floats, n_sums: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """The same for that gru: sums [B, 3 x H], in which the candidate's lack n_sums [B, H], the product with `reset`."""
    hidden = state[0]
    size = hidden.shape[2]
    for b in range(len(sums)):
        for i in range(size):
            z = sigmoid(sums[b, size + i])
            candidate = tanh(sums[b, 2 * size + i] + n_sums[b, i])
            hidden[b, depth, i] = z * hidden[b, depth, i] + (F32(1.0) - z) * candidate
            out[b, i] += hidden[b, depth, i]


# --- transformer


@njit(cache=True, fastmath=FAST)
def normalise(x: Floats, epsilon: float) -> Floats:
    """RMSNorm without its scale, [B, H] -> the same."""
    rows, size = x.shape
    out = np.empty_like(x)
    for b in range(rows):
        square = F32(0.0)
        for i in range(size):
            square += x[b, i] * x[b, i]
        factor = F32(1.0 / math.sqrt(square / size + epsilon))
        for i in range(size):
            out[b, i] = x[b, i] * factor
    return out


@njit(cache=True, fastmath=FAST)
def swiglu(gate_up: Floats) -> Floats:
    """silu(gate) * up, [B, 2 x N] -> [B, N]."""
    size = gate_up.shape[1] // 2
    out = np.empty((len(gate_up), size), np.float32)
    for b in range(len(gate_up)):
        for i in range(size):
            out[b, i] = gate_up[b, i] * sigmoid(gate_up[b, i]) * gate_up[b, size + i]
    return out


@njit(cache=True, fastmath=FAST)
def turn(x: Floats, cos: Floats, sin: Floats) -> None:
    """Rotate each pair (i, i + D/2) of x [D] by its angle, in place."""
    half = len(x) // 2
    for i in range(half):
        first, second = x[i], x[half + i]
        x[i] = first * cos[i] - second * sin[i]
        x[half + i] = second * cos[i] + first * sin[i]


@njit(cache=True, fastmath=FAST)
def look(
    query: Floats, keys: Floats, values: Floats, ranges: tuple[tuple[int, int], tuple[int, int]], out: Floats
) -> None:
    """Attention of one query [D] over keys and values [ring, D] in two ranges of slots -> out [D]."""
    size = len(query)
    scores = np.empty(len(keys), np.float32)
    factor = F32(1.0 / math.sqrt(size))
    largest = F32(-np.inf)
    for begin, end in ranges:
        for slot in range(begin, end):
            score = F32(0.0)
            for i in range(size):
                score += query[i] * keys[slot, i]
            scores[slot] = score * factor
            largest = max(largest, scores[slot])
    total = F32(0.0)
    for begin, end in ranges:
        for slot in range(begin, end):
            scores[slot] = exponential(scores[slot] - largest)
        for slot in range(begin, end):
            total += scores[slot]
    out[:] = F32(0.0)
    for begin, end in ranges:
        for slot in range(begin, end):
            share = scores[slot] / total
            for i in range(size):
                out[i] += share * values[slot, i]


@njit(cache=True, parallel=True, fastmath=FAST)
def attend(
    products: Floats, keys: Floats, values: Floats, position: Integers, begin: Integers, cos: Floats, sin: Floats
) -> Floats:
    """Attention of a new token a row, whose key and value take their place in the ring.

    Args:
        products: queries, keys and values of the new tokens, [B, 3, heads, D]; used up.
        keys: the cache's, [B, heads, ring, D].
        values: the cache's, [B, heads, ring, D].
        position: of the new token, [B].
        begin: the position of its document's first, [B].
        cos: of the rotary angles, [B, D / 2]; of width 0 without them.
        sin: the same.

    Returns:
        [B, heads x D].
    """
    rows, _, heads, size = products.shape
    ring = keys.shape[2]
    out = np.empty((rows, heads * size), np.float32)
    for task in prange(rows * heads):
        b, head = task // heads, task % heads
        query, key = products[b, 0, head], products[b, 1, head]
        if cos.shape[1]:
            turn(query, cos[b], sin[b])
            turn(key, cos[b], sin[b])
        slot = position[b] % ring
        keys[b, head, slot] = key
        values[b, head, slot] = products[b, 2, head]
        count = min(position[b] - begin[b] + 1, ring)
        wrapped = max(count - slot - 1, 0)  # slots at the end of the ring that are older than those at its beginning
        ranges = ((slot + 1 - (count - wrapped), slot + 1), (ring - wrapped, ring))
        look(query, keys[b, head], values[b, head], ranges, out[b, head * size : (head + 1) * size])
    return out

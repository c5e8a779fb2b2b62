"""Kernels of the compiled steppers: products, gates and attention on plain arrays, compiled by numba.

Arrays are C-contiguous. `Floats` are fp32; an `Array` is fp32 or the bits of bf16 (uint16), as the products around it
need; a weight may also be int8 with a scale per row. All arithmetic is fp32. Sums may be reordered so that loops
vectorize, in an order that does not depend on the number of threads. The error model is numpy's, because a loop whose
divisions may raise an error does not vectorize.

Importing this module needs numba, which caches the compiled code next to this file or in the user's cache directory.
All kernels share one file because numba drops a cached function only when the function's own file changes.

Plain twins: `cells.py` for the gates; `rotate`, `remember` and `TransformerStepper` for attention.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import config, get_num_threads, njit, prange, set_num_threads, types
from numba.extending import overload

__all__ = [
    "MAX_THREADS", "PANEL", "TILE", "add_and_normalize", "attend", "block", "get_num_threads", "product", "reset",
    "set_num_threads", "step_gru_after", "step_gru_before", "step_lstm", "step_rnn", "step_rnn_relu",
    "step_rnn_sigmoid", "store_rows", "swiglu",
]  # fmt: skip
MAX_THREADS: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
T = TypeVar("T")
Four = tuple[T, T, T, T]
Place = tuple[Array, Array, Integers, Integers, Floats, Floats]
"""Keys and values [B, heads, ring, D]; position of the new token and of its document's start, int64 [B]; and cosines
and sines of its rotary angles [B, D / 2], of width 0 without them."""

F32 = np.float32
FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Allow sums to be reordered, but keep NaN and infinity."""
TILE = 4
"""Rows of a weight, or of its input, that are processed at once in registers."""
PANEL = 64
"""Columns of the result that are processed at once in a product of many rows."""
LN_2_HIGH, LN_2_LOW = F32(0.693359375), F32(-2.12194440e-4)


def widen(number: Any) -> Any:
    """Convert a number of a weight to fp32; this form runs when numba does not compile (NUMBA_DISABLE_JIT)."""
    if isinstance(number, np.uint16):
        return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return F32(number)


@overload(widen, inline="always", strict=False)  # strict would require an annotated lambda
def _widen(number: Any) -> Any:
    if number is types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: np.float32(number)  # noqa: PLW0108 - numba compiles no other callable


@njit(cache=True, fastmath=FAST, error_model="numpy")
def exponential(x: np.float32) -> np.float32:
    """Compute e^x in fp32 to the last bits, with x clamped to [-87, 88]: Cephes' expf, which vectorizes."""
    # max and min would turn NaN into a number.
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


@njit(cache=True, fastmath=FAST, error_model="numpy")
def sigmoid(x: np.float32) -> np.float32:
    """Compute 1 / (1 + e^-x)."""
    return F32(1.0) / (F32(1.0) + exponential(-x))


@njit(cache=True, fastmath=FAST, error_model="numpy")
def tanh(x: np.float32) -> np.float32:
    """Compute tanh by the sigmoid, to an absolute error of 2e-7."""
    return F32(2.0) * sigmoid(F32(2.0) * x) - F32(1.0)


# --- products


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def multiply(x: Floats, weight: Array, scale: Floats, out: Floats) -> None:
    """Compute out [B, N] = x [B, K] @ weight [N, K].T, each column times its scale [N], for few rows.

    The weight is padded with rows of zeros to a multiple of `TILE`.
    """
    for tile in prange(weight.shape[0] // TILE):
        n = TILE * tile
        for b in range(len(x)):
            a0 = a1 = a2 = a3 = F32(0.0)
            for k in range(x.shape[1]):
                x0 = x[b, k]
                a0, a1 = a0 + widen(weight[n, k]) * x0, a1 + widen(weight[n + 1, k]) * x0
                a2, a3 = a2 + widen(weight[n + 2, k]) * x0, a3 + widen(weight[n + 3, k]) * x0
            out[b, n] = a0 * scale[n]
            left = out.shape[1] - n
            if left > 1:
                out[b, n + 1] = a1 * scale[n + 1]
            if left > 2:
                out[b, n + 2] = a2 * scale[n + 2]
            if left > 3:
                out[b, n + 3] = a3 * scale[n + 3]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def multiply_panels(x: Floats, panels: Array, scale: Floats, out: Floats) -> None:
    """Do the same for many rows, with the weight in panels [N / PANEL, K, PANEL], the last one padded.

    A vector holds neighboring sums here, and parts of one sum in `multiply`.
    """
    rows, size = x.shape
    for panel in prange(len(panels)):
        n = PANEL * panel
        w = panels[panel]
        sums = np.empty((TILE, PANEL), np.float32)
        for b in range(0, rows, TILE):
            b1, b2, b3 = min(b + 1, rows - 1), min(b + 2, rows - 1), min(b + 3, rows - 1)  # the last, once more
            sums[:] = F32(0.0)
            for k in range(0, size - size % TILE, TILE):
                x00, x01, x02, x03 = x[b, k], x[b, k + 1], x[b, k + 2], x[b, k + 3]
                x10, x11, x12, x13 = x[b1, k], x[b1, k + 1], x[b1, k + 2], x[b1, k + 3]
                x20, x21, x22, x23 = x[b2, k], x[b2, k + 1], x[b2, k + 2], x[b2, k + 3]
                x30, x31, x32, x33 = x[b3, k], x[b3, k + 1], x[b3, k + 2], x[b3, k + 3]
                for j in range(PANEL):
                    w0, w1, w2, w3 = widen(w[k, j]), widen(w[k + 1, j]), widen(w[k + 2, j]), widen(w[k + 3, j])
                    sums[0, j] += x00 * w0 + x01 * w1 + x02 * w2 + x03 * w3
                    sums[1, j] += x10 * w0 + x11 * w1 + x12 * w2 + x13 * w3
                    sums[2, j] += x20 * w0 + x21 * w1 + x22 * w2 + x23 * w3
                    sums[3, j] += x30 * w0 + x31 * w1 + x32 * w2 + x33 * w3
            for k in range(size - size % TILE, size):
                for j in range(PANEL):
                    w0 = widen(w[k, j])
                    sums[0, j] += x[b, k] * w0
                    sums[1, j] += x[b1, k] * w0
                    sums[2, j] += x[b2, k] * w0
                    sums[3, j] += x[b3, k] * w0
            for row in range(min(TILE, rows - b)):
                for j in range(min(PANEL, out.shape[1] - n)):
                    out[b + row, n + j] = sums[row, j] * scale[n + j]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def product(x: Floats, weight: Array, scale: Floats) -> Floats:
    """Compute the product [B, N] by the kernel that the weight is laid out for."""
    out = np.empty((len(x), len(scale)), np.float32)
    if weight.ndim == 3:
        multiply_panels(x, weight, scale, out)
    else:
        multiply(x, weight, scale, out)
    return out


@njit(cache=True, fastmath=FAST, error_model="numpy")
def store(numbers: Floats, kept: Array) -> None:
    """Store fp32 [N] as fp32 or as the bits of bf16, rounded to nearest even like torch."""
    if kept.itemsize == 4:
        for i in range(len(numbers)):
            kept[i] = numbers[i]
        return
    bits = numbers.view(np.uint32)
    for i in range(len(numbers)):
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        rounded = np.uint16((bits[i] + np.uint32(0x7FFF) + odd) >> np.uint32(16))
        kept[i] = rounded if numbers[i] == numbers[i] else np.uint16(0x7FC0)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def store_rows(numbers: Floats, kept: Array) -> None:
    """Store the rows of fp32 [B, N]."""
    for b in prange(len(numbers)):
        store(numbers[b], kept[b])


# --- recurrent cells (equations in cells.py). x_sums are sums over the input, h_sums over the hidden state


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_rnn(x_sums: Array, h_sums: Array, bias: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """Step layer `depth` of state [B, layers, H] with sums [B, H], bias [H]; add its hidden state to out [B, H]."""
    for b in prange(len(x_sums)):
        x, h, hidden, y = x_sums[b], h_sums[b], state[0][b, depth], out[b]
        for i in range(len(y)):
            hidden[i] = tanh(widen(x[i]) + widen(h[i]) + bias[i])
            y[i] += hidden[i]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_rnn_sigmoid(x_sums: Array, h_sums: Array, bias: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """Do the same with a sigmoid in place of the tanh."""
    for b in prange(len(x_sums)):
        x, h, hidden, y = x_sums[b], h_sums[b], state[0][b, depth], out[b]
        for i in range(len(y)):
            hidden[i] = sigmoid(widen(x[i]) + widen(h[i]) + bias[i])
            y[i] += hidden[i]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_rnn_relu(x_sums: Array, h_sums: Array, bias: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """Do the same with a ReLU in place of the tanh."""
    for b in prange(len(x_sums)):
        x, h, hidden, y = x_sums[b], h_sums[b], state[0][b, depth], out[b]
        for i in range(len(y)):
            total = widen(x[i]) + widen(h[i]) + bias[i]
            hidden[i] = F32(0.0) if total < F32(0.0) else total  # noqa: FURB136 - max would turn NaN into a number
            y[i] += hidden[i]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_lstm(
    x_sums: Array, h_sums: Array, bias: Floats, state: tuple[Floats, Floats], depth: int, out: Floats
) -> None:
    """Do the same for an LSTM, with sums [B, 4 x H] and a state of hidden and cell states."""
    for b in prange(len(x_sums)):
        lstm_row(x_sums[b], h_sums[b], bias, state[0][b, depth], state[1][b, depth], out[b])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def lstm_row(x: Array, h: Array, bias: Floats, hidden: Floats, cell: Floats, out: Floats) -> None:
    """Compute one row of `step_lstm`."""
    size = len(hidden)
    for i in range(size):
        f, g, o = size + i, 2 * size + i, 3 * size + i
        kept = sigmoid(widen(x[f]) + widen(h[f]) + bias[f]) * cell[i]
        new = kept + sigmoid(widen(x[i]) + widen(h[i]) + bias[i]) * tanh(widen(x[g]) + widen(h[g]) + bias[g])
        shown = sigmoid(widen(x[o]) + widen(h[o]) + bias[o]) * tanh(new)
        cell[i] = new
        hidden[i] = shown
        out[i] += shown


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_gru_after(
    x_sums: Array, h_sums: Array, biases: tuple[Floats, Floats], state: tuple[Floats], depth: int, out: Floats
) -> None:
    """Do the same for a GRU with the reset gate after the product: sums [B, 3 x H], a bias for each of them."""
    for b in prange(len(x_sums)):
        gru_row(x_sums[b], h_sums[b], biases[0], biases[1], state[0][b, depth], out[b])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def gru_row(x: Array, h: Array, x_bias: Floats, h_bias: Floats, hidden: Floats, out: Floats) -> None:
    """Compute one row of `step_gru_after`."""
    size = len(hidden)
    for i in range(size):
        z_at, n_at = size + i, 2 * size + i
        r = sigmoid(widen(x[i]) + x_bias[i] + widen(h[i]) + h_bias[i])
        z = sigmoid(widen(x[z_at]) + x_bias[z_at] + widen(h[z_at]) + h_bias[z_at])
        n = tanh(widen(x[n_at]) + x_bias[n_at] + r * (widen(h[n_at]) + h_bias[n_at]))
        new = z * hidden[i] + (F32(1.0) - z) * n
        hidden[i] = new
        out[i] += new


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def reset(x_sums: Array, h_sums: Array, bias: Floats, state: tuple[Floats], depth: int, out: Floats) -> None:
    """Compute r * h -> out [B, H], the candidate's input in a GRU with the reset gate before the product."""
    for b in prange(len(x_sums)):
        x, h, hidden, y = x_sums[b], h_sums[b], state[0][b, depth], out[b]
        for i in range(len(y)):
            y[i] = sigmoid(widen(x[i]) + widen(h[i]) + bias[i]) * hidden[i]


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def step_gru_before(
    x_sums: Array, h_sums: Array, n_sums: Array, bias: Floats, state: tuple[Floats], depth: int, out: Floats
) -> None:
    """Step that GRU: x_sums [B, 3 x H], h_sums of the gates [B, 2 x H], n_sums of the candidate [B, H]."""
    for b in prange(len(x_sums)):
        x, h, n_sum, hidden, y = x_sums[b], h_sums[b], n_sums[b], state[0][b, depth], out[b]
        size = len(y)
        for i in range(size):
            z = sigmoid(widen(x[size + i]) + widen(h[size + i]) + bias[size + i])
            n = tanh(widen(x[2 * size + i]) + widen(n_sum[i]) + bias[2 * size + i])
            hidden[i] = z * hidden[i] + (F32(1.0) - z) * n
            y[i] += hidden[i]


# --- transformer


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def add_and_normalize(x: Floats, added: Array, epsilon: float, out: Array) -> None:
    """Compute x [B, H] += added, and its RMSNorm without a scale -> out [B, H]."""
    for b in prange(len(x)):
        row, plus = x[b], added[b]
        square = F32(0.0)
        for i in range(len(row)):
            row[i] += widen(plus[i])
        for i in range(len(row)):
            square += row[i] * row[i]
        factor = F32(1.0 / math.sqrt(square / len(row) + epsilon))
        normed = np.empty_like(row)
        for i in range(len(row)):
            normed[i] = row[i] * factor
        store(normed, out[b])


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def swiglu(gate_up: Array, out: Array) -> None:
    """Compute silu(gate) * up, [B, 2 x N] -> out [B, N]."""
    size = out.shape[1]
    for b in prange(len(out)):
        row = gate_up[b]
        gated = np.empty(size, np.float32)
        for i in range(size):
            gate = widen(row[i])
            gated[i] = gate * sigmoid(gate) * widen(row[size + i])
        store(gated, out[b])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def rotate(x: Floats, cos: Floats, sin: Floats) -> None:
    """Rotate each pair (i, i + D/2) of x [D] by its angle, in place."""
    half = len(x) // 2
    for i in range(half):
        first, second = x[i], x[half + i]
        x[i] = first * cos[i] - second * sin[i]
        x[half + i] = second * cos[i] + first * sin[i]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def score(query: Floats, keys: Array, begin: int, end: int, scores: Floats) -> None:
    """Multiply a query [D] by the keys [ring, D] of slots [begin, end), into the same slots of scores [ring]."""
    tiled = end - (end - begin) % TILE
    for slot in range(begin, tiled, TILE):
        a0 = a1 = a2 = a3 = F32(0.0)
        for i in range(len(query)):
            a0, a1 = a0 + query[i] * widen(keys[slot, i]), a1 + query[i] * widen(keys[slot + 1, i])
            a2, a3 = a2 + query[i] * widen(keys[slot + 2, i]), a3 + query[i] * widen(keys[slot + 3, i])
        scores[slot], scores[slot + 1], scores[slot + 2], scores[slot + 3] = a0, a1, a2, a3
    for slot in range(tiled, end):
        a0 = F32(0.0)
        for i in range(len(query)):
            a0 += query[i] * widen(keys[slot, i])
        scores[slot] = a0


@njit(cache=True, fastmath=FAST, error_model="numpy")
def add_weighted(shares: Floats, values: Array, begin: int, end: int, out: Floats) -> None:
    """Add the values [ring, D] of slots [begin, end), each times its share, to out [D]."""
    tiled = end - (end - begin) % TILE
    for slot in range(begin, tiled, TILE):
        s0, s1, s2, s3 = shares[slot], shares[slot + 1], shares[slot + 2], shares[slot + 3]
        for i in range(len(out)):
            out[i] += (
                s0 * widen(values[slot, i])
                + s1 * widen(values[slot + 1, i])
                + s2 * widen(values[slot + 2, i])
                + s3 * widen(values[slot + 3, i])
            )
    for slot in range(tiled, end):
        s0 = shares[slot]
        for i in range(len(out)):
            out[i] += s0 * widen(values[slot, i])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def attend_row(
    query: Floats, keys: Array, values: Array, ranges: tuple[tuple[int, int], tuple[int, int]], out: Floats
) -> None:
    """Attend with one query [D] to keys and values [ring, D] in two ranges of slots -> out [D]."""
    scores = np.empty(len(keys), np.float32)
    factor = F32(1.0 / math.sqrt(len(query)))
    largest = F32(-np.inf)
    for begin, end in ranges:
        score(query, keys, begin, end, scores)
        for slot in range(begin, end):
            largest = max(largest, scores[slot])
    total = F32(0.0)
    for begin, end in ranges:
        for slot in range(begin, end):
            scores[slot] = exponential(factor * (scores[slot] - largest))
        for slot in range(begin, end):
            total += scores[slot]
    out[:] = F32(0.0)
    for begin, end in ranges:
        add_weighted(scores, values, begin, end, out)
    for i in range(len(out)):
        out[i] /= total


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def attend(products: Array, place: Place, out: Array) -> None:
    """Write the key and value of each row's new token into the ring, and attend with its query.

    Args:
        products: queries, keys and values of the new tokens, [B, 3, heads, D].
        place: the ring and the position of the new tokens.
        out: the result, [B, heads x D].
    """
    keys, values, position, begin, cos, sin = place
    rows, _, heads, size = products.shape
    ring = keys.shape[2]
    for task in prange(rows * heads):
        b, head = task // heads, task % heads
        query, key, value = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
        for i in range(size):
            query[i] = widen(products[b, 0, head, i])
            key[i] = widen(products[b, 1, head, i])
            value[i] = widen(products[b, 2, head, i])
        if cos.shape[1]:
            rotate(query, cos[b], sin[b])
            rotate(key, cos[b], sin[b])
        slot = position[b] % ring
        store(key, keys[b, head, slot])
        store(value, values[b, head, slot])
        count = min(position[b] - begin[b] + 1, ring)
        wrapped = max(count - slot - 1, 0)  # slots at the end of the ring, older than those at its beginning
        ranges = ((slot + 1 - (count - wrapped), slot + 1), (ring - wrapped, ring))
        attend_row(query, keys[b, head], values[b, head], ranges, value)
        store(value, out[b, head * size : (head + 1) * size])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def block(x: Floats, added: Array, weights: Four[Array], scales: Four[Floats], epsilon: float, place: Place) -> Floats:
    """Run a transformer block on x + added [B, H], and return what is still to be added.

    Where oneDNN multiplies, `CompiledTransformerStepper` makes these calls from Python instead; in a small model they
    take longer than the work. Weights and scales are in the order of `transformer.Products`.
    """
    rows, heads, _, size = place[0].shape
    normed, found = np.empty_like(x), np.empty_like(x)
    add_and_normalize(x, added, epsilon, normed)
    attend(product(normed, weights[0], scales[0]).reshape(rows, 3, heads, size), place, found)
    add_and_normalize(x, product(found, weights[1], scales[1]), epsilon, normed)
    gate_up = product(normed, weights[2], scales[2])
    gated = np.empty((rows, gate_up.shape[1] // 2), np.float32)
    swiglu(gate_up, gated)
    return product(gated, weights[3], scales[3])

"""The equations of one step of each recurrent cell, and the names of all that they compute.

Shapes: states [B, H]; sums [B, gates x H] in torch's order (LSTM: input, forget, candidate, output; GRU: reset, update,
candidate). `x_sums` is the product with the input, W x + b. `u` is the product with a state, [B, H] -> U h + b'. The
results begin with the next state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


class RnnStep(NamedTuple):
    """The result of `rnn_step`."""

    hidden: Tensor


class LstmStep(NamedTuple):
    """The result of `lstm_step`: the next state, and the gates."""

    hidden: Tensor
    cell: Tensor
    input: Tensor
    forget: Tensor
    candidate: Tensor
    output: Tensor


class GruStep(NamedTuple):
    """The result of a step of either GRU: the next state, and the gates."""

    hidden: Tensor
    reset: Tensor
    update: Tensor
    candidate: Tensor


def rnn_step(
    x_sums: Tensor, hidden: Tensor, u: Product, activation: Callable[[Tensor], Tensor] = torch.tanh
) -> RnnStep:
    """Compute h' = activation(W x + U h + b) (Elman 1990: tanh)."""
    return RnnStep(activation(x_sums + u(hidden)))


def lstm_step(x_sums: Tensor, hidden: Tensor, cell: Tensor, u: Product) -> LstmStep:
    """Compute c' = f * c + i * g,  h' = o * tanh(c'), with sigmoid gates i, f, o and g = tanh (Gers et al. 2000).

    At f = 1 and i = 0 the cell state passes unchanged, and so does its gradient.
    """
    i, f, g, o = (x_sums + u(hidden)).chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    cell = f * cell + i * g
    return LstmStep(o * torch.tanh(cell), cell, i, f, g, o)


def gru_step_after(x_sums: Tensor, hidden: Tensor, u: Product) -> GruStep:
    """Apply the reset gate after the recurrent product, as in cuDNN and torch.

    h~ = tanh(W x + b + r * (U h + b')),  h' = z * h + (1 - z) * h~. z is the share of the old state that is kept.
    """
    x_r, x_z, x_n = x_sums.chunk(3, dim=-1)
    h_r, h_z, h_n = u(hidden).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    candidate = torch.tanh(x_n + r * h_n)
    return GruStep(z * hidden + (1 - z) * candidate, r, z, candidate)


def gru_step_before(x_sums: Tensor, hidden: Tensor, u_gates: Product, u_candidate: Product) -> GruStep:
    """Apply the reset gate before the recurrent product, as first published (Cho et al. 2014) and in the lecture notes.

    h~ = tanh(W x + U (r * h) + b),  h' = z * h + (1 - z) * h~. Here too z is the share of the old state. Some texts
    write h' = (1 - z) * h + z * h~; that is the same model, with the sign of the gate's weights flipped.
    """
    x_gates, x_n = x_sums.tensor_split([2 * hidden.shape[-1]], dim=-1)
    r, z = torch.sigmoid(x_gates + u_gates(hidden)).chunk(2, dim=-1)
    candidate = torch.tanh(x_n + u_candidate(r * hidden))
    return GruStep(z * hidden + (1 - z) * candidate, r, z, candidate)

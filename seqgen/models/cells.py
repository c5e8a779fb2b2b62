"""The equations of one step of each recurrent cell: from the sums of its gates to the next state.

Shapes: inputs and states [B, H]; gate sums [B, gates x H] in torch's order (LSTM: input, forget, candidate, output;
GRU: reset, update, candidate). `x_*` is the product with the input, W x + b; `h_*` with the state, U h + b.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def rnn_step(sums: Tensor) -> Tensor:
    """Compute h' = tanh(W x + U h + b) (Elman 1990)."""
    return torch.tanh(sums)


def lstm_step(sums: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Compute c' = f * c + i * g,  h' = o * tanh(c'), with sigmoid gates i, f, o and g = tanh (Gers et al. 2000).

    Returns h' and c', each [B, H]. At f = 1 and i = 0 the cell state passes unchanged, and so does its gradient.
    """
    i, f, g, o = sums.chunk(4, dim=-1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def gru_step_after(x_sums: Tensor, h_sums: Tensor, hidden: Tensor) -> Tensor:
    """Apply the reset gate after the recurrent product, as in cuDNN and torch.

    h~ = tanh(W x + b + r * (U h + b')),  h' = z * h + (1 - z) * h~. z is the share of the old state that is kept.
    """
    x_r, x_z, x_n = x_sums.chunk(3, dim=-1)
    h_r, h_z, h_n = h_sums.chunk(3, dim=-1)
    candidate = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    z = torch.sigmoid(x_z + h_z)
    return z * hidden + (1 - z) * candidate


def gru_step_before(x_sums: Tensor, hidden: Tensor, weight_h: Tensor) -> Tensor:
    """Apply the reset gate before the recurrent product, as first published (Cho et al. 2014) and in the lecture notes.

    h~ = tanh(W x + U (r * h) + b),  h' = z * h + (1 - z) * h~. Here too z is the share of the old state. Some texts
    write h' = (1 - z) * h + z * h~; that is the same model, with the sign of the gate's weights flipped.
    """
    x_gates, x_n = x_sums.tensor_split([2 * hidden.shape[-1]], dim=-1)
    u_gates, u_n = weight_h.tensor_split([2 * hidden.shape[-1]], dim=0)
    r, z = torch.sigmoid(x_gates + F.linear(hidden, u_gates)).chunk(2, dim=-1)
    candidate = torch.tanh(x_n + F.linear(r * hidden, u_n))
    return z * hidden + (1 - z) * candidate

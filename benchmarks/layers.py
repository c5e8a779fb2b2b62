"""Time one recurrent layer's training step next to plain matrix products and to torch's layer in fp32.

A step is forward and backward of one layer with E = H. Its work is that of the matrix products: forward
2 x T x B x gates x H x (E + H), and twice that backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from measuring import Row, matrix_products, race, repeat
from torch import Tensor, nn

from seqgen.device import Precision, autocast, select_precision
from seqgen.models.recurrent import CELLS, Cell, layer_weights

CPU = torch.device("cpu")
SHAPES = [(64, 128, 512), (32, 64, 256)]  # B, T, H
FORMS = {"lstm": "lstm", "gru": "gru", "gru, reset before": "gru-before", "rnn": "rnn"}
"""Name of a row -> form of the cell."""

Forward = Callable[[Tensor], Tensor]


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield the rows of each cell in each shape."""
    del threads  # torch has them
    precision = select_precision("auto", CPU)
    for batch_size, length, size in SHAPES:
        for cell, form in FORMS.items():
            layer, stock, ours = _forwards(CELLS[form], batch_size, size)
            gflop = 3 * 2 * length * batch_size * len(layer_weights(layer).w_hh) * 2 * size / 1e9
            x = torch.randn(batch_size, length, size, requires_grad=True)
            d_y = torch.randn(batch_size, length, size)
            times = max(1, int(20 / gflop))
            yield from race(
                f"training step of a {cell}, B{batch_size} T{length} H{size}",
                "GFLOP",
                {f"seqgen {precision}": repeat(_step(layer, ours, x, d_y, precision), gflop, times)},
                {
                    "products of 2048 x 2048, bf16": matrix_products(),
                    "torch's layer, fp32": repeat(_step(layer, stock, x, d_y, "fp32"), gflop, times),
                },
                rounds,
            )


def _forwards(cell: Cell, batch_size: int, size: int) -> tuple[nn.Module, Forward, Forward]:
    """Return a layer, torch's forward (our plain module where torch has none), and seqgen's."""
    layer = cell.layer(size, size)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)
    hidden = torch.zeros(batch_size, size)
    state = hidden.unsqueeze(0)

    def stock(x: Tensor) -> Tensor:
        y: Tensor = layer(x, (state, state) if cell.members == 2 else state)[0]
        return y

    fast = cell.on_cpu
    return layer, stock, stock if fast is None else lambda x: fast(x, hidden, layer_weights(layer))[0]


def _step(layer: nn.Module, forward: Forward, x: Tensor, d_y: Tensor, precision: Precision) -> Callable[[], None]:
    """Return a step: forward and backward."""

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        with autocast(CPU, precision):
            y = forward(x)
        torch.autograd.backward(y, d_y.to(y.dtype))

    return step

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
from seqgen.models.recurrent import cells
from seqgen.models.recurrent.model import CELLS, Cell, RecurrentLayer

CPU = torch.device("cpu")
SHAPES = [(64, 128, 512), (32, 64, 256)]  # B, T, H
FORMS = {"lstm": "lstm", "gru": "gru", "gru, reset before": "gru-before", "rnn": "rnn"}
"""Name of a row -> form of the cell."""
STOCK = {cells.rnn_step: nn.RNN, cells.lstm_step: nn.LSTM, cells.gru_step_after: nn.GRU}
"""Equations of a cell -> torch's layer."""

Forward = Callable[[Tensor], Tensor]


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield the rows of each cell in each shape."""
    del threads  # torch has them
    precision = select_precision("auto", CPU)
    for batch_size, length, size in SHAPES:
        for cell, form in FORMS.items():
            stock, ours, layer = _forwards(CELLS[form], size)
            gflop = 3 * 2 * length * batch_size * len(layer.weights.w_hh) * 2 * size / 1e9
            x = torch.randn(batch_size, length, size, requires_grad=True)
            d_y = torch.randn(batch_size, length, size)
            times = max(1, int(20 / gflop))
            yield from race(
                f"training step of a {cell}, B{batch_size} T{length} H{size}",
                "GFLOP",
                {f"seqgen {precision}": repeat(_step(ours, x, d_y, precision), gflop, times)},
                {
                    f"products of 2048 x 2048, {precision}": matrix_products(
                        torch.bfloat16 if precision == "bf16" else torch.float32
                    ),
                    "torch's layer, fp32": repeat(_step(stock, x, d_y, "fp32"), gflop, times),
                },
                rounds,
            )


def _forwards(cell: Cell, size: int) -> tuple[Forward, Forward, RecurrentLayer]:
    """Return torch's forward of a layer (our plain one where torch has none), seqgen's, and seqgen's layer."""
    layer = RecurrentLayer(cell, size, size)

    def states(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(len(x), size) for _ in range(cell.members))

    def ours(x: Tensor) -> Tensor:
        y: Tensor = layer(x, states(x), None)[0]
        return y

    def plain(x: Tensor) -> Tensor:
        return layer.step_by_step(x, states(x), None)[0]

    kind = STOCK.get(cell.step)
    if kind is None:
        return plain, ours, layer
    stock = kind(size, size, batch_first=True)
    stock.load_state_dict(layer.state_dict())
    return lambda x: stock(x)[0], ours, layer


def _step(forward: Forward, x: Tensor, d_y: Tensor, precision: Precision) -> Callable[[], None]:
    """Return a step: forward and backward."""

    def step() -> None:
        x.grad = None
        with autocast(CPU, precision):
            y = forward(x)
        torch.autograd.backward(y, d_y.to(y.dtype))

    return step

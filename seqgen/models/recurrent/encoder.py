"""A recurrent encoder: it reads a source in one direction, or in both with half of the hidden size each.

From the second layer on, a layer adds its output to its input.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from seqgen.models.base import Layer
from seqgen.models.config import TwoWayConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.recurrent.model import CELLS, Members, RecurrentLayer
from seqgen.models.source import source_mask, take_columns


class Encoder(Layer):
    """The layers that read a source, in one direction or in both."""

    def __init__(self, config: TwoWayConfig) -> None:
        super().__init__()
        self.directions = 2 if config.two_way else 1
        cell, size = CELLS[config.form], config.hidden_size
        self.layers = nn.ModuleList(
            RecurrentLayer(cell, size if depth else config.input_size, size // self.directions)
            for depth in range(config.layers)
            for _ in range(self.directions)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Members]]:
        """Read sources: [B, S, E], [B] -> outputs [B, S, H], and the last states of each layer, [B, H] each.

        Each direction reads its rows aligned at the right: the last states are then those of the last column, and the
        fillers before a row clear its states.
        """
        mask = source_mask(lengths, x.shape[1])
        filled = ~mask if x.shape[1] > 1 else None
        ends: list[Members] = []
        for depth in range(len(self.layers) // self.directions):
            read = [self._read(depth * self.directions + way, x, lengths, filled) for way in range(self.directions)]
            outputs, states = zip(*read, strict=True)
            y = torch.cat(outputs, 2)
            ends.append(tuple(torch.cat(member, 1) for member in zip(*states, strict=True)))
            x = x + self.dropout(y) if depth else self.dropout(y)
            self.record(**{f"source.{depth}": x})
        return x.masked_fill(~mask.unsqueeze(2), 0.0), ends

    def _read(self, number: int, x: Tensor, lengths: Tensor, filled: Tensor | None) -> tuple[Tensor, Members]:
        """Read in one direction; outputs are at the places of their inputs."""
        layer = cast("RecurrentLayer", self.layers[number])
        begin = tuple(x.new_zeros(len(x), layer.weight_hh_l0.shape[1]) for _ in range(layer.cell.members))
        starts = None if filled is None else filled.flip(1)  # the fillers are now at the left
        if number % self.directions:
            y, end = layer(x.flip(1), begin, starts)
            return y.flip(1), end
        columns = torch.arange(x.shape[1], device=x.device)
        shift = x.shape[1] - lengths[:, None]
        y, end = layer(take_columns(x, (columns - shift).clamp(min=0)), begin, starts)
        return take_columns(y, (columns + shift).clamp(max=x.shape[1] - 1)), end

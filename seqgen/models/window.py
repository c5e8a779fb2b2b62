"""A fixed-window neural language model (Bengio et al. 2003, "A neural probabilistic language model").

The embeddings of the last n tokens, concatenated, are the input of a hidden tanh layer, from which the head predicts
the next token. Further layers add their output to their input (residual). Dropout is applied to each layer's output.
The paper's optional direct connections from the embeddings to the output are left out.

Before the start of a document the window is filled with id 0.

The fast path of the first layer adds up rows of a table: each token's embedding times the matrix of each place in the
window. A stepper computes the table once, and a batch on a CPU with more tokens than the vocabulary once for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.models.base import NeuralModel, initialize_embedding_and_head
from seqgen.models.config import WindowConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.state import State

LARGEST_TABLE = 1 << 25
"""Numbers up to which a stepper keeps the table (128 MiB)."""


@dataclass(frozen=True)
class WindowState(State):
    """The last n - 1 ids, int64 [B, n - 1]; 0 before the start of the document."""

    ids: Tensor


torch.export.register_dataclass(WindowState)


class WindowModel(NeuralModel):
    """A feed-forward network over the last `context_size` tokens."""

    config: WindowConfig

    def __init__(self, config: WindowConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.burn_in = config.context_size - 1
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        width = config.context_size * config.input_size
        self.layers = nn.ModuleList(
            nn.Linear(config.hidden_size if depth else width, config.hidden_size) for depth in range(config.layers)
        )
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, vocab_size)
        self._steps_table: tuple[Tensor, Tensor] | None = None
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        initialize_embedding_and_head(self.embedding, self.head)
        for layer in self.layers:
            linear = cast("nn.Linear", layer)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def initial_state(self, batch_size: int, capacity: int) -> WindowState:
        del capacity  # the size of the state is fixed
        shape = (batch_size, self.config.context_size - 1)
        return WindowState(torch.zeros(shape, dtype=torch.int64, device=self.device))

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, WindowState]:
        before = self.initial_state(len(tokens), 0) if state is None else cast("WindowState", state)
        windows = windows_of(torch.cat([before.ids, tokens], 1), starts, self.config.context_size)
        x = self._first_layer(windows)
        for depth, layer in enumerate(self.layers):
            y = torch.tanh(layer(x) if depth else x)
            x = x + self.dropout(y) if depth else self.dropout(y)
            if self.traces:
                self.record(**{f"layers.{depth}.hidden": y, f"stream.{depth}": x})
        return x, WindowState(windows.select(1, -1).narrow(1, 1, self.config.context_size - 1))

    def _first_layer(self, windows: Tensor) -> Tensor:
        """Compute the sums of the first layer: int64 [B, T, n] -> [B, T, H]."""
        if self._steps_table is not None:
            table, places = self._steps_table
            return F.embedding(windows + places, table).sum(2)  # for few positions: less to call than embedding_bag
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in (self.embedding, self.layers[0]))
        few = windows.shape[:2].numel() < self.vocab_size
        if self.plain or hooked or few or windows.device.type != "cpu":
            x: Tensor = self.embedding(windows)
            self.record(embedded=x)
            sums: Tensor = self.layers[0](x.flatten(2))
            return sums
        table, places = self._table()
        bags = F.embedding_bag((windows + places).flatten(0, 1), table, mode="sum")
        return bags.view(*windows.shape[:2], -1)

    def _table(self) -> tuple[Tensor, Tensor]:
        """Return each token's part of the sums at each place in the window, the bias in the last.

        [n x V, H], and the row where each place begins, [n].
        """
        layer = cast("nn.Linear", self.layers[0])
        n, size = self.config.context_size, self.config.input_size
        matrices = layer.weight.reshape(-1, size)  # [H x n, E]
        parts = F.linear(self.embedding.weight, matrices).view(self.vocab_size, -1, n)  # [V, H, n]
        table = parts.permute(2, 0, 1).to(layer.weight.dtype)
        sums = torch.cat([table[:-1], table[-1:] + layer.bias]).flatten(0, 1)
        return sums, torch.arange(0, len(sums), self.vocab_size, device=sums.device)

    @torch.no_grad()
    def prepare_steps(self) -> None:
        if self.config.context_size * self.vocab_size * self.config.hidden_size <= LARGEST_TABLE:
            sums, places = self._table()
            self._steps_table = (sums.float(), places)


def windows_of(ids: Tensor, starts: Tensor | None, size: int) -> Tensor:
    """Return the last `size` ids at each of the last T positions, with 0 for those before the start of a document.

    Args:
        ids: int64 [B, size - 1 + T].
        starts: bool [B, T], where documents start; None means nowhere.
        size: the length of a window.

    Returns:
        int64 [B, T, size].
    """
    windows = ids.unfold(1, size, 1)
    if starts is None:
        return windows
    position = torch.arange(starts.shape[1], device=ids.device)
    start = torch.where(starts, position, -size).cummax(1).values  # of the document, where it is known
    age = torch.arange(size - 1, -1, -1, device=ids.device)
    return windows.masked_fill(age > (position - start).unsqueeze(2), 0)

"""Recurrent encoder-decoders (Sutskever et al. 2014), with dot-product attention (Luong et al. 2015).

A bridge makes the last states of the encoder the first of the decoder. At each step the decoder attends to the
encoder's outputs, and joins what it finds with its own: tanh(W [context; hidden]). From the second layer on, a layer
adds its output to its input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seqgen.models.base import Layer, initialize_embedding_and_head
from seqgen.models.config import RecurrentTranslateConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.recurrent.encoder import Encoder
from seqgen.models.recurrent.model import CELLS, Members, RecurrentLayer, initialize_recurrent_layer
from seqgen.models.source import source_mask
from seqgen.models.state import State
from seqgen.models.translation.base import SourceState, Translator


@dataclass(frozen=True)
class RecurrentTranslatorState(SourceState):
    """The encoder's outputs, the decoder's states, and what it attended to last."""

    memory: Tensor
    """The encoder's outputs, [B, 1, S, H]: in the form of a cache, which concatenation fills up."""
    layers: tuple[Tensor, ...]
    """The decoder's states, [B, layers, H]: hidden, and for LSTM cell."""
    fed: Tensor
    """The decoder's newest output after attention, [B, H]."""


torch.export.register_dataclass(RecurrentTranslatorState)


class RecurrentTranslator(Translator):
    """The model that the module describes."""

    config: RecurrentTranslateConfig

    def __init__(self, config: RecurrentTranslateConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.cell = CELLS[config.form]
        size = config.hidden_size
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        self.encoder = Encoder(config)
        self.bridge = nn.ModuleList(nn.Linear(size, size) for _ in range(config.layers * self.cell.members))
        fed = size if config.input_feeding else 0
        self.layers = nn.ModuleList(
            RecurrentLayer(self.cell, size if depth else config.input_size + fed, size)
            for depth in range(config.layers)
        )
        self.attends = config.attention == "dot"
        self.attention = DotAttention(size) if self.attends else None
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(size, vocab_size)
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        initialize_embedding_and_head(self.embedding, self.head)
        for module in self.modules():
            if isinstance(module, RecurrentLayer):
                initialize_recurrent_layer(module)

    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> RecurrentTranslatorState:
        del capacity  # the size of a recurrent state is fixed
        x = self.dropout(self.embedding(source))
        memory, ends = self.encoder(x, lengths)
        bridges = iter(self.bridge)
        dtype = torch.promote_types(self.head.weight.dtype, torch.float32)
        layers = []
        for number, member in enumerate(zip(*ends, strict=True)):
            made = [next(bridges)(end) for end in member]
            # A hidden state is within -1 and 1, the cell state of an LSTM need not be.
            layers.append(torch.stack([one if number else one.tanh() for one in made], 1).to(dtype))
        rows, length = source.shape
        weights = torch.zeros(rows, 1, length, 1, dtype=dtype, device=source.device)
        fed = layers[0].new_zeros(rows, self.config.hidden_size)
        return RecurrentTranslatorState(lengths, weights, memory.to(dtype).unsqueeze(1), tuple(layers), fed)

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, RecurrentTranslatorState]:
        del starts  # 0 begins the target, and does not clear the source
        at = cast("RecurrentTranslatorState", self.initial_state(len(tokens), 0) if state is None else state)
        x = self.dropout(self.embedding(tokens))
        if not self.config.input_feeding:
            return self._decode(x, at)
        made: list[Tensor] = []
        traces: list[dict[str, Tensor]] = []
        for column in x.split(1, dim=1):
            y, at = self._decode(torch.cat([column, at.fed.unsqueeze(1).to(column.dtype)], 2), at)
            made.append(y)
            traces.append({name: one for name, one in (self._trace or {}).items() if not name.startswith("encoder.")})
        self.record(**{name: torch.cat([trace[name] for trace in traces], 1) for name in traces[0]})
        return torch.cat(made, 1), at

    def _decode(self, x: Tensor, at: RecurrentTranslatorState) -> tuple[Tensor, RecurrentTranslatorState]:
        """Run the decoder over inputs [B, T, E] -> [B, T, H], and the next state."""
        ends: list[Members] = []
        for depth, layer in enumerate(self.layers):
            y, end = layer(x, tuple(member[:, depth] for member in at.layers), None)
            ends.append(end)
            x = x + self.dropout(y) if depth else self.dropout(y)
            self.record(**{f"stream.{depth}": x})
        weights = at.weights
        if self.attention is not None:
            x, attended = self.attention(x, at.memory.squeeze(1), at.lengths)
            weights = attended[:, -1, None, :, None].to(weights.dtype)
        layers = tuple(
            torch.stack(member, 1).to(before.dtype)
            for member, before in zip(zip(*ends, strict=True), at.layers, strict=True)
        )
        return x, RecurrentTranslatorState(at.lengths, weights, at.memory, layers, x[:, -1].to(at.fed.dtype))


class DotAttention(Layer):
    """Dot-product attention to the encoder's outputs, joined with the decoder's (Luong et al. 2015)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.join = nn.Linear(2 * size, size)

    def forward(self, hidden: Tensor, memory: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Attend: [B, T, H] to [B, S, H] -> [B, T, H], and the weights [B, T, S]."""
        scores = hidden @ memory.to(hidden.dtype).transpose(1, 2)
        mask = source_mask(lengths, memory.shape[1])
        weights = scores.masked_fill(~mask.unsqueeze(1), -math.inf).softmax(-1)
        self.record(attention=weights)
        context = weights.to(memory.dtype) @ memory
        return torch.tanh(self.join(torch.cat([context.to(hidden.dtype), hidden], 2))), weights

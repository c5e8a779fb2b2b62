"""A classifier over pooled states: the last, their mean, or a mean weighted by attention."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from seqgen.models.base import Layer
from seqgen.models.config import ClassifyConfig
from seqgen.models.labeling.base import EncoderLabeler, OutputState
from seqgen.models.source import source_mask, take_columns
from seqgen.models.state import State


class Classifier(EncoderLabeler):
    """A labeler whose hidden vector is the same at every token: the pooled states of its encoder."""

    config: ClassifyConfig
    pool: Pool

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, OutputState]:
        del starts  # 0 does not clear the source
        rows, length = tokens.shape
        at = cast("OutputState", self.initial_state(rows, length) if state is None else state)
        pooled = self.pool(at.memory.squeeze(1), at.lengths)
        return pooled.unsqueeze(1).expand(-1, length, -1), at


class Pool(Layer):
    """Make one vector of the states of all tokens.

    Attention scores each state h by v tanh(W h + b), and averages them by the softmax of the scores (Yang et al. 2016,
    equations 5 to 7).
    """

    def __init__(self, config: ClassifyConfig, *, two_way: bool = False) -> None:
        super().__init__()
        self.kind = config.pool
        self.is_two_way = two_way
        if self.kind == "attention":
            self.key = nn.Linear(config.hidden_size, config.hidden_size)
            self.score = nn.Linear(config.hidden_size, 1, bias=False)

    def forward(self, memory: Tensor, lengths: Tensor) -> Tensor:
        """Pool [B, S, H] -> [B, H]."""
        if self.kind == "last":
            end = take_columns(memory, lengths[:, None] - 1).squeeze(1)
            half = end.shape[1] // 2
            return torch.cat([end[:, :half], memory[:, 0, half:]], 1) if self.is_two_way else end
        mask = source_mask(lengths, memory.shape[1])
        if self.kind == "mean":
            weights = mask / lengths[:, None].to(memory.dtype)
        else:
            scores = self.score(self.key(memory).tanh()).squeeze(2)
            weights = scores.masked_fill(~mask, -math.inf).softmax(1)
            self.record(attention=weights.unsqueeze(1))
        return (weights.to(memory.dtype).unsqueeze(1) @ memory).squeeze(1)

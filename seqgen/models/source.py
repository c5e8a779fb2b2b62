"""The contract of models that read a source before their first token: encoder-decoders and labelers.

    state = model.encode(source, lengths, capacity)    # int64 [B, S], [B]
    logits, state = model(tokens, state)

Sources are filled at the right, which changes nothing.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from seqgen.models.base import NeuralModel
from seqgen.models.config import PairConfig
from seqgen.models.state import State


class SourceModel(NeuralModel):
    """A model that reads a source before its first token."""

    config: PairConfig

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> State:
        """Read sources, and return the state before the first token.

        Args:
            source: int64 [B, S], filled at the right.
            lengths: the tokens of each, int64 [B], 1 or more.
            capacity: the most tokens that the model will be called with, the first 0 included; 0 if the state is for
                one call with all of them, and will not be continued.
        """

    def initial_state(self, batch_size: int, capacity: int) -> State:
        """Return the state for sources of one token, 0: for callers that have no source."""
        source = torch.zeros(batch_size, 1, dtype=torch.int64, device=self.device)
        return self.encode(source, torch.ones_like(source[:, 0]), capacity)


def source_mask(lengths: Tensor, longest: int) -> Tensor:
    """Return which positions of sources have a token: int64 [B] -> bool [B, S]."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def take_columns(x: Tensor, places: Tensor) -> Tensor:
    """Return the columns of x [B, S, E] at `places` [B, T]: [B, T, E]."""
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))

"""The contract of encoder-decoders: they read a source before the first token of the target.

    state = model.encode(source, lengths, capacity)    # int64 [B, S], [B]: a pair in each row
    logits, state = model(tokens, state)               # of the target: 0, then its tokens

Sources are filled at the right, which changes nothing. 0 is only in the first column of a target, and begins it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgen.models.base import NeuralModel
from seqgen.models.registry import TranslateConfig
from seqgen.models.state import State


@dataclass(frozen=True)
class SourceState(State):
    """What an encoder-decoder knows of the sources."""

    lengths: Tensor
    """The tokens of each source, int64 [B]."""
    weights: Tensor
    """How much the newest token attended to each token of the source: [B, 1, S, 1]; 0 without attention.

    A transformer computes it on its plain path only, as its steppers do.
    """

    @property
    def attention(self) -> Tensor:
        """How much the newest token attended to each token of the source, [B, S]; several heads are averaged."""
        return self.weights.flatten(1)


class SourceModel(NeuralModel):
    """A model that reads a source before its first token."""

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


class Translator(SourceModel):
    """A distribution over the next token of a target, given its source and all tokens before it."""

    config: TranslateConfig

    attends = True
    """Whether each token of a target has weights over the tokens of its source."""


def source_mask(lengths: Tensor, longest: int) -> Tensor:
    """Return which positions of sources have a token: int64 [B] -> bool [B, S]."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def take_columns(x: Tensor, places: Tensor) -> Tensor:
    """Return the columns of x [B, S, E] at `places` [B, T]: [B, T, E]."""
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))

"""The contract of encoder-decoders: they read a source before the first token of the target.

    state = model.encode(source, lengths, capacity)    # int64 [B, S], [B]: a pair in each row
    logits, state = model(tokens, state)               # of the target: 0, then its tokens

0 is only in the first column of a target, and begins it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seqgen.models.config import TranslateConfig
from seqgen.models.source import SourceModel
from seqgen.models.state import State


@dataclass(frozen=True)
class SourceState(State):
    """What an encoder-decoder knows of the sources."""

    lengths: Tensor
    """The tokens of each source, int64 [B]."""
    weights: Tensor
    """How much the newest token attended to each token of the source: [B, 1, S, 1]; 0 without attention.

    A transformer computes it on its plain path and in its steppers, not on its fast path.
    """

    @property
    def attention(self) -> Tensor:
        """How much the newest token attended to each token of the source, [B, S]; several heads are averaged."""
        return self.weights.flatten(1)


class Translator(SourceModel):
    """A distribution over the next token of a target, given its source and all tokens before it."""

    config: TranslateConfig

    attends = True
    """Whether each token of a target has weights over the tokens of its source."""

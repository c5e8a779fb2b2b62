"""The contract of labelers: they read a source, and their logits are over the labels in `config.labels`.

    state = model.encode(source, lengths, capacity)    # int64 [B, S], [B]: a text in each row
    logits, state = model(tokens, state)               # of a classifier: 0 -> [B, 1, L]
                                                       # of a tagger: 0, then the source -> [B, 1 + S, L]

The logits of a token are at that token; those at 0 are not used.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.models.config import LabelConfig
from seqgen.models.source import SourceModel, take_columns
from seqgen.models.state import State


class Labeler(SourceModel):
    """A distribution over labels, given a source."""

    config: LabelConfig
    temperature: Tensor
    """The temperature that calibrates the probabilities: logits are divided by it. It is set by validation, is stored
    with the weights, and no gradient changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))


@dataclass(frozen=True)
class OutputState(State):
    """The encoder's outputs, and the next of them that a tagger reads."""

    lengths: Tensor
    """The tokens of each source, int64 [B]."""
    memory: Tensor
    """The encoder's outputs, [B, 1, S, H]: in the form of a cache, which concatenation fills up."""
    position: Tensor
    """The tokens read since `encode`, int64 [B]."""


torch.export.register_dataclass(OutputState)


class EncoderLabeler(Labeler):
    """A labeler whose encoder reads the whole source at once."""

    @abstractmethod
    def read(self, source: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoder's outputs [B, S, H]; arguments as of `encode`."""

    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> OutputState:
        del capacity  # the state does not grow
        memory = self.read(source, lengths).to(torch.promote_types(self.head.weight.dtype, torch.float32))
        return OutputState(lengths, memory.unsqueeze(1), torch.zeros_like(lengths))


class TwoWayTagger(EncoderLabeler):
    """A tagger that sees the whole sentence: its hidden vectors are the outputs of its encoder."""

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, OutputState]:
        del starts  # 0 begins the sentence, and does not clear the source
        rows, length = tokens.shape
        at = cast("OutputState", self.initial_state(rows, length) if state is None else state)
        outputs = F.pad(at.memory.squeeze(1), (0, 0, 1, 0))  # nothing is known at 0
        places = at.position[:, None] + torch.arange(length, device=tokens.device)
        hidden = take_columns(outputs, places.clamp(max=outputs.shape[1] - 1))
        return hidden, OutputState(at.lengths, at.memory, at.position + length)

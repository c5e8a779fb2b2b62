"""A model that generates a script, and a tokenizer for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.state import State
from seqgen.tokenizers.char import CharTokenizer

LIKELY = 30.0  # the others' logits are 0: sampled except once in e^30


@dataclass(frozen=True)
class Position(State):
    """How many tokens each row has read, int64 [B]."""

    position: Tensor


class ScriptedModel(LanguageModel):
    """Generates `script` from the beginning of a document, whatever was sampled, then its last token forever."""

    def __init__(self, script: Sequence[int], vocab_size: int, always: Sequence[int] = ()) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.weight = nn.Parameter(torch.zeros(1))
        self.logits = torch.zeros(len(script), vocab_size)
        self.logits[torch.arange(len(script)), list(script)] = LIKELY
        self.logits[:, list(always)] = 2 * LIKELY

    def initial_state(self, batch_size: int, capacity: int) -> State:
        return Position(torch.zeros(batch_size, dtype=torch.int64))

    def forward(self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None) -> tuple[Tensor, State]:
        position = (state or self.initial_state(len(tokens), 0)).position
        positions = position[:, None] + torch.arange(tokens.shape[1])
        return self.logits[positions.clamp(max=len(self.logits) - 1)], Position(position + tokens.shape[1])

    def stepper(self, precision="fp32", engine="torch") -> Stepper:
        return ScriptedStepper(self)


class ScriptedStepper(Stepper):
    def __init__(self, model: ScriptedModel) -> None:
        self.model = model

    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        logits, state = self.model(token[:, None], state)
        return logits[:, 0], state


@pytest.fixture
def scripted() -> Callable[..., LanguageModel]:
    """Return the class of a model that generates a script."""
    return ScriptedModel


@pytest.fixture
def tokenizer() -> CharTokenizer:
    """Return a tokenizer with eleven ids, as many as the small models have."""
    return CharTokenizer("\n abcdefg")

"""The contract of all model families: tokens and a state in, logits and the next state out.

    state = model.initial_state(batch_size, capacity)
    logits, state = model(tokens, state)            # tokens int64 [B, T] -> logits [B, T, V]
    stepper = model.stepper()                       # an immutable snapshot of the weights, for one token at a time
    state = stepper.select(state, index)            # copies of rows, in the form that the stepper prefers
    logits, state = stepper.step(token, state)      # token int64 [B] -> logits fp32 [B, V]

Laws, tested for every family: `model(ab)` equals `model(a)` then `model(b, state)`; `stepper.step` agrees with the
forward; id 0 begins a document, so tokens before it do not affect outputs after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seqgen.device import StepperPrecision
from seqgen.models.registry import FamilyConfig
from seqgen.models.state import State


class Stepper(ABC):
    """A snapshot of a model's weights that takes one token at a time."""

    @abstractmethod
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step: `token` int64 [B], none of them the boundary -> logits fp32 [B, V] and the next state."""

    def select(self, state: State, index: Tensor) -> State:
        """Copy rows of a state, for this stepper's own `step`: `index` int64 [N].

        The state may come from the model or from this stepper. The copy may have another dtype, such as a bf16 cache.
        """
        return state.select(index)


class LanguageModel(nn.Module, ABC):
    """A distribution over the next token given all tokens before it in the document."""

    config: FamilyConfig
    vocab_size: int
    max_positions: int | None = None
    """The most tokens that a document may have, where there is a limit."""
    gates_per_weight: int = 1
    """Matrices stacked in each recurrent weight: one per gate."""
    burn_in: int = 256
    """Tokens after which a fresh state is as good as one carried from far away (for evaluation's segments)."""

    @abstractmethod
    def initial_state(self, batch_size: int, capacity: int) -> State:
        """Return the state before the first token, with caches for at most `capacity` tokens."""

    @abstractmethod
    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Compute logits of the token after each of `tokens`.

        Args:
            tokens: int64 [B, T].
            state: what an earlier call returned; None starts fresh, and the returned state may then be empty (which is
                what a window in training needs).

        Returns:
            Logits [B, T, V] in the precision of the autocast, and the next state, whose floating-point members other
            than caches are fp32.
        """

    @abstractmethod
    def stepper(self, precision: StepperPrecision = "fp32") -> Stepper:
        """Take a snapshot of the present weights for generating one token at a time."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device


def parameter_count(model: nn.Module) -> int:
    """Count the trainable numbers; a tied head counts once."""
    return sum(parameter.numel() for parameter in model.parameters())

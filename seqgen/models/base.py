"""The one contract of all families: tokens and a state in, logits and the next state out.

    state = model.initial_state(batch_size, capacity)
    logits, state = model(tokens, state)            # tokens int64 [B, T] -> logits [B, T, V]
    stepper = model.stepper()                       # an immutable snapshot, made for one token at a time
    state = stepper.select(state, index)              # rows of it, as the stepper keeps them
    logits, state = stepper.step(token, state)      # token int64 [B] -> logits fp32 [B, V]

Laws, tested for every family: `model(ab)` equals `model(a)` then `model(b, state)`; `stepper.step` agrees with the
forward; id 0 begins a document, so nothing before it changes anything after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import torch
from torch import Tensor, nn

from seqgen.device import StepperPrecision

State: TypeAlias = tuple[Tensor, ...]
"""All that a model remembers: a flat tuple of tensors, batch first. A call consumes it (caches change in place)."""


class Stepper(ABC):
    """A snapshot of a model's weights that takes one token at a time."""

    @abstractmethod
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: `token` int64 [B], none of them the boundary -> logits fp32 [B, V] and the next state."""

    def select(self, state: State, index: Tensor) -> State:
        """Copies of rows of a state, the model's or its own, as this stepper best keeps them: `index` int64 [N].

        They are for its own `step`: a cache may be kept in bf16.
        """
        return select(state, index)


class LanguageModel(nn.Module, ABC):
    """A distribution over the next token given all before it in the document."""

    vocab_size: int
    max_positions: int | None = None
    """How many tokens a document may have, where there is a limit."""
    gates_per_weight: int = 1
    """Matrices that stand one on the other in each weight of a layer: its gates."""
    burn_in: int = 256
    """After how many tokens a fresh state is as good as one carried from far away (in evaluation's parallel lanes)."""

    @abstractmethod
    def initial_state(self, batch_size: int, capacity: int) -> State:
        """The state before the first token, for at most `capacity` tokens in all (caches need be no larger)."""

    @abstractmethod
    def advance(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """`forward` without ragged lengths."""

    @abstractmethod
    def stepper(self, precision: StepperPrecision = "fp32") -> Stepper:
        """A snapshot of the weights, as they are now, for decoding."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(
        self, tokens: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Logits of the token after each of `tokens`.

        Args:
            tokens: int64 [B, T].
            state: what an earlier call returned; None starts fresh, and the returned state may then be empty (what a
                window in training needs).
            lengths: int64 [B], how many of each row's tokens count (right-padded prompts); None is all T. Logits
                past a row's length are zero, and its state is the one after its last token.

        Returns:
            Logits [B, T, V] (in the precision of the autocast), and the state; floating-point members other than
            caches are fp32.
        """
        if lengths is None:
            return self.advance(tokens, state)
        return self._advance_ragged(tokens, state, lengths)

    def _advance_ragged(self, tokens: Tensor, state: State | None, lengths: Tensor) -> tuple[Tensor, State]:
        batch_size, width = tokens.shape
        if state is None:
            state = self.initial_state(batch_size, width)
        logits = torch.zeros(batch_size, width, self.vocab_size, device=tokens.device)
        start = 0
        for stop in torch.unique(lengths[lengths > 0]).tolist():
            rows = (lengths >= stop).nonzero().squeeze(1)
            part, advanced = self.advance(tokens[rows, start:stop], select(state, rows))
            logits[rows, start:stop] = part.float()
            state = tuple(old.index_copy(0, rows, new) for old, new in zip(state, advanced, strict=True))
            start = stop
        return logits, state


def select(state: State, index: Tensor) -> State:
    """Copies of rows of `state`: `index` int64 [N], from row of the result to row of `state`."""
    return tuple(member.index_select(0, index) for member in state)


def detach(state: State) -> State:
    """`state` without its history: where truncated backpropagation through time cuts."""
    return tuple(member.detach() for member in state)


def parameter_count(model: nn.Module) -> int:
    """How many numbers are learnt; a tied head counts once."""
    return sum(parameter.numel() for parameter in model.parameters())

"""A mixture: the weighted mean of the probabilities of several models, its members.

    p(token) = sum over members m of weight[m] p[m](token)

The members share a vocabulary, and each keeps its own state. All sums are of logarithms: of a text, a mixture scores
each target by the log-sum-exp of the members' nats, and makes no [B, T, V] where no member does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seqgen import models
from seqgen.device import StepperPrecision
from seqgen.models.base import IGNORED, Engine, LanguageModel, Stepper
from seqgen.models.registry import FAMILIES, MixtureConfig
from seqgen.models.state import State


@dataclass(frozen=True)
class MixtureState(State):
    """The states of the members."""

    states: tuple[State, ...]


class MixtureModel(LanguageModel):
    """Several models as one.

    Args:
        config: what the members are.
        vocab_size: of all members.
        members: the members by name, where they exist already; None builds new ones.
    """

    config: MixtureConfig
    weights: Tensor
    """The share of each member, fp64 [members]; they sum to 1, and are equal at first."""

    def __init__(
        self, config: MixtureConfig, vocab_size: int, members: Mapping[str, LanguageModel] | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        if members is None:
            members = {name: models.build(member, vocab_size) for name, member in config.members.items()}
        self.members = nn.ModuleDict(members)
        count = len(members)
        self.register_buffer("weights", torch.full((count,), 1 / count, dtype=torch.float64))
        limits = [member.max_positions for member in members.values() if member.max_positions is not None]
        self.max_positions = min(limits, default=None)
        self.burn_in = max(member.burn_in for member in members.values())

    def initial_state(self, batch_size: int, capacity: int) -> MixtureState:
        return MixtureState(tuple(member.initial_state(batch_size, capacity) for member in self._each()))

    def forward(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, MixtureState]:
        """Return ln p as logits."""
        return self.log_probs(tokens, state, starts)

    def log_probs(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, MixtureState]:
        read = [member.log_probs(tokens, own, starts) for member, own in self._with_states(state)]
        return self._mix(log_probs for log_probs, _ in read), _join(read)

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, MixtureState]:
        read = [member.nats(tokens, targets, own, starts) for member, own in self._with_states(state)]
        return -self._mix(-nats for nats, _ in read).where(targets != IGNORED, 0.0), _join(read)

    def last_logits(self, tokens: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, MixtureState]:
        pairs = zip(self._each(), cast("MixtureState", state).states, strict=True)
        read = [member.last_logits(tokens, own, starts) for member, own in pairs]
        return self._mix(_normalize(logits) for logits, _ in read), _join(read)

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        if self.plain:
            return super()._stepper(precision)
        return MixtureStepper([member.stepper(precision) for member in self._each()], self.weights)

    def stored_tensors(self) -> dict[str, Tensor]:
        stored = {
            f"members.{name}.{key}": tensor
            for name, member in self.members.items()
            for key, tensor in cast("LanguageModel", member).stored_tensors().items()
        }
        return {"weights": self.weights, **stored}

    @property
    def device(self) -> torch.device:
        return self.weights.device

    def _each(self) -> list[LanguageModel]:
        return [cast("LanguageModel", member) for member in self.members.values()]

    def _with_states(self, state: State | None) -> Iterable[tuple[LanguageModel, State | None]]:
        members = self._each()
        states = [None] * len(members) if state is None else cast("MixtureState", state).states
        return zip(members, states, strict=True)

    def _mix(self, log_probs: Iterable[Tensor]) -> Tensor:
        return mix_log_probs(log_probs, self.weights)


class MixtureStepper(Stepper):
    """The steppers of the members, and their weights as they are now."""

    def __init__(self, steppers: Sequence[Stepper], weights: Tensor) -> None:
        self._steppers, self._weights = steppers, weights.clone()

    @torch.no_grad()
    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, MixtureState]:
        states = cast("MixtureState", state).states
        read = [stepper.step(token, own, starts) for stepper, own in zip(self._steppers, states, strict=True)]
        return mix_log_probs((logits.log_softmax(-1) for logits, _ in read), self._weights).float(), _join(read)

    def select(self, state: State, index: Tensor) -> MixtureState:
        states = cast("MixtureState", state).states
        return MixtureState(
            tuple(stepper.select(own, index) for stepper, own in zip(self._steppers, states, strict=True))
        )


def compiled_mixture_stepper(model: MixtureModel, precision: StepperPrecision) -> Stepper:
    """Make a stepper of a mixture in which every member that numba has a kernel for is compiled."""
    engines: list[Engine] = [
        "torch" if FAMILIES[member.cell].compiled is None else "numba" for member in model.config.members.values()
    ]
    members = [cast("LanguageModel", member) for member in model.members.values()]
    steppers = [member.stepper(precision, engine) for member, engine in zip(members, engines, strict=True)]
    return MixtureStepper(steppers, model.weights)


def mix_log_probs(log_probs: Iterable[Tensor], weights: Tensor) -> Tensor:
    """Return ln of the weighted mean of probabilities: each member's ln p, [...], and their weights [members].

    The result has the narrowest dtype of the members, as it is not more precise than that.
    """
    parts = list(log_probs)
    dtype = min((part.dtype for part in parts), key=lambda one: torch.finfo(one).bits)
    logs = weights.to(torch.float64).log().to(dtype).tolist()
    return torch.stack([part.to(dtype) + log for part, log in zip(parts, logs, strict=True)]).logsumexp(0)


def _normalize(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _join(read: Iterable[tuple[Tensor, State]]) -> MixtureState:
    return MixtureState(tuple(state for _, state in read))

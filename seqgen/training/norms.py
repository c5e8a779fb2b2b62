"""Norms of the gradient and the update of a step, by group of parameters; detect gradients that vanish or explode.

The groups are the embedding, each layer and the head. Of a recurrent layer the weights of its input (`input-hidden`)
and those of its state (`hidden-hidden`) are groups of their own: the gradient of the latter is the one that vanishes or
explodes through time (Bengio et al. 1994; Pascanu et al. 2013).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from seqgen.config import Config
from seqgen.training.events import ExplodingGradient, Norms, VanishingGradient

MEASURED_EVERY = 50
"""Steps between two measurements; each evaluation has one too."""
DIGITS = 6
"""Significant digits of a norm in metrics.jsonl."""
VANISHED = 1e-3
"""A layer's gradient has vanished if it is below this share of the head's; healthy runs have 0.03 and more."""
SETTLED = 100
"""Steps before which a layer may still wake up: the encoder of a transformer begins at 0.0003 and needs up to 50 steps.

A loss that is worse than guessing says sooner that it will not.
"""
EXPLODED = 10.0
"""The gradient has exploded if its norm is above this before clipping, and the loss is far above that of guessing.

A healthy run of a batch of 16 tokens has norms of up to 18, and one with a learning rate of 10 of 15 to 1e9.
"""
WORSE_THAN_GUESSING = 2.0
"""How many times the loss of guessing is far above it; with a learning rate of 10 the loss was 6 to 1,000 times it."""
IN_A_ROW = 2
"""Measurements in a row after which a gradient that has vanished or exploded is reported: one may be an accident."""

_LAYER = re.compile(r".*?\b(?:layers|blocks)\.\d+")
_RECURRENT = {"_ih_": ".input-hidden", "_hh_": ".hidden-hidden"}
_OF_THE_HEAD = {"norm", "start"}
"""Parameters between the last layer and the logits: the last norm, and the hidden vector at a document's start."""


def group_of(parameter: str) -> str:
    """Return the group of a parameter by its name: `layers.0.weight_hh_l0` -> `layers.0.hidden-hidden`."""
    if (layer := _LAYER.match(parameter)) is not None:
        part = next((name for mark, name in _RECURRENT.items() if mark in parameter), "")
        return layer[0] + part
    first = parameter.partition(".")[0]
    return "head" if first in _OF_THE_HEAD else first


class NormMeter:
    """Measures one step of a model. Tied weights belong to the head."""

    def __init__(self, model: nn.Module) -> None:
        self._groups: dict[str, list[Parameter]] = {}
        tied = model.get_submodule("head").weight
        for name, parameter in model.named_parameters():
            group = "head" if parameter is tied else group_of(name)
            self._groups.setdefault(group, []).append(parameter)
        self._groups["head"] = self._groups.pop("head")  # the start of a document is registered first
        self._before: list[Tensor] = []
        self.gradient: dict[str, float] = {}
        """Norms of the gradients by group."""
        self.update: dict[str, float] | None = None
        """Norms of the updates by group, divided by those of the weights; None before `after_update`."""

    @property
    def _parameters(self) -> list[Parameter]:
        return [parameter for group in self._groups.values() for parameter in group]

    @torch.no_grad()
    def before_update(self) -> None:
        """Measure the gradients, which must not be clipped yet, and keep a copy of the weights."""
        self.gradient = self._by_group(
            parameter.new_zeros(()) if parameter.grad is None else parameter.grad for parameter in self._parameters
        )
        self._before = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def after_update(self) -> None:
        """Measure what the optimizer has changed, and drop the copy of the weights."""
        weights = self._by_group(self._parameters)
        torch._foreach_sub_(self._before, list[Tensor](self._parameters))
        changes = self._by_group(self._before)
        self.update = {group: change / weights[group] if weights[group] else 0.0 for group, change in changes.items()}
        self._before = []

    def _by_group(self, tensors: Iterable[Tensor]) -> dict[str, float]:
        """Return the norm of each group, from a tensor for each parameter."""
        norms = torch.stack(list(torch._foreach_norm(list(tensors)))).tolist()
        found, start = {}, 0
        for group, members in self._groups.items():
            found[group] = math.hypot(*norms[start : start + len(members)])
            start += len(members)
        return found

    def event(self, step: int) -> Norms | None:
        """Return the event of the step; None if it was skipped."""
        if self.update is None:
            return None
        return Norms(step, _rounded(self.gradient), _rounded(self.update))


def _rounded(norms: dict[str, float]) -> dict[str, float]:
    return {group: float(f"{norm:.{DIGITS}g}") for group, norm in norms.items()}


class GradientWatch(Config):
    """The measurements that the detection needs. Checkpoints hold it, so that a resumed run reports the same."""

    vanished: int = 0
    """Measurements in a row in which a gradient had vanished."""
    exploded: int = 0
    """Measurements in a row in which the gradient had exploded."""
    reported: bool = False

    def after_norms(
        self, norms: Norms, nats: float, choices: int
    ) -> tuple[GradientWatch, VanishingGradient | ExplodingGradient | None]:
        """Return the watch after a measurement, and what is to be reported; each run reports once.

        Args:
            norms: of the step.
            nats: training loss of the step, in nats per token.
            choices: size of the vocabulary, or number of labels.
        """
        if self.reported:
            return self, None
        guessing = math.log(choices)
        small, large = find_vanished(norms, nats, guessing), find_exploded(norms, nats, guessing)
        counted = {"vanished": self.vanished + 1 if small else 0, "exploded": self.exploded + 1 if large else 0}
        event = large if counted["exploded"] >= IN_A_ROW else small if counted["vanished"] >= IN_A_ROW else None
        return self.model_copy(update={**counted, "reported": event is not None}), event


def find_vanished(norms: Norms, nats: float, guessing: float) -> VanishingGradient | None:
    """Return the smallest gradient of a layer if it has vanished, from the loss and that of guessing."""
    layers = [(norm, group) for group, norm in norms.gradient.items() if _LAYER.match(group)]
    smallest, group = min(layers)
    head, settled = norms.gradient["head"], norms.step >= SETTLED or nats > WORSE_THAN_GUESSING * guessing
    return VanishingGradient(norms.step, group, smallest, head) if settled and smallest < VANISHED * head else None


def find_exploded(norms: Norms, nats: float, guessing: float) -> ExplodingGradient | None:
    """Return the gradient if it has exploded, from the loss and that of guessing."""
    largest, group = max((norm, group) for group, norm in norms.gradient.items())
    total = math.hypot(*norms.gradient.values())
    if total <= EXPLODED or nats <= WORSE_THAN_GUESSING * guessing:
        return None
    return ExplodingGradient(norms.step, group, largest, total, nats, guessing)

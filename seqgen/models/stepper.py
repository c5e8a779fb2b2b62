"""The stepper of any family: its own forward at one token, on packed weights.

A family whose products are those of `nn.Linear`, or of layers that declare `matrices()`, owes no stepper. Special
steppers exist where they are measurably faster, and are tested against this one.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models.base import LanguageModel, Layer, Stepper
from seqgen.models.cpu.packed import StepperLinear
from seqgen.models.state import State

Matrices = dict[str, tuple[Tensor, Tensor | None]]
"""Weights [N, K] and biases [N] by name."""


class ProductLayer(Layer, ABC):
    """A layer that multiplies by matrices other than those of `nn.Linear`, which a stepper may replace by packed ones.

    It declares them, and multiplies by `product(name)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.packed: dict[str, StepperLinear] = {}

    @abstractmethod
    def matrices(self) -> Matrices:
        """Return the weights and biases."""

    def product(self, name: str) -> Callable[[Tensor], Tensor]:
        """Return the product [N, K] -> [N, out] with a matrix."""
        if name in self.packed:
            return self.packed[name]
        weight, bias = self.matrices()[name]
        return partial(F.linear, weight=weight, bias=bias)


class PackedLinear(nn.Module):
    """A packed `nn.Linear` without gradients: [B, T, K] -> fp32 [B, T, N]."""

    def __init__(self, linear: nn.Linear, precision: StepperPrecision) -> None:
        super().__init__()
        self._linear = StepperLinear(linear.weight, linear.bias, precision)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the product."""
        return self._linear(x.flatten(0, -2)).view(*x.shape[:-1], -1)


class DefaultStepper(Stepper):
    """A copy of the model on its plain path, with packed products; without packing if the model is on that path."""

    @torch.no_grad()
    def __init__(self, model: LanguageModel, precision: StepperPrecision) -> None:
        self._model = copy.deepcopy(model).eval()
        for copied, module in zip(self._model.modules(), model.modules(), strict=True):
            # A copied hook that is a bound method would act on a copy of its object.
            copied._forward_hooks, copied._forward_pre_hooks = module._forward_hooks, module._forward_pre_hooks
        if not model.plain:
            _pack(self._model, precision)
        for module in self._model.modules():
            if isinstance(module, Layer):
                module.plain = True

    @torch.no_grad()
    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        logits, state = self._model(token.unsqueeze(1), state, None if starts is None else starts.unsqueeze(1))
        return logits.squeeze(1).float(), state


def _pack(module: nn.Module, precision: StepperPrecision) -> None:
    """Replace the products of a module and of its children, and what does nothing in a stepper."""
    if isinstance(module, Layer):
        module.prepare_steps()
    if isinstance(module, ProductLayer):
        module.packed = {
            name: StepperLinear(weight, bias, precision) for name, (weight, bias) in module.matrices().items()
        }
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child, precision))
        elif isinstance(child, nn.Dropout):
            setattr(module, name, nn.Identity())
        else:
            _pack(child, precision)

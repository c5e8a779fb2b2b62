"""The contract of optimizers: parameters, a learning rate, and a state for each parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor
from torch.nn import Parameter


class Optimizer(ABC):
    """Update parameters by their gradients.

    torch.optim.Optimizer would import torch._dynamo, which takes a second at the start of every run.

    Args:
        parameters: what it updates.
        lr: learning rate.
        weight_decay: share of a parameter that is subtracted from it at a rate of 1, apart from its gradient.
    """

    state: dict[Parameter, dict[str, Tensor]]
    """By parameter. It is complete before the first step, so that every checkpoint holds it."""

    def __init__(self, parameters: Iterable[Parameter], lr: float, weight_decay: float) -> None:
        self.parameters, self.lr, self.weight_decay = list(parameters), lr, weight_decay

    @abstractmethod
    def step(self) -> None:
        """Update every parameter that has a gradient."""

"""An average of the weights over the latest steps, which is better than the weights of any one of them.

Each step adds noise in proportion to the learning rate, and an average removes it (Polyak and Juditsky 1992). So the
average is long while the rate is high, and grows with the run (Shamir and Zhang 2013). As the rate decays to 0, the
average shrinks to the latest weights, which then are the better ones: the last step leaves exactly these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter


class WeightAverage:
    """Moving average of parameters.

    Args:
        parameters: the parameters of a model, each once.
        share: length of the average at the peak learning rate, as a share of the steps so far.
    """

    def __init__(self, parameters: Iterable[Parameter], share: float) -> None:
        self.share = share
        self.by_parameter: dict[Parameter, Tensor] = {parameter: parameter.detach().clone() for parameter in parameters}
        """The average of each parameter; unspecified before the first step."""

    @torch.no_grad()
    def update(self, step: int, rate: float) -> None:
        """Include the weights after step number `step` (from 0); the next step's rate is this share of the peak."""
        length = self.share * step * rate
        weights = [parameter.data for parameter in self.by_parameter]
        torch._foreach_lerp_(list(self.by_parameter.values()), weights, 1.0 / (1.0 + length))

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Put the average in place of the weights."""
        held = [parameter.data for parameter in self.by_parameter]
        for parameter, average in self.by_parameter.items():
            parameter.data = average
        try:
            yield
        finally:
            for parameter, weight in zip(self.by_parameter, held, strict=True):
                parameter.data = weight

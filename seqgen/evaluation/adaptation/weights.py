"""Dynamic evaluation: weights that learn from what was just predicted (Krause et al. 2018, 2019).

After each segment of the text, one step down the gradient of its mean loss, and a small step back to the trained
weights. As in the paper's RMS rule, the gradient of each weight is divided by its root mean square; here the mean is
over the segments read so far, and not over the training text, so a run needs no other file (docs/lab-notes.md):

    mean_square <- mean of gradient^2 over all segments up to this
    weights     <- weights - rate * gradient / (sqrt(mean_square) + epsilon) + decay * (trained - weights)
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor

from seqgen.models.base import LanguageModel

Model = TypeVar("Model", bound=LanguageModel)


class DynamicWeights(Generic[Model]):
    """A copy of a model whose weights learn; the model itself is not changed.

    Args:
        trained: the model, whose weights attract those of the copy.
        rate: the learning rate.
        decay: the share of the distance to the trained weights by which a step returns to them.
        epsilon: what is added to the root mean square of the gradients.
    """

    def __init__(self, trained: Model, rate: float, decay: float, epsilon: float) -> None:
        self.model = copy.deepcopy(trained).eval().requires_grad_(True)
        self._rate, self._decay, self._epsilon = rate, decay, epsilon
        self._weights: list[Tensor] = list(self.model.parameters())
        self._trained = [parameter.detach() for parameter in trained.parameters()]
        self._mean_squares = [torch.zeros_like(weight) for weight in self._trained]
        self._steps = 0

    def learn(self, loss: Tensor) -> bool:
        """Take one step by `loss`, a scalar; return False, and change nothing, if a gradient is not finite."""
        found = torch.autograd.grad(loss, self._weights, allow_unused=True)
        used = [number for number, gradient in enumerate(found) if gradient is not None]
        gradients = [found[number] for number in used]
        with torch.no_grad():
            if not torch.stack(torch._foreach_norm(gradients)).sum().isfinite():
                return False
            self._steps += 1
            torch._foreach_mul_(self._mean_squares, 1 - 1 / self._steps)
            squares = [self._mean_squares[number] for number in used]
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 / self._steps)
            roots = torch._foreach_sqrt(squares)
            torch._foreach_add_(roots, self._epsilon)
            torch._foreach_lerp_(self._weights, self._trained, self._decay)
            torch._foreach_addcdiv_([self._weights[number] for number in used], gradients, roots, value=-self._rate)
        return True

    @torch.no_grad()
    def restore(self) -> None:
        """Bring back the trained weights, and forget the gradients."""
        torch._foreach_copy_(self._weights, self._trained)
        torch._foreach_zero_(self._mean_squares)
        self._steps = 0

"""Dynamic evaluation: weights that learn from what was just predicted (Krause et al. 2018, 2019).

After each segment of the text, one step of SGD by its mean loss, and a small step back to the trained weights:

    weights <- weights - rate * gradient + decay * (trained - weights)
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
        rate: the learning rate of SGD.
        decay: the share of the distance to the trained weights by which a step returns to them.
        clip: the largest norm of a gradient.
    """

    def __init__(self, trained: Model, rate: float, decay: float, clip: float) -> None:
        self.model = copy.deepcopy(trained).eval().requires_grad_(True)
        self._rate, self._decay, self._clip = rate, decay, clip
        self._weights = list(self.model.parameters())
        self._trained = [parameter.detach() for parameter in trained.parameters()]

    def learn(self, loss: Tensor) -> bool:
        """Take one step by `loss`, a scalar; return False, and change nothing, if a gradient is not finite."""
        gradients = torch.autograd.grad(loss, self._weights, allow_unused=True)
        used = [
            (weight, gradient)
            for weight, gradient in zip(self._weights, gradients, strict=True)
            if gradient is not None
        ]
        with torch.no_grad():
            weights, steps = [weight for weight, _ in used], [gradient for _, gradient in used]
            norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(steps))))
            if not norm < float("inf"):
                return False
            torch._foreach_lerp_(self._weights, self._trained, self._decay)
            torch._foreach_add_(weights, steps, alpha=-self._rate * min(1.0, self._clip / max(norm, 1e-30)))
        return True

    @torch.no_grad()
    def restore(self) -> None:
        """Bring back the trained weights."""
        torch._foreach_copy_(self._weights, self._trained)

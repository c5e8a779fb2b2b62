"""Muon (Jordan et al. 2024): orthogonalized momentum, so that a step is equally long in every direction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from seqgen.training.optimizers.base import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration (Jordan et al. 2024): five steps bring singular values to about 0.7 to 1.2."""
NS_STEPS = 5
UPDATE_RMS = 0.2
"""RMS of an update at learning rate 1, about AdamW's, so that one rate serves both (Liu et al. 2025)."""


class Muon(Optimizer):
    """Optimizer for matrices that multiply hidden states, [gates x A, B].

    torch.optim.Muon orthogonalizes one matrix at a time, always in bf16, which is slow on processors without bf16
    instructions. Here matrices of one shape are orthogonalized together.

    Args:
        matrices: the parameters.
        lr: learning rate.
        weight_decay: decoupled, as in AdamW.
        momentum: Nesterov momentum.
        gates: how many gates are stacked in each matrix (of a recurrent layer), to be orthogonalized apart; None is 1.
        dtype: dtype of the iteration.
    """

    def __init__(
        self,
        matrices: Iterable[Parameter],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        *,
        gates: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(matrices, lr, weight_decay)
        self.momentum, self.dtype = momentum, dtype
        self.gates = list(gates) if gates is not None else [1] * len(self.parameters)
        self.state = {matrix: {"momentum_buffer": torch.zeros_like(matrix)} for matrix in self.parameters}

    @torch.no_grad()
    def step(self) -> None:
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter, gates in zip(self.parameters, self.gates, strict=True):
            if parameter.grad is None:
                continue
            momentum = self.state[parameter]["momentum_buffer"].lerp_(parameter.grad, 1 - self.momentum)
            update = parameter.grad.lerp(momentum, self.momentum)
            pairs = list(zip(parameter.chunk(gates), update.chunk(gates), strict=True))
            by_shape[pairs[0][0].shape] += pairs
        for shape, pairs in by_shape.items():
            weights, updates = zip(*pairs, strict=True)
            size = UPDATE_RMS * max(shape) ** 0.5  # an orthogonal matrix has an RMS of max(shape)^-1/2
            directions = orthogonalize(torch.stack(updates).to(self.dtype)).to(weights[0].dtype).unbind()
            torch._foreach_mul_(weights, 1 - self.lr * self.weight_decay)
            torch._foreach_add_(weights, directions, alpha=-self.lr * size)


def orthogonalize(matrices: Tensor) -> Tensor:
    """Return approximately the nearest orthogonal matrices: [N, A, B] -> [N, A, B], U S V^T -> about U V^T."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-7)
    for _ in range(NS_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x

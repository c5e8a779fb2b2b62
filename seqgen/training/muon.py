"""Muon (Jordan et al. 2024): momentum, orthogonalised, so that a step goes equally far in every direction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration, chosen by its authors for its slope at 0: five steps bring singular values to
between 0.7 and 1.2 or so."""
NS_STEPS = 5
UPDATE_RMS = 0.2
"""The size of a step as a share of the learning rate, about AdamW's, so that one rate serves both (Liu et al. 2025)."""


class Muon(torch.optim.Optimizer):
    """For matrices [gates x A, B] that multiply hidden states.

    torch.optim.Muon takes one matrix at a time, and always in bf16, which is slow where a processor has no instructions
    for it. Here those of one shape are orthogonalised together.

    Args:
        matrices: what is learnt.
        lr: learning rate.
        weight_decay: as AdamW's.
        momentum: of the gradients, with Nesterov's look ahead.
        gates_per_weight: how many stand one on the other in each (a recurrent layer's gates), to be taken apart.
        dtype: what the iteration is computed in.
    """

    def __init__(
        self,
        matrices: Iterable[Parameter],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        *,
        gates_per_weight: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "gates_per_weight": gates_per_weight,
            "dtype": dtype,
        }
        super().__init__(matrices, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step by the gradients at hand."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter]["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"])
                pairs = list(
                    zip(
                        parameter.chunk(group["gates_per_weight"]), update.chunk(group["gates_per_weight"]), strict=True
                    )
                )
                by_shape[pairs[0][0].shape] += pairs
            for shape, pairs in by_shape.items():
                weights, updates = zip(*pairs, strict=True)
                size = UPDATE_RMS * max(shape) ** 0.5  # an orthogonal matrix's numbers have an RMS of max(shape)^-1/2
                directions = orthogonalise(torch.stack(updates).to(group["dtype"])).to(weights[0].dtype).unbind()
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, directions, alpha=-group["lr"] * size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: [N, A, B] -> [N, A, B]; U V^T for U S V^T, with S near 1."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalise(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-7)
    for _ in range(NS_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x

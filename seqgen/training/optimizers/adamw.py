"""AdamW (Loshchilov and Hutter 2019) by torch's fused kernel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from seqgen.training.optimizers.base import Optimizer


class AdamW(Optimizer):
    """Optimizer with one rate per number, from the means of gradients and of their squares.

    Args:
        parameters: what it updates.
        lr: learning rate.
        weight_decay: decoupled from the gradients.
        betas: memory of the two means.
        epsilon: added to the root of the mean square.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.betas, self.epsilon = betas, epsilon
        self.state = {
            parameter: {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for parameter in self.parameters
        }

    @torch.no_grad()
    def step(self) -> None:
        pairs = [(parameter, parameter.grad) for parameter in self.parameters if parameter.grad is not None]
        if not pairs:
            return
        updated, gradients = map(list[Tensor], zip(*pairs, strict=True))
        states = [self.state[parameter] for parameter, _ in pairs]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            updated,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )

"""Optimizers: AdamW (Loshchilov and Hutter 2019), or Muon for the matrices between embedding and head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from seqgen.device import Precision
from seqgen.models.base import NeuralModel
from seqgen.training.config import TrainingConfig
from seqgen.training.optimizers.muon import Muon


class Optimizers:
    """Several optimizers with separate parameters and one learning rate."""

    def __init__(self, *members: torch.optim.Optimizer) -> None:
        self.members = members

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """State by parameter, over all members."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all members."""
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = lr

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Take one step with every member."""
        for member in self.members:
            member.step()


def build_optimizer(model: NeuralModel, config: TrainingConfig, precision: Precision) -> Optimizers:
    """Build the optimizer of `config`. Embedding, head, norms and biases always use AdamW without decay.

    Its state is created here, not at the first step, so that every checkpoint holds it.
    """
    not_decayed = {id(model.get_submodule(name).weight) for name in ("embedding", "head")}
    matrices: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in model.parameters():
        (matrices if parameter.dim() == 2 and id(parameter) not in not_decayed else others).append(parameter)
    if config.optimizer == "muon":
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        muon = Muon(
            matrices,
            config.lr,
            config.weight_decay,
            config.muon_momentum,
            gates_per_weight=model.gates_per_weight,
            dtype=dtype,
        )
        return Optimizers(muon, _adamw([{"params": others, "weight_decay": 0.0}], config))
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return Optimizers(_adamw(groups, config))


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.AdamW:
    """Build a fused AdamW with its state."""
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.adam_betas, eps=config.adam_epsilon, fused=True)
    for group in groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer

"""What takes a step by the gradients: AdamW (Loshchilov and Hutter 2019), or Muon for the matrices between layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from seqgen.device import Precision
from seqgen.models.base import LanguageModel
from seqgen.training.config import TrainingConfig
from seqgen.training.muon import Muon


class Optimizers:
    """Several that share a learning rate and a step, each with parameters of its own."""

    def __init__(self, *members: torch.optim.Optimizer) -> None:
        self.members = members

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """What each remembers of its parameters."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    def set_lr(self, lr: float) -> None:
        """The learning rate of the steps to come."""
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = lr

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=True)

    def step(self) -> None:
        """One step of each."""
        for member in self.members:
            member.step()


def build_optimizer(model: LanguageModel, config: TrainingConfig, precision: Precision) -> Optimizers:
    """The optimizer that `config` names. Embedding, head, norms and biases do not decay, and are AdamW's always.

    What it remembers is there from the beginning, not from the first step on, so that any checkpoint holds it.
    """
    spared = {id(model.get_submodule(name).weight) for name in ("embedding", "head")}
    matrices: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in model.parameters():
        (matrices if parameter.dim() == 2 and id(parameter) not in spared else others).append(parameter)
    if config.optimizer == "muon":
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        muon = Muon(matrices, config.lr, config.weight_decay, gates_per_weight=model.gates_per_weight, dtype=dtype)
        return Optimizers(muon, _adamw([{"params": others, "weight_decay": 0.0}], config))
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return Optimizers(_adamw(groups, config))


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.AdamW:
    """In its fused form."""
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)
    for group in groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer

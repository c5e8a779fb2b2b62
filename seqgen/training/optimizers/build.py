"""Optimizers: AdamW (Loshchilov and Hutter 2019), or Muon for the matrices between embedding and head."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

from seqgen.device import Precision
from seqgen.models.base import Layer, NeuralModel
from seqgen.training.config import TrainingConfig
from seqgen.training.optimizers.adamw import AdamW
from seqgen.training.optimizers.base import Optimizer
from seqgen.training.optimizers.muon import Muon


class Optimizers:
    """Several optimizers with separate parameters and one learning rate."""

    def __init__(self, *members: Optimizer) -> None:
        self.members = members

    @property
    def state(self) -> dict[Parameter, dict[str, Tensor]]:
        """State by parameter, over all members."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all members."""
        for member in self.members:
            member.lr = lr

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for member in self.members:
            for parameter in member.parameters:
                parameter.grad = None

    def step(self) -> None:
        """Take one step with every member."""
        for member in self.members:
            member.step()


def build_optimizer(model: NeuralModel, config: TrainingConfig, precision: Precision) -> Optimizers:
    """Build the optimizer of `config`. Embedding, head, norms and biases always use AdamW without decay."""
    not_decayed = {id(model.get_submodule(name).weight) for name in ("embedding", "head")}
    matrices: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in model.parameters():
        (matrices if parameter.dim() == 2 and id(parameter) not in not_decayed else others).append(parameter)
    gates = {
        id(parameter): module.gates if isinstance(module, Layer) else 1
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    }
    first: Optimizer
    if config.optimizer == "muon":
        first = Muon(
            matrices,
            config.lr,
            config.weight_decay,
            config.muon_momentum,
            gates=[gates[id(matrix)] for matrix in matrices],
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
    else:
        first = AdamW(matrices, config.lr, config.weight_decay, config.adam_betas, config.adam_epsilon)
    return Optimizers(first, AdamW(others, config.lr, 0.0, config.adam_betas, config.adam_epsilon))

"""AdamW (Loshchilov and Hutter 2019), with weight decay on the matrices that multiply and on nothing else."""

from __future__ import annotations

import torch
from torch.nn import Parameter

from seqgen.models.language_model import LanguageModel
from seqgen.training.config import TrainingConfig


def build_optimizer(model: LanguageModel, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW in its fused form; the embedding, the head, norms and biases do not decay.

    Its moments are there from the beginning, not from the first step on, so that a checkpoint of any step holds them.
    """
    spared = {id(model.get_submodule(name).weight) for name in ("embedding", "head")}
    decaying: list[Parameter] = []
    others: list[Parameter] = []
    for parameter in model.parameters():
        (decaying if parameter.dim() == 2 and id(parameter) not in spared else others).append(parameter)
    groups = [{"params": decaying, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)
    for parameter in decaying + others:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer

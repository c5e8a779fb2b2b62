from __future__ import annotations

import torch

from seqgen.training.config import TrainingConfig
from seqgen.training.optimizer import build_optimizer


def test_every_weight_is_optimized_once_and_only_inner_matrices_decay(model):
    optimizer = build_optimizer(model, TrainingConfig(weight_decay=0.3))

    decaying, others = optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert sorted(names) == sorted(id(parameter) for group in (decaying, others) for parameter in group["params"])
    assert all(parameter.dim() == 2 for parameter in decaying["params"])
    spared = {names[id(parameter)] for parameter in others["params"]}
    assert {"embedding.weight"} <= spared
    assert not {name for name in spared if torch.Size.numel(model.get_parameter(name).shape) == 0}
    assert {names[id(parameter)] for parameter in decaying["params"]}.isdisjoint({"embedding.weight", "head.weight"})


def test_the_moments_are_there_before_the_first_step(model):
    optimizer = build_optimizer(model, TrainingConfig())

    for parameter in model.parameters():
        moments = optimizer.state[parameter]
        assert moments.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert not any(moment.any() for moment in moments.values())

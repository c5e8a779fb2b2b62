from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.models.registry import FAMILIES
from seqgen.training.config import TrainingConfig
from seqgen.training.optimizers.build import build_optimizer
from seqgen.training.optimizers.muon import Muon

from ...conftest import trained
from ...small_runs import NEURAL


@trained
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_weight_is_in_one_group_and_only_inner_matrices_decay(model, name):
    optimizer = build_optimizer(model, TrainingConfig(optimizer=name, weight_decay=0.3), "fp32")

    decaying, others = optimizer.members
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decaying.weight_decay, others.weight_decay) == (0.3, 0.0)
    assert sorted(names) == sorted(id(parameter) for group in (decaying, others) for parameter in group.parameters)
    assert all(parameter.dim() == 2 for parameter in decaying.parameters)
    spared = {names[id(parameter)] for parameter in others.parameters}
    assert {"embedding.weight"} <= spared
    assert {names[id(parameter)] for parameter in decaying.parameters}.isdisjoint({"embedding.weight", "head.weight"})


@trained
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizer_state_exists_before_the_first_step(model, name):
    optimizer = build_optimizer(model, TrainingConfig(optimizer=name), "fp32")
    before = {parameter: set(state) for parameter, state in optimizer.state.items()}
    assert not any(moment.any() for state in optimizer.state.values() for moment in state.values())
    assert before.keys() == set(model.parameters())

    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()

    assert {parameter: set(state) for parameter, state in optimizer.state.items()} == before


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("cell", [*NEURAL, *(cell for cell, family in FAMILIES.items() if family.task == "translate")])
def test_muon_gets_gates_and_dtype_of_the_run(cell, precision, dtype):
    model = models.build(FAMILIES[cell].config(), 11)

    muon = build_optimizer(model, TrainingConfig(optimizer="muon"), precision).members[0]

    assert isinstance(muon, Muon)
    assert muon.dtype is dtype
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    gates = {"rnn": 1, "lstm": 4, "gru": 3}.get(cell.removesuffix("-translate"), 1)
    for matrix, found in zip(muon.parameters, muon.gates, strict=True):
        assert found == (gates if "weight_ih" in names[id(matrix)] or "weight_hh" in names[id(matrix)] else 1)


@trained
def test_set_lr_applies_to_every_optimizer(model):
    optimizer = build_optimizer(model, TrainingConfig(optimizer="muon"), "fp32")

    optimizer.set_lr(0.25)

    assert [member.lr for member in optimizer.members] == [0.25, 0.25]


@trained
def test_constants_of_the_config_are_those_of_the_optimizers(model):
    config = TrainingConfig(optimizer="muon", adam_betas=(0.5, 0.6), adam_epsilon=1e-3, muon_momentum=0.7)

    muon, adamw = build_optimizer(model, config, "fp32").members

    assert muon.momentum == 0.7
    assert (adamw.betas, adamw.epsilon) == ((0.5, 0.6), 1e-3)

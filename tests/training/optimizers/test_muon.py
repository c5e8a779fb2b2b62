from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import Parameter

from seqgen.training.optimizers.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 20), (2, 20, 5), (2, 1, 7)])
def test_orthogonalize_keeps_directions_and_equalizes_singular_values(shape):
    matrices = torch.randn(shape, dtype=torch.float64) * 100

    found = orthogonalize(matrices)

    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ found @ v.mT
    lengths = turned.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(turned, torch.diag_embed(lengths), rtol=0, atol=1e-9)
    assert float(lengths.min()) > 0.3
    assert float(lengths.max()) < 1.3


def test_orthogonalize_of_zeros_is_zeros():
    assert not orthogonalize(torch.zeros(1, 4, 4)).any()


@pytest.mark.parametrize("nothing_shared", [True, False], ids=["two shapes", "one shape"])
def test_muon_step_agrees_with_torchs(nothing_shared):
    weights = [torch.randn(12, 8), torch.randn(8, 12) if nothing_shared else torch.randn(12, 8)]
    ours, theirs = ([Parameter(weight.clone()) for weight in weights] for _ in range(2))
    settings = {"lr": 0.02, "weight_decay": 0.1}
    mine = Muon(ours, **settings, dtype=torch.bfloat16)
    reference = torch.optim.Muon(theirs, **settings, adjust_lr_fn="match_rms_adamw")

    for _ in range(3):
        gradients = [torch.randn_like(weight) for weight in weights]
        for parameters in (ours, theirs):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
        mine.step()
        reference.step()

    for parameter, expected, begin in zip(ours, theirs, weights, strict=True):
        torch.testing.assert_close(parameter - begin, expected - begin, rtol=0.05, atol=5e-4)  # both in bf16


def test_muon_updates_stacked_gates_separately():
    gates = [torch.randn(6, 6) for _ in range(3)]
    together, apart = Parameter(torch.cat(gates)), [Parameter(gate.clone()) for gate in gates]
    gradient = torch.randn(18, 6)
    together.grad = gradient.clone()
    for parameter, part in zip(apart, gradient.chunk(3), strict=True):
        parameter.grad = part.clone()

    Muon([together], 0.1, gates=[3]).step()
    Muon(apart, 0.1).step()

    torch.testing.assert_close(together, torch.cat(list(apart)))


def test_copy_of_muon_takes_the_same_step():
    weight = Parameter(torch.randn(6, 4))
    muon = Muon([weight], 0.1, gates=[3], dtype=torch.bfloat16)
    weight.grad = torch.randn(6, 4)

    twin = copy.deepcopy(muon)
    (same,) = twin.parameters
    same.grad = weight.grad.clone()
    muon.step()
    twin.step()

    assert torch.equal(same, weight)


def test_muon_skips_parameters_without_gradient():
    weight = Parameter(torch.randn(4, 4))
    before = weight.clone()

    Muon([weight], 0.1, weight_decay=0.5).step()

    assert torch.equal(weight, before)

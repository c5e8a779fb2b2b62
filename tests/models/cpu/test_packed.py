"""The packed product against the plain one, in every precision and for every number of rows."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seqgen.models.cpu import packed
from seqgen.models.cpu.packed import StepperLinear

LARGE, SMALL = (384, 512), (40, 24)
RELATIVE_ERROR = {"fp32": 1e-6, "bf16": 6e-3, "int8": 1.5e-2}
"""Root mean square of the products; int8 rounds weights by up to half of 1/127 of their row's largest."""


def operands(shape, rows):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator)
    return torch.randn(rows, shape[1], generator=generator).tanh(), weight, torch.randn(shape[0], generator=generator)


@pytest.mark.parametrize("rows", [1, 2, 3, 16])
@pytest.mark.parametrize("shape", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("precision", RELATIVE_ERROR)
def test_stepper_linear_agrees_with_linear(precision, shape, rows):
    x, weight, bias = operands(shape, rows)

    found, expected = StepperLinear(weight, bias, precision)(x), F.linear(x, weight, bias)

    assert found.dtype == torch.float32
    error = (found - expected).square().mean().sqrt() / (expected - bias).square().mean().sqrt()
    assert error < RELATIVE_ERROR[precision]
    torch.testing.assert_close(StepperLinear(weight, None, precision)(x), found - bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", RELATIVE_ERROR)
def test_stepper_linear_is_a_snapshot(precision):
    x, weight, bias = operands(LARGE, 2)
    product = StepperLinear(weight, bias, precision)
    before = product(x)

    weight.zero_()
    bias.zero_()

    assert torch.equal(product(x), before)


@pytest.mark.parametrize("precision", RELATIVE_ERROR)
def test_stepper_linear_treats_rows_separately(precision):
    x, weight, bias = operands(LARGE, 16)
    product = StepperLinear(weight, bias, precision)

    for rows in (1, 2, 5):
        torch.testing.assert_close(product(x[:rows]), product(x)[:rows], rtol=2e-2, atol=2e-1)
    loud = x.clone()
    loud[1:] *= 100
    assert torch.equal(product(loud)[0], product(x)[0])


@pytest.mark.parametrize(
    ("shape", "rows", "used"),
    [((8, 64), 1, True), ((8, 64), 2, True), ((8, 64), 3, False), ((6, 64), 1, False), ((8, 48), 1, False)],
)
def test_stepper_linear_uses_torchs_int8_kernel_only_where_it_is_safe(shape, rows, used, monkeypatch):
    """The kernel reads past the end of rows that are not multiples of 32; more than two rows are faster in bf16."""
    calls, kernel = [], torch._weight_int8pack_mm
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda *arguments: calls.append(1) or kernel(*arguments))
    x, weight, bias = operands(shape, rows)

    StepperLinear(weight, bias, "int8")(x)

    assert bool(calls) == used


@pytest.mark.skipif(not packed.can_pack(torch.empty(1)), reason="needs oneDNN")
@pytest.mark.parametrize(("shape", "used"), [((128, 1024), False), ((129, 1024), True)])
def test_stepper_linear_packs_large_weights(shape, used, monkeypatch):
    made, plain = [], packed.PackedWeight
    monkeypatch.setattr(packed, "PackedWeight", lambda *arguments: made.append(1) or plain(*arguments))

    StepperLinear(torch.zeros(shape))

    assert bool(made) == used


def test_stepper_linear_in_int8_keeps_a_row_of_zeros():
    x, weight, _ = operands(LARGE, 1)
    weight[3] = 0.0

    assert StepperLinear(weight, None, "int8")(x)[0, 3] == 0.0


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_stepper_linear_without_onednn_gives_the_same_numbers(precision, monkeypatch):
    x, weight, bias = operands(LARGE, 4)
    with_it = StepperLinear(weight, bias, precision)(x)
    monkeypatch.setattr(packed, "can_pack", lambda weight: False)

    torch.testing.assert_close(StepperLinear(weight, bias, precision)(x), with_it, rtol=2e-2, atol=2e-1)

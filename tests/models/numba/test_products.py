"""The ways in which the compiled steppers multiply, against torch. What needs other kernels than fp32's is slow."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("numba")

from seqgen.models.cpu.packed import SMALL, can_pack
from seqgen.models.numba import kernels
from seqgen.models.numba.products import MANY, Weight, as_array, as_tensor

pytestmark = pytest.mark.xdist_group("numba")  # one worker compiles for all


@pytest.mark.parametrize(("precision", "kept"), [
    ("fp32", lambda weight: weight),
    pytest.param("bf16", lambda weight: weight.bfloat16().float(), marks=pytest.mark.slow),
    pytest.param("int8", lambda weight: (weight / (scale := weight.abs().amax(1, keepdim=True) / 127)).round() * scale,
                 marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize("rows", [MANY - 1, MANY])
def test_weight_does_not_round_inputs_of_small_weights(precision, kept, rows):
    weight, x = torch.randn(7, 40), torch.randn(rows, 40)

    product = Weight(weight, precision, kernels)(x.numpy())

    torch.testing.assert_close(torch.from_numpy(product), x @ kept(weight).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "share"),
    [
        ("fp32", 1e-6),
        pytest.param("bf16", 0.004, marks=pytest.mark.slow),
        pytest.param("int8", 0.004, marks=pytest.mark.slow),
    ],
)
def test_weight_gives_many_rows_the_products_of_few(precision, share):
    weight = torch.randn(300, SMALL // 300 + 1)
    x = torch.randn(MANY, weight.shape[1])
    product = Weight(weight, precision, kernels)
    packs = can_pack(weight if precision == "fp32" else weight.bfloat16())
    assert (product.layout(MANY) is None) == packs
    assert product.layout(MANY - 1) is not None

    many = as_tensor(product(x.numpy())).float()

    few = torch.cat([as_tensor(product(row.numpy())) for row in x.split(1)])
    assert float((many - few).norm() / few.norm()) < share


@pytest.mark.parametrize(("rows", "packs"), [(4, False), (5, True)])
def test_weight_packs_only_what_is_larger_than_small(rows, packs):
    weight = Weight(torch.randn(rows, SMALL // 4), "fp32", kernels)

    assert (weight.layout(MANY) is None) == (packs and can_pack(torch.empty(0)))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_weight_input_has_the_dtype_of_the_product(precision):
    weight = torch.randn(300, SMALL // 300 + 1)
    product = Weight(weight, precision, kernels)
    x = torch.randn(MANY, weight.shape[1])
    filled = product.input(MANY)
    as_tensor(filled).copy_(x)

    torch.testing.assert_close(as_tensor(product(filled)), as_tensor(product(x.numpy())), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_array_and_as_tensor_share_memory(dtype):
    numbers = torch.randn(3, 4).to(dtype)

    back = as_tensor(as_array(numbers))

    assert torch.equal(back, numbers)
    assert back.data_ptr() == numbers.data_ptr()

"""RMSNorm as one node, against torch's and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqgen.device import Precision, autocast
from seqgen.models.cpu.rms_norm import RMSNorm

CPU = torch.device("cpu")
EPSILON = 1e-5


def make_pair(size: int) -> tuple[RMSNorm, nn.RMSNorm]:
    """Ours and torch's, of the same weights."""
    ours, plain = RMSNorm(size, eps=EPSILON), nn.RMSNorm(size, eps=EPSILON)
    nn.init.normal_(ours.weight)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def run(norm: nn.RMSNorm, x: Tensor, d_y: Tensor, precision: Precision) -> list[Tensor]:
    """The output, and the gradients of input and weight."""
    x = x.clone().requires_grad_()
    with autocast(CPU, precision):
        y = norm(x)
    y.backward(d_y.to(y.dtype))
    return [y.detach().float(), x.grad, norm.weight.grad]


@pytest.mark.parametrize("shape", [(3, 5, 16), (2, 1, 1, 8), (7, 64), (9,)])
def test_it_is_torchs(shape):
    ours, plain = make_pair(shape[-1])
    x, d_y = 3 * torch.randn(shape), torch.randn(shape)

    for mine, theirs in zip(run(ours, x, d_y, "fp32"), run(plain, x, d_y, "fp32"), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_its_gradients_are_those_of_finite_differences():
    ours, _ = make_pair(4)
    ours = ours.double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(
        lambda x, weight: torch.func.functional_call(ours, {"weight": weight}, x), (x, ours.weight)
    )


def test_for_products_in_bf16_it_is_rounded_once_and_norms_in_fp32():
    ours, plain = make_pair(32)
    x, d_y = 3 * torch.randn(4, 6, 32), torch.randn(4, 6, 32).bfloat16().float()

    with autocast(CPU, "bf16"):
        y = ours(x)
    assert y.dtype is torch.bfloat16
    assert torch.allclose(y.float(), plain(x), rtol=2**-8)
    for mine, theirs in zip(run(ours, x, d_y, "bf16")[1:], run(plain, x, d_y, "fp32")[1:], strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_gradients_of_several_products_in_bf16_are_those_of_fp32_but_for_bf16s_rounding():
    ours, plain = make_pair(32)
    x, d_y = 3 * torch.randn(4, 6, 32), torch.randn(4, 6, 16)
    products = [nn.Linear(32, 16, bias=False) for _ in range(3)]

    def gradients(norm: nn.RMSNorm, precision: Precision) -> list[Tensor]:
        given = x.clone().requires_grad_()
        with autocast(CPU, precision):
            normed = norm(given)
            total = sum(product(normed).float() for product in products)
        total.backward(d_y)
        return [given.grad, norm.weight.grad]

    for mine, theirs in zip(gradients(ours, "bf16"), gradients(plain, "fp32"), strict=True):
        assert (mine - theirs).norm() < 0.01 * theirs.norm()


def test_fp64_stays_fp64_inside_an_autocast_which_leaves_it_alone():
    ours, _ = make_pair(8)

    with autocast(CPU, "bf16"):
        assert ours.double()(torch.randn(2, 8, dtype=torch.float64)).dtype is torch.float64


def test_a_row_of_zeros_stays_one_and_numbers_that_are_none_stay_so():
    ours, _ = make_pair(8)
    x = torch.zeros(2, 8)
    x[1, 3] = torch.nan

    y = ours(x)

    assert torch.equal(y[0], torch.zeros(8))
    assert y[1].isnan().all()

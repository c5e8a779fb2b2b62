"""Dropout: rates, scale, gradients, and the random state that decides the masks."""

from __future__ import annotations

import pytest
import torch

from seqgen.models.cpu.dropout import Dropout


def drop(x: torch.Tensor, rate: float, seed: int = 0) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dropout(rate)(x)


@pytest.mark.parametrize("rate", [1e-4, 0.1, 0.5, 0.97])
def test_dropout_zeroes_the_rate_of_elements_and_keeps_the_mean(rate):
    y = drop(torch.ones(1000, 997, dtype=torch.float64), rate)

    deviation = (rate * (1 - rate) / y.numel()) ** 0.5
    assert (y == 0).double().mean().item() == pytest.approx(rate, abs=5 * deviation + 2**-17)
    assert y.max().item() == pytest.approx(1 / (1 - rate), rel=1e-3 if rate > 0.9 else 1e-4)
    assert y.mean().item() == pytest.approx(1, abs=5 * deviation / (1 - rate))


@pytest.mark.parametrize("dim", [0, 1])
def test_elements_are_dropped_independently(dim):
    kept = (drop(torch.ones(256, 256), 0.5) != 0).double() - 0.5

    for distance in (1, 2, 4, 8, 64):
        pairs = (kept * kept.roll(distance, dim)).mean().item() * 4
        assert abs(pairs) < 5 / 256


@pytest.mark.parametrize("rate", [1e-9, 1 - 1e-9])
def test_extreme_rates_drop_almost_nothing_and_almost_everything(rate):
    share = (drop(torch.ones(64, 64), rate) == 0).double().mean().item()
    assert abs(share - rate) < 0.01


def test_the_gradient_is_the_mask():
    x = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    y = drop(x, 0.3)
    y.sum().backward()
    torch.testing.assert_close(y.detach(), x.detach() * x.grad)
    assert x.grad.unique().tolist() == pytest.approx([0.0, 1 / 0.7], abs=1e-4)


def test_the_random_state_decides_the_mask():
    x = torch.ones(32, 32)
    assert torch.equal(drop(x, 0.3, seed=1), drop(x, 0.3, seed=1))
    assert not torch.equal(drop(x, 0.3, seed=1), drop(x, 0.3, seed=2))


def test_nothing_is_dropped_at_rate_0_or_in_evaluation():
    x = torch.ones(4, 4)
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_output_has_the_dtype_of_the_input(dtype):
    assert drop(torch.ones(3, dtype=dtype), 0.5).dtype is dtype

"""The blockwise loss and its gradient equal torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seqgen.models.base import IGNORED
from seqgen.training import loss
from seqgen.training.loss import cross_entropy

TOLERANCES = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 4e-3}


@pytest.fixture(params=[1, 7, 64, 10**9])
def _blocks(request, monkeypatch):
    """Blocks of one row, of several, not dividing the rows, and of all."""
    monkeypatch.setattr(loss, "MIN_BLOCKWISE_LOGITS", 0)
    monkeypatch.setattr(loss, "BLOCK_LOGITS", request.param)


def batch(dtype):
    logits = (torch.randn(3, 5, 13, dtype=torch.float64) * 5).to(dtype).requires_grad_()
    targets = torch.randint(0, 13, (3, 5))
    targets[1, 2:] = IGNORED
    return logits, targets


def torchs(logits, targets):
    wide = logits.double().flatten(0, 1)
    return F.cross_entropy(wide, targets.flatten(), ignore_index=IGNORED, reduction="sum")


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 4e-3)]
)
def test_cross_entropy_and_its_gradient_equal_torchs(dtype, tolerance):
    logits, targets = batch(dtype)
    (expected,) = torch.autograd.grad(torchs(logits, targets) / 7, logits)

    value = cross_entropy(logits, targets)
    (value / 7).backward()

    assert value.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(value.double(), torchs(logits, targets).detach(), rtol=max(tolerance, 1e-7) / 10, atol=0)
    torch.testing.assert_close(logits.grad, expected, rtol=tolerance, atol=tolerance / 10)
    assert not logits.grad[1, 2:].any()


@pytest.mark.usefixtures("_blocks")
def test_cross_entropy_of_extreme_logits_is_finite():
    logits = torch.tensor([[[3e38, -3e38, 0.0], [-1e4, -1e4, -1e4]]], requires_grad=True)

    value = cross_entropy(logits, torch.tensor([[0, 2]]))
    value.backward()

    assert value.item() == pytest.approx(torch.tensor(3.0).log().item())
    torch.testing.assert_close(logits.grad[0], torch.tensor([[0, 0, 0], [1 / 3, 1 / 3, -2 / 3]]))


@pytest.mark.usefixtures("_blocks")
def test_cross_entropy_of_nan_is_nan():
    logits = torch.tensor([[[float("nan"), 0.0]]], requires_grad=True)

    assert cross_entropy(logits, torch.tensor([[1]])).isnan()


def test_only_large_batches_are_computed_in_blocks(monkeypatch):
    blocks = []
    monkeypatch.setattr(loss, "_blocks", lambda logits: blocks.append(len(logits)) or [slice(0, len(logits))])
    small, large = torch.zeros(1, 2, 8), torch.zeros(1, 2, loss.MIN_BLOCKWISE_LOGITS // 2)

    cross_entropy(small, torch.zeros(1, 2, dtype=torch.int64))
    assert blocks == []

    assert cross_entropy(large, torch.zeros(1, 2, dtype=torch.int64)).item() == pytest.approx(2 * 14.5561, rel=1e-4)
    assert blocks == [2]


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES.items())
def test_label_smoothing_spreads_a_share_over_all_tokens(dtype, tolerance):
    """Written out: (1 - share) of -ln p of the target, and share / V of that of each token."""
    logits, targets = batch(dtype)

    found = cross_entropy(logits, targets, 0.2)
    (gradient,) = torch.autograd.grad(found, logits)

    wide = logits.detach().double().requires_grad_()
    kept = targets != IGNORED
    nats = -wide.log_softmax(-1)
    of_targets = nats.gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0]
    expected = (0.8 * of_targets + 0.2 * nats.mean(-1))[kept].sum()
    (wanted,) = torch.autograd.grad(expected, wide)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradient.double(), wanted, rtol=0, atol=max(tolerance, 1e-6))


def test_label_smoothing_of_0_is_the_plain_loss():
    logits, targets = batch(torch.float32)

    assert torch.equal(cross_entropy(logits, targets, 0.0), cross_entropy(logits, targets))

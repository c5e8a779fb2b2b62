"""Cross-entropy that needs no more memory than the logits and their gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seqgen.models.base import IGNORED

MIN_BLOCKWISE_LOGITS = 1 << 22
"""Logits of a batch from which blocks pay off; smaller batches are as fast or faster in one piece."""
BLOCK_LOGITS = 1 << 19
"""Logits of one block: their fp32 copy fits into a CPU's cache."""


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the sum of -ln p over all targets that are not ignored, in fp32.

    torch's cross_entropy makes an fp32 copy of the logits and keeps their logarithms: with a vocabulary of tens of
    thousands these are most of the memory of training.

    Args:
        logits: [B, T, V], any dtype.
        targets: [B, T].
        smoothing: the share of each target's probability that is spread over all V tokens (Szegedy et al. 2016).
    """
    flat, expected = logits.flatten(0, 1), targets.flatten()
    if smoothing or flat.numel() < MIN_BLOCKWISE_LOGITS:
        return F.cross_entropy(flat.float(), expected, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)
    apply: Callable[..., Tensor] = _BlockwiseCrossEntropy.apply
    return apply(flat, expected)


class _BlockwiseCrossEntropy(torch.autograd.Function):
    """Logits [N, V], targets [N] -> the sum. Keeps each row's maximum and log-sum for the backward pass."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        largest, log_sums = (logits.new_empty(len(logits), dtype=wide) for _ in range(2))
        for rows in _blocks(logits):
            block = logits[rows].to(wide)
            torch.amax(block, dim=1, out=largest[rows])
            torch.logsumexp(block - largest[rows, None], dim=1, out=log_sums[rows])
        ctx.save_for_backward(logits, targets, largest, log_sums)
        hits = logits.gather(1, targets.clamp(min=0)[:, None])[:, 0].to(wide)
        return torch.where(targets != IGNORED, log_sums - (hits - largest), 0.0).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None]:
        logits, targets, largest, log_sums = ctx.saved_tensors
        d_logits = torch.empty_like(logits)
        index, scale = targets.clamp(min=0)[:, None], torch.where(targets != IGNORED, d_loss, 0.0)[:, None]
        minus_one = largest.new_full((1, 1), -1.0)
        for rows in _blocks(logits):
            share = (logits[rows].to(largest.dtype) - largest[rows, None]).sub_(log_sums[rows, None]).exp_()
            share.scatter_add_(1, index[rows], minus_one.expand(len(share), 1))
            d_logits[rows] = share.mul_(scale[rows])
        return d_logits, None


def _blocks(logits: Tensor) -> list[slice]:
    rows = max(1, BLOCK_LOGITS // logits.shape[1])
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]

"""RMSNorm as one node, for a CPU: torch's is a dozen passes over what is normed there, forward and backward.

What comes out is in the dtype of the products that follow, cast once and not by each of them; so what they send back is
added up in that dtype. `nn.RMSNorm` is the plain form, and what runs on other devices, which have it as one kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqgen.device import product_dtype


class RMSNorm(nn.RMSNorm):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, for x [..., H]: the same shape, as products take it.

    Zhang and Sennrich 2019. On a CPU it has a first derivative and no second.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__(size, eps)
        self._epsilon = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x).to(product_dtype(x))
        normed: Tensor = _RMSNorm.apply(x, self.weight, self._epsilon, product_dtype(x))  # type: ignore[no-untyped-call]
        return normed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed: Tensor = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return (normed * weight).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor, Tensor, None, None]:
        normed, scale, weight = ctx.saved_tensors
        d_y = d_y.to(normed.dtype)
        d_normed = d_y * weight
        d_weight = (d_y * normed).view(-1, len(weight)).sum(0)
        share = (d_normed * normed).mean(-1, keepdim=True)  # of the length, which norming takes away
        return d_normed.addcmul_(normed, share, value=-1).mul_(scale), d_weight, None, None

"""Matrix products with a constant weight, which is packed once for the CPU's kernels, by oneDNN where torch has it.

The plain twin is `torch.nn.functional.linear`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.device import StepperPrecision

SMALL = 1 << 17
"""Size of a weight up to which oneDNN's overhead exceeds its gain for one row (128 x 384: 10 us of 15)."""
FEW = 2
"""Rows up to which int8 is multiplied directly; more are faster in bf16, which holds these numbers exactly."""


def can_pack(weight: Tensor) -> bool:
    """Tell whether oneDNN can multiply by this weight, packed, on this machine."""
    if weight.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32


class PackedWeight:
    """y -> y @ weight.T (+ bias) (+ plus), for y of about `rows` rows and one weight [out, in] of the same dtype."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        # Name the overloads: resolving them takes torch longer than a small product.
        self._multiply: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        self._multiply_add: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.binary

    def __call__(self, y: Tensor, bias: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
        """Compute the product."""
        if plus is None:
            return self._multiply(y, self._packed, bias, "none", [], "")
        return self._multiply_add(y, plus, self._packed, bias, "add")


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to integers of at most 127, and return them with its scale: fp32 [N, K] -> fp32 [N, K] and [N]."""
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / scale[:, None]).round(), scale


class StepperLinear:
    """x fp32 [B, K] -> x W^T + b, fp32 [B, N], for a snapshot of a weight. Rows do not affect each other.

    fp32   the weights unchanged
    bf16   weights rounded to bf16, and inputs too where that is faster
    int8   weights rounded to integers of at most 127 with a scale per row (symmetric, to the nearest)

    The time for one row is the time to read the weights, so half the bytes take nearly half the time.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, precision: StepperPrecision = "fp32") -> None:
        weight = weight.detach().float()
        self._bias = None if bias is None else bias.detach().float().clone()
        self._scale: Tensor | None = None
        self._int8: Tensor | None = None
        if precision == "int8":
            weight, self._scale = quantize(weight)
            if weight.device.type == "cpu" and weight.shape[0] % 4 == 0 and weight.shape[1] % 32 == 0:
                # torch's kernel reads past the end of rows of other lengths.
                self._int8 = weight.to(torch.int8)
                self._ones = torch.ones(len(weight), dtype=torch.bfloat16)
        self._dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._weight = weight.to(self._dtype, copy=True)
        self._packed: PackedWeight | None = None
        if weight.numel() > SMALL and can_pack(self._weight):
            self._packed = PackedWeight(self._weight, 1)
        elif weight.device.type == "cpu":
            self._weight, self._dtype = self._weight.float(), torch.float32
        self._is_plain = self._packed is None and self._dtype is torch.float32 and self._scale is None

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the product."""
        if self._is_plain:
            return F.linear(x, self._weight, self._bias)
        y = self._multiply(x)
        if self._scale is not None:
            y = y.mul_(self._scale)
        return y if self._bias is None else y.add_(self._bias)

    def _multiply(self, x: Tensor) -> Tensor:
        if self._int8 is not None and len(x) <= FEW:
            # The scale is applied later in fp32: here it would be rounded to bf16.
            return torch._weight_int8pack_mm(x.bfloat16(), self._int8, self._ones).float()
        if self._packed is not None:
            return self._packed(x.to(self._dtype)).float()
        return F.linear(x.to(self._dtype), self._weight).float()

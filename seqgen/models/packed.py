"""A matrix product for decoders: weights that never change, laid out once for few rows at a time.

Whatever the precision, what comes in and goes out is fp32; it says how the weights are kept, and what is multiplied:

    fp32   the weights as they are
    bf16   rounded to bf16, and so is what comes in, where that is faster
    int8   whole numbers up to 127, with a scale for each row of the weights (symmetric, round to nearest)

On a CPU one row costs what it takes to read the weights, so half the bytes are nearly half the time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.runtime import DecoderPrecision

SMALL = 1 << 17
"""Numbers in a weight up to which oneDNN's own overhead is more than what it saves (measured: 128 x 384 and below)."""
FEW = 2
"""Rows up to which int8 is multiplied as such; more are faster as bf16, which holds these numbers exactly."""


class PackedLinear:
    """x fp32 [B, K] -> x W^T + b, fp32 [B, N], row by row the same for every B up to rounding."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, precision: DecoderPrecision = "fp32") -> None:
        weight = weight.detach().float()
        self._bias = None if bias is None else bias.detach().float().clone()
        self._scale: Tensor | None = None
        self._int8: Tensor | None = None
        if precision == "int8":
            largest = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
            self._scale = largest / 127
            weight = (weight / self._scale[:, None]).round()
            if weight.device.type == "cpu" and weight.shape[0] % 4 == 0 and weight.shape[1] % 32 == 0:
                # torch's kernel reads past the end of rows of any other length.
                self._int8 = weight.to(torch.int8)
                self._ones = torch.ones(len(weight), dtype=torch.bfloat16)
        self._dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._weight = weight.to(self._dtype, copy=True)
        self._packed: Tensor | None = None
        if weight.device.type == "cpu" and self._dtype == torch.bfloat16:
            if weight.numel() <= SMALL or not _has_onednn():
                self._weight, self._dtype = self._weight.float(), torch.float32
            else:
                self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        y = self._multiply(x)
        if self._scale is not None:
            y = y.mul_(self._scale)
        return y if self._bias is None else y.add_(self._bias)

    def _multiply(self, x: Tensor) -> Tensor:
        if self._int8 is not None and len(x) <= FEW:
            # The scale comes later, in fp32: here it would be rounded to bf16.
            return torch._weight_int8pack_mm(x.bfloat16(), self._int8, self._ones).float()
        if self._packed is not None:
            return torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self._packed, None, "none", [], "").float()
        return F.linear(x.to(self._dtype), self._weight).float()


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

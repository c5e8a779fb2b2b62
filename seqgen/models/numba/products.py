"""Products of the compiled steppers: choose the fastest way to multiply a number of rows by a weight.

The plain twin is `cpu.packed.StepperLinear`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models.cpu.packed import SMALL, PackedWeight, can_pack, quantize

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

MANY = 4
"""Rows from which arithmetic, not reading the weight, limits the speed of a product."""


class Weight:
    """x [B, K] -> x W^T, [B, N], for a snapshot of a weight.

    rows   weight   multiplied by     fp32        bf16                        int8
    few    any      kernels, rows     unchanged   rounded                     integers with a scale per row
    many   small    kernels, panels   the same    the same                    the same
    many   large    oneDNN            unchanged   rounded, as are x and out   integers times scale, rounded to bf16

    x and out are fp32, or the bits of bf16 where oneDNN takes and returns bf16. The layout for many rows is made on
    first use. A row's result therefore depends a little on the number of rows: in bf16 and int8 by bf16's rounding.
    """

    def __init__(self, weight: Tensor, precision: StepperPrecision, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._columns, self._size = weight.shape
        weight = F.pad(weight.detach().float(), (0, 0, 0, -len(weight) % kernels.PANEL))
        self._scale: Floats = np.ones(self._columns, np.float32)
        if precision == "int8":
            weight, scale = quantize(weight)
            self._scale = scale[: self._columns].numpy()
        kept = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}[precision]
        self._weight = weight.to(kept, copy=True, memory_format=torch.contiguous_format)
        self._rows = as_array(self._weight[: self._columns + -self._columns % kernels.TILE])
        self._packed_dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._packs = self._columns * self._size > SMALL and can_pack(torch.empty(0, dtype=self._packed_dtype))
        self._packed: PackedWeight | None = None
        self._panels: Array | None = None

    def layout(self, rows: int) -> tuple[Array, Floats] | None:
        """Return weight and scale for `kernels.product` with this many rows; None where oneDNN is faster."""
        if rows < MANY:
            return self._rows, self._scale
        if self._packs:
            return None
        if self._panels is None:
            panels = self._weight.view(-1, self._kernels.PANEL, self._size)
            self._panels = as_array(panels.transpose(1, 2).contiguous())
        return self._panels, self._scale

    def input(self, rows: int) -> Array:
        """Make an array [rows, K] in the dtype that the product takes, to be filled."""
        bf16 = rows >= MANY and self._packs and self._packed_dtype is torch.bfloat16
        return np.empty((rows, self._size), np.uint16 if bf16 else np.float32)

    def __call__(self, x: Array) -> Array:
        """Compute the product; an fp32 x is rounded first where bf16 is multiplied."""
        layout = self.layout(len(x))
        if layout is not None:
            product: Floats = self._kernels.product(x, *layout)
            return product
        if self._packed_dtype is torch.bfloat16 and x.dtype != np.uint16:
            x, given = self.input(len(x)), x
            self._kernels.store_rows(given, x)
        return as_array(self._pack()(as_tensor(x)))

    def _pack(self) -> PackedWeight:
        if self._packed is None:
            weight = self._weight[: self._columns].float() * torch.from_numpy(self._scale)[:, None]
            self._packed = PackedWeight(weight.to(self._packed_dtype), MANY)
        return self._packed


def as_array(tensor: Tensor) -> Array:
    """View a tensor's memory as a numpy array; bf16 as its bits, uint16."""
    if tensor.dtype is torch.bfloat16:
        bits: npt.NDArray[np.uint16] = tensor.view(torch.int16).numpy().view(np.uint16)
        return bits
    return tensor.numpy()


def as_tensor(array: Array) -> Tensor:
    """View an array's memory as a tensor; uint16 as bf16."""
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)

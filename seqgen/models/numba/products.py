"""The products of the compiled steppers: which of the ways of multiplying so many rows by such a weight is fastest."""

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
"""Rows from which a product is limited by what the machine multiplies, not by how fast it reads the weight."""


class Weight:
    """x [B, K] -> x W^T, [B, N], for a snapshot of a weight.

    rows   weight             multiplied by   fp32       bf16                       int8
    few    any                kernels, rows   as it is   rounded                    whole numbers, a scale for each row
    many   small              kernels, panels the same   the same                   the same
    many   large              oneDNN          as it is   rounded, so are x and out  times its scale as bf16, alike

    x and out are fp32, or where oneDNN takes and gives bf16 its bits. What many rows are multiplied by is laid out when
    they first come. So what a row gives depends a little on how many there are, in bf16 and int8 by as much as bf16
    rounds.
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
        self._rows = plain(self._weight[: self._columns + -self._columns % kernels.TILE])
        self._packed_dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._packs = self._columns * self._size > SMALL and can_pack(torch.empty(0, dtype=self._packed_dtype))
        self._packed: PackedWeight | None = None
        self._panels: Array | None = None

    def laid_out(self, rows: int) -> tuple[Array, Floats] | None:
        """What `kernels.product` multiplies so many rows by, weight and scale; None where oneDNN is faster."""
        if rows < MANY:
            return self._rows, self._scale
        if self._packs:
            return None
        if self._panels is None:
            panels = self._weight.view(-1, self._kernels.PANEL, self._size)
            self._panels = plain(panels.transpose(1, 2).contiguous())
        return self._panels, self._scale

    def input(self, rows: int) -> Array:
        """An array [rows, K] of the kind that is multiplied, to be filled."""
        bf16 = rows >= MANY and self._packs and self._packed_dtype is torch.bfloat16
        return np.empty((rows, self._size), np.uint16 if bf16 else np.float32)

    def __call__(self, x: Array) -> Array:
        """The product; an x in fp32 is rounded where bf16 is what is multiplied."""
        laid_out = self.laid_out(len(x))
        if laid_out is not None:
            product: Floats = self._kernels.product(x, *laid_out)
            return product
        if self._packed_dtype is torch.bfloat16 and x.dtype != np.uint16:
            x, given = self.input(len(x)), x
            self._kernels.store_rows(given, x)
        return plain(self._pack()(tensor(x)))

    def _pack(self) -> PackedWeight:
        if self._packed is None:
            weight = self._weight[: self._columns].float() * torch.from_numpy(self._scale)[:, None]
            self._packed = PackedWeight(weight.to(self._packed_dtype), MANY)
        return self._packed


def plain(tensor: Tensor) -> Array:
    """The same memory as numpy has it; bf16 as its bits, uint16."""
    if tensor.dtype is torch.bfloat16:
        bits: npt.NDArray[np.uint16] = tensor.view(torch.int16).numpy().view(np.uint16)
        return bits
    return tensor.numpy()


def tensor(array: Array) -> Tensor:
    """The other way round."""
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)

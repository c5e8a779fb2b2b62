"""Encode positions: rotary (Su et al. 2021, in the half-split layout of Llama) or sinusoidal (Vaswani et al. 2017).

Positions are int64 [B, T] and count from the beginning of each document.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frequencies(size: int, base: float, device: torch.device | None = None) -> Tensor:
    """Return the rotation of each pair per position, in radians: fp64 [size / 2], from 1 to about 1 / base."""
    exponents = torch.arange(0, size, 2, device=device, dtype=torch.float64) / size
    return torch.pow(base, -exponents)


def rotary(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines of the rotary embedding: positions [B, T] -> two fp64 [B, 1, T, D / 2].

    The angles are fp64, because fp32 cannot tell neighboring positions apart from 2^24 on.
    """
    angles = (positions[:, :, None] * frequencies).unsqueeze(1)
    return angles.cos(), angles.sin()


def rotation_of(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Lay out cosines and signed sines for `rotate`, [B, 1, T, D] each: both halves of D hold those of every pair."""
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (i, i + D/2) of x [B, heads, T, D] by its position's angle."""
    cos, sin = (member.to(x.dtype) for member in rotation)
    swapped = x.roll(x.shape[-1] // 2, -1)  # whole rows: halves take a CPU a third longer
    return torch.addcmul(x * cos, swapped, sin)


def sinusoids(positions: Tensor, frequencies: Tensor) -> Tensor:
    """Compute sinusoidal positions, sines then cosines: [B, T] -> fp64 [B, T, size]."""
    angles = positions[:, :, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)

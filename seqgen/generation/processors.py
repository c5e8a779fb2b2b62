"""Logits processors: small functions from logits fp32 [B, V], and the history of each row, to logits.

Excluded tokens become -inf; at least one token always remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqgen.generation.config import SamplingConfig


class History(NamedTuple):
    """The ids that a row has read."""

    prompt: Sequence[int]
    """Without the boundary; shared by the samples of a prompt."""
    new: list[int]
    """The ids drawn so far."""


LogitsProcessor = Callable[[Tensor, Sequence[History]], Tensor]
"""Receives logits fp32 [B, V] and the B histories."""

SAFE_TEMPERATURES = (1e-3, 1e3)
"""Temperatures by which logits can be divided without overflow."""


def temperature(logits: Tensor, value: float) -> Tensor:
    """Divide by `value`; 0 keeps only the argmax (the first of equals)."""
    if value == 0.0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter_(-1, best, 0.0)
    if SAFE_TEMPERATURES[0] <= value <= SAFE_TEMPERATURES[1]:
        return logits / value
    # Shift first, so that a tiny temperature overflows to -inf and never to inf - inf; and clamp to the range of fp32,
    # outside which there are 0 / 0 and inf / inf.
    limits = torch.finfo(logits.dtype)
    return (logits - logits.amax(dim=-1, keepdim=True)) / min(max(value, limits.tiny), limits.max)


def top_k(logits: Tensor, count: int) -> Tensor:
    """Keep the `count` most likely tokens, and those as likely as the last of them."""
    smallest = logits.topk(min(count, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


def top_p(logits: Tensor, share: float) -> Tensor:
    """Keep the fewest most likely tokens whose probabilities sum to `share` (Holtzman et al. 2020)."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # the sum over more likely tokens
    dropped = before >= share
    dropped[..., 0] = False
    return logits.masked_fill(dropped.scatter(-1, order, dropped), -math.inf)


def min_p(logits: Tensor, share: float) -> Tensor:
    """Keep tokens at least `share` times as likely as the most likely one (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), -math.inf)


NOT_FOR_PROCESSORS = {"max_new_tokens", "stop", "seed", "precision", "engine"}
"""Settings that change no processor."""


def processor_settings(config: SamplingConfig) -> tuple[object, ...]:
    """Return the settings that processors are built from; rows with equal ones share them."""
    return tuple(value for name, value in config if name not in NOT_FOR_PROCESSORS)


def build_processors(config: SamplingConfig) -> list[LogitsProcessor]:
    """Return the processors that `config` turns on, in their order."""
    processors: list[LogitsProcessor] = []
    if config.temperature != 1.0:
        processors.append(lambda logits, _: temperature(logits, config.temperature))
    if config.top_k:
        processors.append(lambda logits, _: top_k(logits, config.top_k))
    if config.top_p < 1.0:
        processors.append(lambda logits, _: top_p(logits, config.top_p))
    if config.min_p > 0.0:
        processors.append(lambda logits, _: min_p(logits, config.min_p))
    return processors

"""Logits -> logits: each filter a small function; those it forbids become -inf, and at least one token always stays.

Shapes: logits fp32 [B, V] in, the same out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seqgen.generation.config import SamplingConfig

LogitsProcessor = Callable[[Tensor], Tensor]

ORDINARY = (1e-3, 1e3)
"""Temperatures by which logits can be divided as they are."""


def temperature(logits: Tensor, value: float) -> Tensor:
    """Divide by `value`; 0 leaves the argmax alone (the first of equals)."""
    if value == 0.0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter_(-1, best, 0.0)
    if ORDINARY[0] <= value <= ORDINARY[1]:
        return logits / value
    # Shifted first, so that a tiny temperature overflows towards -inf and never to inf - inf; and kept within what fp32
    # holds, past which 0 / 0 and inf / inf wait.
    limits = torch.finfo(logits.dtype)
    return (logits - logits.amax(dim=-1, keepdim=True)) / min(max(value, limits.tiny), limits.max)


def top_k(logits: Tensor, count: int) -> Tensor:
    """Keep the `count` most likely, and what is as likely as the last of them."""
    smallest = logits.topk(min(count, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


def top_p(logits: Tensor, share: float) -> Tensor:
    """Keep the fewest most likely tokens that hold `share` of the probability together (Holtzman et al. 2020)."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # the share held by those more likely
    dropped = before >= share
    dropped[..., 0] = False
    return logits.masked_fill(dropped.scatter(-1, order, dropped), -math.inf)


def min_p(logits: Tensor, share: float) -> Tensor:
    """Keep what is at least `share` as likely as the most likely (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), -math.inf)


def suppress_tokens(tokens: Sequence[int]) -> LogitsProcessor:
    """Never draw `tokens`."""
    masks: list[Tensor] = []  # made once: indexing costs more than all of the drawing

    def apply(logits: Tensor) -> Tensor:
        if not masks:
            masks.append(
                torch.zeros_like(logits[0]).index_fill_(0, torch.tensor(tokens, device=logits.device), -math.inf)
            )
        return logits + masks[0]

    return apply


def build_processors(config: SamplingConfig, forbidden: Sequence[int]) -> list[LogitsProcessor]:
    """The processors that `config` turns on, in their order, behind the one that forbids tokens."""
    processors: list[LogitsProcessor] = []
    if forbidden:
        processors.append(suppress_tokens(forbidden))
    if config.temperature != 1.0:
        processors.append(lambda logits: temperature(logits, config.temperature))
    if config.top_k:
        processors.append(lambda logits: top_k(logits, config.top_k))
    if config.top_p < 1.0:
        processors.append(lambda logits: top_p(logits, config.top_p))
    if config.min_p > 0.0:
        processors.append(lambda logits: min_p(logits, config.min_p))
    return processors

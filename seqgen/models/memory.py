"""The memory that a training step is sure to take, known before any of it is taken.

A lower bound: what the backward pass needs of each layer whatever torch makes of it, so that nothing is refused that
would have fitted. A step may well take twice as much.
"""

from __future__ import annotations

import torch

from seqgen.device import Precision
from seqgen.models.recurrent import GATES
from seqgen.models.registry import RecurrentConfig, TransformerConfig
from seqgen.models.transformer import FULL_SCORES


def activation_bytes(
    config: RecurrentConfig | TransformerConfig, vocab_size: int, rows: int, length: int, precision: Precision
) -> int:
    """Bytes in use when the backward pass of [rows, length] tokens begins, at least: what it needs of each layer, the
    logits and their gradient; without what `attention_bytes` adds.
    """
    size, width = config.hidden_size, _WIDTH[precision]
    if isinstance(config, TransformerConfig):
        # Both normed inputs, queries, keys, values and what attention makes of them; gate, its SiLU, up, their product;
        # and what is normed, which is fp32 as the weights of the embedding are.
        layer = width * (6 * size + 4 * config.inner_size) + 4 * 2 * size
    else:
        layer = width * (1 + GATES[config.cell]) * size  # the outputs, and each gate's
    return rows * length * (config.layers * layer + width * 2 * vocab_size)


def attention_bytes(
    config: TransformerConfig, rows: int, length: int, precision: Precision, device: torch.device, *, plain: bool
) -> int:
    """Bytes that are kept for the backward pass and grow with the square of `length`, at least.

    On a CPU these are, in each layer, the scores, where they are worked on whole, or the mask that a batch needs which
    is not `plain`: documents begin within its rows.
    """
    if device.type != "cpu":
        return 0
    scores = rows * config.heads * length**2
    whole = precision == "bf16" and scores <= FULL_SCORES
    kept = (scores if whole else 0) if plain else rows * length**2
    return _WIDTH[precision] * config.layers * kept


_WIDTH: dict[Precision, int] = {"fp32": 4, "bf16": 2}

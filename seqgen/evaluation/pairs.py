"""Score the targets of pairs, given their sources: the nats of each pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch

from seqgen.data.pairs import Pairs
from seqgen.device import Precision, autocast, evaluation_mode
from seqgen.evaluation.report import Context, Evaluation, TextSize
from seqgen.evaluation.scoring import MAX_LOGITS, Nats
from seqgen.models.base import LanguageModel
from seqgen.models.config import PairConfig

ROWS = 256
"""Pairs of one call of the model, or fewer to keep to `MAX_LOGITS`."""


def score_pairs(
    model: LanguageModel,
    pairs: Pairs,
    precision: Precision = "fp32",
    progress: Callable[[int], None] = lambda _: None,
) -> Nats:
    """Return the nats of each target, its end included, [N].

    Args:
        model: an encoder-decoder.
        pairs: what is scored.
        precision: of the products.
        progress: receives the number of tokens in each part that was scored.
    """
    pairs = pairs.cut_sources(cast("PairConfig", model.config).source_limit)
    nats = np.empty(len(pairs), dtype=np.float64)
    longest = 1 + int(pairs.targets.lengths.max(initial=0))
    rows = max(1, min(ROWS, MAX_LOGITS // (longest * model.vocab_size)))
    with evaluation_mode(model), torch.no_grad(), autocast(model.device, precision):
        for index in pairs.by_length(rows):
            batch = pairs.select(index).batch().to(model.device)
            found, _ = model.nats(batch.inputs, batch.targets, batch.state(model), batch.starts)
            nats[index] = found.double().sum(1).cpu().numpy()
            progress(int((batch.targets >= 0).sum()))
    return nats


def evaluate_pairs(
    model: LanguageModel,
    pairs: Pairs,
    size: TextSize,
    precision: Precision = "fp32",
    progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Add up the scores of pairs; `size` is that of their targets."""
    total = float(score_pairs(model, pairs, precision, progress).sum())
    return Evaluation(pairs.tokens, size, total, len(pairs), Context("stream", len(pairs)))

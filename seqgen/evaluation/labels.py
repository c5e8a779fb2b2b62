"""Score labels and tags: the logits at each target, the nats and the accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from seqgen.data.pairs import Pairs
from seqgen.device import Precision, autocast, evaluation_mode
from seqgen.evaluation.pairs import ROWS
from seqgen.evaluation.scoring import MAX_LOGITS
from seqgen.evaluation.tasks.labels import Floats, Ints, fit_temperature, log_softmax, mean_nats
from seqgen.models.base import IGNORED, LanguageModel
from seqgen.models.config import LabelConfig
from seqgen.models.labeling.base import Labeler

MIN_TEMPERATURE_TARGETS = 50
"""Targets from which a temperature is fitted to them: from fewer, it is mostly chance which labels are right."""


@dataclass(frozen=True)
class LabelEvaluation:
    """What labels cost, and how many are right: those of texts, or the tags of words."""

    nats_per_token: float
    """Mean -ln p of a label, by the logits as they are."""
    accuracy: float
    """The share of labels that are the most probable ones."""
    temperature: float
    """The temperature that fits these labels best.

    It is 1 for fewer than `MIN_TEMPERATURE_TARGETS`, and if all are right or all are wrong, which does not say how sure
    is too sure.
    """
    bits_per_character: None = None
    bits_per_byte: None = None
    """Labels are not text, so they have no bits per byte."""

    @property
    def perplexity(self) -> float:
        """exp(nats per label), or infinity above the range of a float."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    def calibrate(self, model: LanguageModel) -> None:
        """Give the model that was scored, a labeler, the temperature."""
        cast("Labeler", model).temperature.fill_(self.temperature)


def label_logits(
    model: LanguageModel,
    pairs: Pairs,
    precision: Precision = "fp32",
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """Return the logits at the targets of each pair: fp32 [targets, L].

    Args:
        model: a labeler.
        pairs: of `data.labels`; sources that are longer than the model reads are cut.
        precision: of the products.
        progress: receives how many tokens of the sources were read, and their total.
    """
    config = cast("LabelConfig", model.config)
    pairs = pairs.cut_sources(config.source_limit)
    found: list[Floats] = [np.empty((0, 0))] * len(pairs)
    width = max(config.hidden_size, len(config.labels))
    longest = 1 + int(pairs.sources.lengths.max(initial=0))
    rows = max(1, min(ROWS, MAX_LOGITS // (longest * width)))
    read, total = 0, int(pairs.sources.lengths.sum())
    with evaluation_mode(model), torch.no_grad(), autocast(model.device, precision):
        for index in pairs.by_length(rows):
            batch = pairs.select(index).batch()
            placed = batch.to(model.device)
            logits, _ = model(placed.inputs, placed.state(model), placed.starts)
            rows_of_logits = logits.float().cpu().numpy()
            scored = batch.targets != IGNORED
            for row, number in enumerate(index.tolist()):
                found[number] = rows_of_logits[row][scored[row].numpy()]
            read += int(pairs.sources.lengths[index].sum())
            if progress is not None:
                progress(read, total)
    return found


def targets_of(pairs: Pairs) -> Ints:
    """Return all targets of pairs that are not ignored, int64 [N]."""
    rows = [pairs.targets[number] for number in range(len(pairs))]
    return np.concatenate([row[row != IGNORED] for row in rows]).astype(np.int64)


def evaluate_labels(model: LanguageModel, pairs: Pairs, precision: Precision = "fp32") -> LabelEvaluation:
    """Score the labels of pairs; NaN in the logits gives NaN."""
    logits, targets = np.concatenate(label_logits(model, pairs, precision)), targets_of(pairs)
    if not np.isfinite(logits).all():
        return LabelEvaluation(math.nan, math.nan, 1.0)
    accuracy = float((logits.argmax(axis=1) == targets).mean())
    is_fitted = len(targets) >= MIN_TEMPERATURE_TARGETS and 0 < accuracy < 1
    temperature = fit_temperature(logits, targets) if is_fitted else 1.0
    return LabelEvaluation(mean_nats(log_softmax(logits.astype(np.float64)), targets), accuracy, temperature)

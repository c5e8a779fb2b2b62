"""Measure the surprisal of documents: one reading for the tokens, the lines, the documents and the calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from seqgen.data.documents import Documents
from seqgen.errors import TextError
from seqgen.evaluation.calibration import Calibration
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import Predictions, Scores, plan_segments, predict, score
from seqgen.evaluation.surprisal.costs import Costs, LineCosts
from seqgen.evaluation.surprisal.tokens import ALTERNATIVES, PredictedDocuments
from seqgen.models.base import LanguageModel
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.base import BOUNDARY, Tokenizer

MOST_TOKENS = 1 << 22
"""Tokens that are kept one by one: about 200 MB."""


@dataclass(frozen=True, eq=False)
class Surprisal:
    """What a model found hard in documents."""

    texts: LoadedDocuments
    """The documents as they were read; those without tokens are left out."""
    evaluation: Evaluation
    lines: Costs
    documents: Costs
    tokens: PredictedDocuments | None
    """Every token; None where only sums were asked for."""
    calibration: Calibration | None
    """Of the most probable token, over all tokens; None where it was not asked for."""

    def text_of(self, costs: Costs, index: int) -> str:
        """Return the text of a line or a document, with its line end."""
        start, stop = costs.spans[index].tolist()
        return self.texts[int(costs.document[index])][start:stop]


def measure_surprisal(
    model: LanguageModel,
    tokenizer: Tokenizer,
    documents: LoadedDocuments,
    ids: Documents,
    config: EvaluationConfig,
    *,
    tokens: bool = True,
    calibration: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Surprisal:
    """Score documents, and keep what each part of them costs.

    Args:
        model: any family.
        tokenizer: of the model.
        documents: the texts, none of them empty.
        ids: their ids.
        config: how much context each token is scored with; the model does not learn.
        tokens: keep every token with its rank and the most probable tokens.
        calibration: count how often the most probable token is right.
        progress: receives the number of tokens in each part that was scored.

    Raises:
        TextError: there are more tokens to keep than `MOST_TOKENS`.
        ConfigError: the context that `config` sets exceeds the model's positions.
    """
    if tokens and ids.tokens > MOST_TOKENS:
        raise TextError(
            f"the text has {ids.tokens:,} tokens, more than the {MOST_TOKENS:,} that are kept one by one; use --by "
            "line, or a part of the text"
        )
    segments, context = plan_segments(model, ids, config)
    costs = LineCosts(documents, ids, tokenizer)
    kept = PredictedDocuments(documents, ids, tokenizer) if tokens else None
    bins = Calibration.of(np.empty(0), np.empty(0, bool)) if calibration else None
    parts: Iterable[Scores] = score(model, ids, segments, config.precision)
    if kept is not None or bins is not None:
        parts = predict(model, ids, segments, config.precision, top=ALTERNATIVES if tokens else 1)
    sums = []
    for part in parts:
        costs.add(part)
        sums.append(float(part.nats.sum(dtype=np.float64)))
        if isinstance(part, Predictions):
            if kept is not None:
                kept.add(part)
            if bins is not None:
                bins = bins.plus(_calibration_of(part, ids))
        progress(len(part.nats))
    size = TextSize.total(documents, tokenizer, documents.end_bytes)
    evaluation = Evaluation(ids.tokens, size, math.fsum(sums), int(ids.ends.sum()), context)
    return Surprisal(documents, evaluation, costs.lines(), costs.documents(), kept, bins)


def _calibration_of(predictions: Predictions, ids: Documents) -> Calibration:
    """Return the bins of the most probable token of each place."""
    place = ids.starts[predictions.document] + predictions.position
    is_end = predictions.position == np.diff(ids.starts)[predictions.document]
    targets = np.where(is_end, BOUNDARY, ids.ids.take(place, mode="clip"))
    confidence = np.exp(predictions.top_log_probs[:, 0].astype(np.float64))
    return Calibration.of(confidence, predictions.top[:, 0] == targets)

"""Time `seqgen eval` of a megabyte next to the forward pass of training: the same model and precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from measuring import Row, Work, race
from torch.nn import functional as F

from seqgen import models
from seqgen.data.documents import Documents
from seqgen.device import Precision, autocast, select_precision
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import TextSize
from seqgen.evaluation.scoring import evaluate
from seqgen.models.base import LanguageModel
from seqgen.models.config import LstmConfig

CPU = torch.device("cpu")
VOCAB_SIZE = 67
TOKENS = 1 << 20
BATCH_SIZE, LENGTH = 64, 128


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield the rows for fp32 and for the default precision of training."""
    del threads  # torch has them
    model = models.build(LstmConfig(hidden_size=512, embedding_size=512, layers=2), VOCAB_SIZE).eval()
    ids = np.random.default_rng(0).integers(2, VOCAB_SIZE, TOKENS, dtype=np.int32)
    precisions: set[Precision] = {"fp32", select_precision("auto", CPU)}
    for precision in sorted(precisions):
        yield from race(
            "evaluate 1 MB, lstm 2x512",
            "token",
            {f"seqgen {precision}": _evaluation(model, ids, precision)},
            {f"the training forward, {precision}": _forward(model, ids, precision)},
            max(2, rounds // 2),
        )


def _evaluation(model: LanguageModel, ids: np.ndarray, precision: Precision) -> Work:
    documents, size = Documents.of([ids]), TextSize(len(ids), len(ids), 0, 0.0)

    def work() -> float:
        return evaluate(model, documents, size, EvaluationConfig(precision=precision)).tokens

    return work


def _forward(model: LanguageModel, ids: np.ndarray, precision: Precision) -> Work:
    """Return the forward pass of training, loss included, with all that a backward pass would need."""
    rows = torch.from_numpy(ids[: len(ids) // 8].astype(np.int64)).view(BATCH_SIZE, -1)

    def work() -> float:
        state, done = None, 0
        for start in range(0, rows.shape[1] - LENGTH, LENGTH):
            inputs, targets = rows[:, start : start + LENGTH], rows[:, start + 1 : start + LENGTH + 1]
            with torch.enable_grad(), autocast(CPU, precision):
                logits, state = model(inputs, state)
            F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
            state, done = state.detach(), done + inputs.numel()
        return done

    return work

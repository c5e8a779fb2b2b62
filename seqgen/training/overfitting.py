"""Detect overfitting from the training and validation losses.

A model overfits when the validation loss has been above its best at two evaluations in a row, now by 1% or more, while
the training loss (the mean over the steps since the evaluation before) is 1% or more below its value at that best. A
constant gap between the two, as a hard validation text has from the start, is not overfitting. Before the text has been
read twice nothing is reported: losses vary much at the beginning.
"""

from __future__ import annotations

from typing import NamedTuple

from seqgen.config import Config
from seqgen.training.events import Overfitting

MIN_EVALUATIONS = 2
MARGIN = 0.01
MIN_EPOCHS = 2.0


class EvaluationLosses(NamedTuple):
    """The losses at an evaluation, in nats per token."""

    step: int
    training: float
    """Mean over the steps since the evaluation before."""
    validation: float


class OverfittingDetector(Config):
    """The losses that the detection needs. Checkpoints hold it, so that a resumed run reports the same."""

    steps: int = 0
    """Steps since the last evaluation."""
    loss: float = 0.0
    """Sum of their training losses."""
    best: EvaluationLosses | None = None
    latest: EvaluationLosses | None = None
    evaluations_since_best: int = 0
    reported: bool = False

    def after_step(self, nats_per_token: float) -> OverfittingDetector:
        """Return the detector after a step with this training loss."""
        return self.model_copy(update={"steps": self.steps + 1, "loss": self.loss + nats_per_token})

    def after_evaluation(self, step: int, nats_per_token: float) -> OverfittingDetector:
        """Return the detector after an evaluation with this validation loss."""
        if not self.steps:  # all were skipped
            return self
        latest = EvaluationLosses(step, self.loss / self.steps, nats_per_token)
        is_best = self.best is None or nats_per_token < self.best.validation
        return self.model_copy(
            update={
                "steps": 0,
                "loss": 0.0,
                "best": latest if is_best else self.best,
                "latest": latest,
                "evaluations_since_best": 0 if is_best else self.evaluations_since_best + 1,
            }
        )

    def detect(self, epochs: float) -> Overfitting | None:
        """Return the event to report if the model overfits and nothing was reported yet.

        Args:
            epochs: how many times the text has been read.
        """
        best, latest = self.best, self.latest
        if self.reported or epochs < MIN_EPOCHS or self.evaluations_since_best < MIN_EVALUATIONS:
            return None
        if best is None or latest is None:
            return None
        if latest.validation < best.validation * (1 + MARGIN) or latest.training > best.training * (1 - MARGIN):
            return None
        return Overfitting(
            step=latest.step,
            nats_per_token=latest.validation,
            training_nats_per_token=latest.training,
            best_step=best.step,
            best_nats_per_token=best.validation,
            best_training_nats_per_token=best.training,
        )

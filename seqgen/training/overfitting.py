"""When a model begins to learn its text by heart: training and validation part.

It has begun where validation has been worse than its best twice in a row, now by a hundredth or more, while the
training loss (the mean over the steps since the evaluation before) is a hundredth lower than it was at that best. Where
the two only differ, as a hard validation text's do from the start, nothing has parted; and what was not read twice is
not learnt by heart, however unsteady the beginning.
"""

from __future__ import annotations

from typing import NamedTuple

from seqgen.config import Config
from seqgen.training.events import Overfitting

EVALUATIONS = 2
MARGIN = 0.01
READINGS = 2.0


class Losses(NamedTuple):
    """Of an evaluation and of the training before it, in nats a token."""

    step: int
    training: float
    validation: float


class Watch(Config):
    """What is kept of a run to see it: all of it is in the checkpoint, so that a resumed run says the same."""

    steps: int = 0
    """Steps since the last evaluation, and the sum of their losses."""
    loss: float = 0.0
    best: Losses | None = None
    latest: Losses | None = None
    evaluations_since_best: int = 0
    told: bool = False

    def after_step(self, nats_per_token: float) -> Watch:
        """A step was taken at this loss."""
        return self.model_copy(update={"steps": self.steps + 1, "loss": self.loss + nats_per_token})

    def after_evaluation(self, step: int, nats_per_token: float) -> Watch:
        """The validation part was scored at this loss."""
        if not self.steps:  # all were skipped
            return self
        latest = Losses(step, self.loss / self.steps, nats_per_token)
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

    def parting(self, readings: float) -> Overfitting | None:
        """What to say if training and validation have parted by now, and nobody was told so yet.

        `readings` is how many times the text has been read.
        """
        best, latest = self.best, self.latest
        if self.told or readings < READINGS or self.evaluations_since_best < EVALUATIONS:
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

"""Compare how sure a model is with how often it is right (Guo et al. 2017, "On calibration of modern neural networks").

The confidence is the probability of the most probable answer: a label, or the next token. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

BINS = 15
"""Bins of equal width over confidences from 0 to 1, as in Guo et al."""
EDGES = np.linspace(0, 1, BINS + 1)
"""Each bin is open at its lower end and closed at its upper end."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How many answers have a confidence in each of the `BINS` bins, [B] each, and sums over them."""

    count: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]
    """The sum of the confidences."""
    correct: npt.NDArray[np.int64]
    """How many answers are right."""

    @classmethod
    def of(cls, confidence: npt.NDArray[np.floating[Any]], correct: npt.NDArray[np.bool_]) -> Self:
        """Return the bins of answers: their confidences, and whether they are right, [N] each."""
        bins = np.searchsorted(EDGES[1:-1], confidence)
        return cls(
            np.bincount(bins, minlength=BINS),
            np.bincount(bins, weights=confidence, minlength=BINS).astype(np.float64),
            np.bincount(bins[correct], minlength=BINS),
        )

    def plus(self, other: Calibration) -> Calibration:
        """Return the bins of the answers of both."""
        return Calibration(self.count + other.count, self.confidences + other.confidences, self.correct + other.correct)

    @property
    def answers(self) -> int:
        """How many answers there are."""
        return int(self.count.sum())

    @property
    def accuracy(self) -> float:
        """The share of the answers that are right."""
        return float(self.correct.sum() / self.answers)

    @property
    def confidence(self) -> float:
        """The mean confidence of the answers."""
        return float(self.confidences.sum() / self.answers)

    @property
    def error(self) -> float:
        """The expected calibration error (equation 3).

        The mean over the bins, weighted by their answers, of the distance between mean confidence and accuracy.
        """
        return float(np.abs(self.confidences - self.correct).sum() / self.answers)

    def rows(self) -> list[CalibrationBin]:
        """Return the bins that have answers, the lowest first."""
        return [
            CalibrationBin(
                low=float(EDGES[place]),
                high=float(EDGES[place + 1]),
                count=int(self.count[place]),
                confidence=float(self.confidences[place] / self.count[place]),
                accuracy=float(self.correct[place] / self.count[place]),
            )
            for place in np.flatnonzero(self.count).tolist()
        ]


@dataclass(frozen=True)
class CalibrationBin:
    """The answers with a confidence above `low` and at most `high`: how many, mean confidence, share of right ones."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float

"""Report how well a classifier labels documents, and fit the temperature that makes its probabilities honest.

Calibration error and temperature: Guo et al. 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.errors import RunError, TextError
from seqgen.evaluation.calibration import Calibration
from seqgen.evaluation.tasks.counts import Counts, macro_f1

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
MOST_CONFUSED = 12
"""Labels up to which a report has a confusion matrix: as many as fit a page."""


@dataclass(frozen=True)
class LabelReport:
    """Figures of a classifier on documents whose labels are known."""

    counts: dict[str, Counts]
    """Of each label how often it is true, predicted, and both."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Documents by their label (row) and the predicted label (column), [L, L]; None above `MOST_CONFUSED` labels."""
    nats: float
    """Mean -ln p of the label of a document."""
    calibration_error: float
    """Expected calibration error: what `calibration_error` returns."""
    uncalibrated_error: float
    """The same without the temperature."""
    temperature: float
    """By which the logits were divided."""

    @property
    def documents(self) -> int:
        """The number of documents."""
        return sum(counts.reference for counts in self.counts.values())

    @property
    def accuracy(self) -> float:
        """The share of documents whose most probable label is theirs."""
        return sum(counts.correct for counts in self.counts.values()) / self.documents

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that are true or predicted for at least one document."""
        return macro_f1(self.counts.values())

    @property
    def majority(self) -> str:
        """The label that most documents have; the first of several."""
        return max(self.counts.items(), key=lambda item: item[1].reference)[0]

    @property
    def majority_share(self) -> float:
        """The accuracy of a classifier that always answers `majority`."""
        return self.counts[self.majority].reference / self.documents

    def as_record(self) -> dict[str, Any]:
        """Return the figures as --json prints them."""
        return {
            "documents": self.documents,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "majority": self.majority,
            "majority_share": self.majority_share,
            "nats": self.nats,
            "calibration_error": self.calibration_error,
            "uncalibrated_error": self.uncalibrated_error,
            "temperature": self.temperature,
            "labels": {label: counts.as_record() for label, counts in self.counts.items()},
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
        }


def report_labels(logits: Floats, targets: Ints, labels: Sequence[str], temperature: float = 1.0) -> LabelReport:
    """Return the report of a classifier; of equally probable labels it predicts the first.

    Args:
        logits: of every document and label, [N, L].
        targets: the index in `labels` of every document's label, [N].
        labels: the L labels.
        temperature: divides the logits.

    Raises:
        TextError: there are no documents.
        RunError: the logits contain NaN or infinity.
    """
    logits = _checked(logits, targets)
    predicted = logits.argmax(axis=1)
    columns = (np.bincount(one, minlength=len(labels)) for one in (targets, predicted, targets[predicted == targets]))
    counts = zip(*(column.tolist() for column in columns), strict=True)
    log_probs = log_softmax(logits / temperature)
    return LabelReport(
        counts={label: Counts(*of_label) for label, of_label in zip(labels, counts, strict=True)},
        confusion=_confusion(targets, predicted, len(labels)) if len(labels) <= MOST_CONFUSED else None,
        nats=mean_nats(log_probs, targets),
        calibration_error=calibration_error(np.exp(log_probs), targets),
        uncalibrated_error=calibration_error(np.exp(log_softmax(logits)), targets),
        temperature=temperature,
    )


def _confusion(targets: Ints, predicted: Ints, labels: int) -> tuple[tuple[int, ...], ...]:
    """Return how many documents of each label, a row, were given each label, a column."""
    confusion = np.zeros((labels, labels), np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    return tuple(tuple(row) for row in confusion.tolist())


def mean_nats(log_probs: Floats, targets: Ints) -> float:
    """Return the mean -ln p of the labels of documents, from log-probabilities [N, L] and indices of labels [N]."""
    return -float(log_probs[np.arange(len(targets)), targets].mean())


def calibration_error(probabilities: Floats, targets: Ints) -> float:
    """Return the expected calibration error of the most probable labels (Guo et al. 2017, equation 3).

    It is the mean over bins of probability, weighted by their documents, of the distance between the mean probability
    and the share of correct labels.

    Args:
        probabilities: of every document and label, [N, L], each row with sum 1.
        targets: the index of every document's label, [N].
    """
    return Calibration.of(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets).error


def fit_temperature(logits: Floats, targets: Ints) -> float:
    """Return the temperature by which to divide logits so that the labels cost the fewest nats.

    The mean nats are convex in 1 / T, so their slope has one change of sign, which bisection finds to the last bit.
    If they fall to the end of the range, because every document or none has its label on top, that end is returned.
    1 is returned where no other temperature is better.

    Args:
        logits: of every document and label, [N, L]: of documents that the model was not trained on.
        targets: the index of every document's label, [N].

    Raises:
        TextError: there are no documents.
        RunError: the logits contain NaN or infinity.
    """
    logits = _checked(logits, targets)
    logits = logits - logits.max(axis=1, keepdims=True)
    of_targets = logits[np.arange(len(targets)), targets]

    def slope(inverse: float) -> float:
        """Return the derivative of the mean nats by 1 / T: the expected logit less the logit of the label."""
        expected = (np.exp(log_softmax(logits * inverse)) * logits).sum(axis=1)
        return float((expected - of_targets).mean())

    low, high = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE
    if slope(1.0) == 0:
        return 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / middle


def log_softmax(logits: Floats) -> Floats:
    """Return normalized log-probabilities, [N, L]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _checked(logits: Floats, targets: Ints) -> npt.NDArray[np.float64]:
    """Return the logits in fp64."""
    if not len(targets):
        raise TextError("there are no documents to evaluate: the text has no document with a label")
    if len(logits) != len(targets) or targets.min() < 0 or targets.max() >= logits.shape[1]:
        raise ValueError(f"targets must be {len(logits)} indices below {logits.shape[1]}")
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise RunError(f"the logits of document {broken[0] + 1} contain NaN or infinity; train the model again")
    return logits.astype(np.float64)

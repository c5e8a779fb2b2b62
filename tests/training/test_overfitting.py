"""Detect overfitting in the losses of runs that overfit and of runs that do not."""

from __future__ import annotations

import pytest

from seqgen.training.events import Overfitting
from seqgen.training.overfitting import OverfittingDetector


def detect(losses, epochs=8.0):
    """Return the events for (training, validation) losses of each evaluation."""
    detector, events = OverfittingDetector(), []
    for number, (training, validation) in enumerate(losses, 1):
        for loss in (training - 0.5, training + 0.5):
            detector = detector.after_step(loss)
        detector = detector.after_evaluation(10 * number, validation)
        detector = OverfittingDetector.from_json(detector.model_dump_json(), "a checkpoint")
        event = detector.detect(epochs)
        if event is not None:
            detector = detector.model_copy(update={"reported": True})
            events.append(event)
    return events


def test_detects_overfitting_in_losses_of_a_real_run():
    bits = [(3.897, 3.079), (2.775, 2.479), (2.348, 2.285), (2.136, 2.224), (1.993, 2.237), (1.885, 2.238),
            (1.807, 2.256), (1.721, 2.260), (1.647, 2.271)]  # fmt: skip

    assert detect(bits) == [
        Overfitting(
            step=70,
            nats_per_token=2.256,
            training_nats_per_token=1.807,
            best_step=40,
            best_nats_per_token=2.224,
            best_training_nats_per_token=2.136,
        )
    ]


@pytest.mark.parametrize(
    "losses",
    [
        [(3.0, 3.0), (2.5, 2.6), (2.0, 2.1), (1.9, 2.09), (1.8, 2.08)],  # a constant gap, of a hard text
        [(3.0, 3.0), (2.0, 2.0), (1.8, 2.3), (1.7, 1.9)],  # one bad evaluation
        [(3.0, 3.0), (2.0, 2.0), (2.5, 2.5), (2.6, 2.6)],  # training diverges
        [(3.0, 3.0), (2.0, 2.0), (1.9, 2.01), (1.8, 2.019)],  # less than 1%
        [(3.0, 3.0), (2.0, 2.0), (1.985, 2.5), (1.981, 2.6)],
        [],
    ],
)
def test_detects_nothing_in_runs_that_do_not_overfit(losses):
    assert detect(losses) == []


def test_margin_and_epochs_are_inclusive():
    losses = [(2.0, 2.0), (2.0, 2.0), (1.98, 2.0200001)]

    assert len(detect(losses, epochs=2.0)) == 1
    assert detect(losses, epochs=1.99) == []


def test_evaluation_without_steps_is_ignored():
    detector = OverfittingDetector().after_step(2.0).after_evaluation(1, 2.0)

    assert detector.after_evaluation(2, 9.0) == detector

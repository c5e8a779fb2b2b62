"""When training and validation part, by the numbers of runs that did and of runs that did not."""

from __future__ import annotations

import pytest

from seqgen.training.events import Overfitting
from seqgen.training.overfitting import Watch


def follow(losses, readings=8.0):
    """What is said of a run, and after which evaluation: (training, validation) in each."""
    watch, said = Watch(), []
    for number, (training, validation) in enumerate(losses, 1):
        for loss in (training - 0.5, training + 0.5):
            watch = watch.after_step(loss)
        watch = watch.after_evaluation(10 * number, validation)
        watch = Watch.from_json(watch.model_dump_json(), "a checkpoint")
        event = watch.parting(readings)
        if event is not None:
            watch = watch.model_copy(update={"told": True})
            said.append(event)
    return said


def test_a_gru_on_100_kilobytes():
    bits = [(3.897, 3.079), (2.775, 2.479), (2.348, 2.285), (2.136, 2.224), (1.993, 2.237), (1.885, 2.238),
            (1.807, 2.256), (1.721, 2.260), (1.647, 2.271)]  # fmt: skip

    assert follow(bits) == [
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
        [(3.0, 3.0), (2.5, 2.6), (2.0, 2.1), (1.9, 2.09), (1.8, 2.08)],  # a gap alone, of a hard text
        [(3.0, 3.0), (2.0, 2.0), (1.8, 2.3), (1.7, 1.9)],  # one bad evaluation
        [(3.0, 3.0), (2.0, 2.0), (2.5, 2.5), (2.6, 2.6)],  # training that goes astray
        [(3.0, 3.0), (2.0, 2.0), (1.9, 2.01), (1.8, 2.019)],  # less than a hundredth
        [(3.0, 3.0), (2.0, 2.0), (1.985, 2.5), (1.981, 2.6)],
        [],
    ],
)
def test_what_is_no_parting(losses):
    assert follow(losses) == []


def test_the_edges_count():
    losses = [(2.0, 2.0), (2.0, 2.0), (1.98, 2.0200001)]

    assert len(follow(losses, readings=2.0)) == 1
    assert follow(losses, readings=1.99) == []


def test_an_evaluation_without_steps_says_nothing():
    watch = Watch().after_step(2.0).after_evaluation(1, 2.0)

    assert watch.after_evaluation(2, 9.0) == watch

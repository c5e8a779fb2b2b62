"""Norms of gradients and updates, and the detection of gradients that vanish or explode."""

from __future__ import annotations

import math

import pytest
import torch

from seqgen.training.events import ExplodingGradient, Norms, VanishingGradient
from seqgen.training.norms import (
    EXPLODED,
    IN_A_ROW,
    SETTLED,
    VANISHED,
    WORSE_THAN_GUESSING,
    GradientWatch,
    NormMeter,
    group_of,
)

from ..conftest import some_by_default
from .conftest import LABELERS, SMALL, TRANSLATORS


def test_group_of_names_layers_and_parts_of_recurrent_layers():
    groups = {
        "embedding.weight": "embedding",
        "layers.0.weight_ih_l0": "layers.0.input-hidden",
        "layers.1.bias_hh_l0": "layers.1.hidden-hidden",
        "layers.12.query.weight": "layers.12",
        "encoder.layers.3.weight_hh_l0": "encoder.layers.3.hidden-hidden",
        "encoder.blocks.0.down.weight": "encoder.blocks.0",
        "encoder.norm.weight": "encoder",
        "bridge.1.weight": "bridge",
        "norm.weight": "head",
        "start": "head",
        "head.bias": "head",
    }

    assert {name: group_of(name) for name in groups} == groups


@pytest.mark.parametrize(("name", "settings"), [("lstm", {"optimizer": "muon"}), ("transformer", {"grad_accum": 2})])
def test_meter_measures_gradients_before_clipping_and_relative_updates(make_learner, name, settings):
    learner, _ = make_learner(name, clip_grad_norm=1e-3, dropout=0.0, **settings)
    before = {key: parameter.detach().clone() for key, parameter in learner.model.named_parameters()}
    learner.meter = NormMeter(learner.model)

    norm = learner.step(3).grad_norm

    norms = learner.meter.event(4)
    assert norms.step == 4
    assert math.hypot(*norms.gradient.values()) == pytest.approx(norm, rel=1e-4)
    after = dict(learner.model.named_parameters())
    assert norms.update.keys() == norms.gradient.keys() == {group_of(key) for key in after}
    for group, found in norms.update.items():
        members = [key for key in after if group_of(key) == group]
        change = math.hypot(*((after[key] - before[key]).norm().item() for key in members))
        size = math.hypot(*(after[key].norm().item() for key in members))
        gradients = [after[key].grad for key in members]
        clipped = math.hypot(*(one.norm().item() for one in gradients if one is not None))
        assert found == pytest.approx(change / size, rel=1e-4)
        assert norms.gradient[group] * 1e-3 / norm == pytest.approx(clipped, rel=1e-3)
        assert found > 0


def test_meter_counts_tied_weights_with_the_head(make_learner):
    learner, _ = make_learner("lstm", tie_weights=True, clip_grad_norm=1e9)
    learner.meter = NormMeter(learner.model)

    learner.step(3)

    head = [learner.model.head.weight, learner.model.head.bias]  # no document starts in this text
    gradient = learner.meter.event(4).gradient
    assert "embedding" not in gradient
    assert gradient["head"] == pytest.approx(math.hypot(*(one.grad.norm().item() for one in head)), rel=1e-3)


def test_meter_does_not_change_the_step(make_learner):
    results = []
    for measured in (False, True):
        learner, _ = make_learner("lstm")
        learner.meter = NormMeter(learner.model) if measured else None
        results.append((learner.step(2), learner.model.head.weight.detach().clone()))

    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


def test_meter_has_no_event_of_a_skipped_step(make_learner, monkeypatch):
    learner, _ = make_learner("gru")
    learner.meter = NormMeter(learner.model)
    monkeypatch.setattr(learner, "_backward", lambda batch, tokens: torch.tensor(math.nan))

    assert not learner.step(0).taken
    assert learner.meter.event(1) is None


CHOICES = 32
GUESSING = math.log(CHOICES)


def norms_with(step, **gradient):
    return Norms(step, {"embedding": 0.1, "layers.0": 0.1, "layers.1": 0.1, "head": 1.0, **gradient}, {})


def watch(measured, nats=GUESSING):
    """Return what is reported after each measurement; the watch goes through JSON as in a checkpoint."""
    watched, reported = GradientWatch(), []
    for norms in measured:
        watched, event = watched.after_norms(norms, nats, CHOICES)
        watched = GradientWatch.from_json(watched.model_dump_json(), "a checkpoint")
        reported.append(event)
    return reported


def test_vanishing_gradient_is_reported_once_after_measurements_in_a_row():
    small, steps = {"layers.0": VANISHED * 0.5}, range(SETTLED, SETTLED + 9)
    measured = [norms_with(step, **(small if step != SETTLED + 1 else {})) for step in steps]

    reported = watch(measured)

    expected = VanishingGradient(SETTLED + 1 + IN_A_ROW, "layers.0", VANISHED * 0.5, 1.0)
    assert [event for event in reported if event is not None] == [expected]


def test_vanishing_gradient_is_that_of_a_layer_below_the_threshold():
    steps = range(SETTLED, SETTLED + 9)

    assert watch([norms_with(step, **{"layers.1": VANISHED}) for step in steps]) == [None] * 9
    assert watch([norms_with(step, embedding=0.0) for step in steps]) == [None] * 9
    early = [norms_with(step, **{"layers.1": 0.0}) for step in range(IN_A_ROW)]
    assert watch(early) == [None] * IN_A_ROW
    assert isinstance(watch(early, WORSE_THAN_GUESSING * GUESSING * 1.01)[-1], VanishingGradient)


def test_exploding_gradient_is_large_while_the_loss_is_worse_than_guessing():
    gradient = {"layers.1": EXPLODED, "layers.0": EXPLODED / 2}
    measured = [norms_with(step, **gradient) for step in range(IN_A_ROW)]
    nats = WORSE_THAN_GUESSING * GUESSING

    *before, event = watch(measured, nats * 1.01)

    total = math.hypot(EXPLODED, EXPLODED / 2, 0.1, 1.0)
    assert before == [None] * (IN_A_ROW - 1)
    assert event == ExplodingGradient(
        IN_A_ROW - 1, "layers.1", EXPLODED, pytest.approx(total), nats * 1.01, pytest.approx(GUESSING)
    )
    assert watch(measured, nats) == [None] * IN_A_ROW
    edge = Norms(1, {"layers.0": EXPLODED, "head": 0.0}, {})
    assert watch([edge] * IN_A_ROW, nats * 9) == [None] * IN_A_ROW
    assert watch([norms_with(step, head=EXPLODED * 0.99) for step in range(9)], nats * 9) == [None] * 9


def report_of(learner, steps, first=0):
    """Take steps of a learner, measure each, and return what is reported; the steps are called `first`, ..."""
    watched, reported = GradientWatch(), []
    for step in range(steps):
        learner.meter = NormMeter(learner.model)
        nats, norms = learner.step(step).nats_per_token, learner.meter.event(first + step)
        watched, event = watched.after_norms(norms, nats, learner.model.head.out_features)
        reported += [] if event is None else [event]
    return reported


@pytest.mark.parametrize("name", some_by_default({**SMALL, **TRANSLATORS, **LABELERS}, {"window"}))
def test_healthy_runs_report_no_gradients(make_learner, name):
    steps = SETTLED + 10
    learner, _ = make_learner(name, max_steps=steps, lr=0.01)

    assert report_of(learner, steps) == []


@pytest.mark.parametrize("name", some_by_default({**SMALL, **TRANSLATORS}, {"rnn"}))
def test_learning_rate_of_10_is_reported(make_learner, name):
    learner, _ = make_learner(name, max_steps=30, lr=10.0)

    (found,) = report_of(learner, 30)

    assert found.step < 30


@pytest.mark.parametrize(
    ("name", "gate", "bias"),
    [
        ("rnn", 0, 30.0),  # tanh is 1
        pytest.param("lstm", 0, -30.0, marks=pytest.mark.slow),  # the input gate is 0
        pytest.param("gru", 1, 30.0, marks=pytest.mark.slow),  # the update gate keeps the old state
    ],
)
def test_vanishing_gradient_of_a_saturated_layer_is_reported(make_learner, name, gate, bias):
    learner, _ = make_learner(name, layers=2, max_steps=9, lr=1e-4)
    with torch.no_grad():
        learner.model.layers[0].bias_ih_l0.view(-1, 24)[gate].fill_(bias)

    (found,) = report_of(learner, 9, first=SETTLED)

    assert (type(found), found.group.partition("-")[0]) == (VanishingGradient, "layers.0.hidden")

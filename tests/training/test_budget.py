from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seqgen.data.batches import Contiguous, Windows
from seqgen.data.documents import Documents
from seqgen.training import budget
from seqgen.training.budget import steps_for, steps_within
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner


@pytest.fixture
def _short_probe(monkeypatch):
    """A few steps are probe enough."""
    monkeypatch.setattr(budget, "PROBE_SECONDS", 0.0)


def test_the_smaller_of_steps_and_epochs_counts():
    stream = Contiguous(Documents.of([np.ones(1000, np.int32)]), batch_size=2, length=5, seed=0)  # 100 batches

    assert steps_for(TrainingConfig(max_steps=7), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=1.5), stream) == 150
    assert steps_for(TrainingConfig(max_epochs=1.5, accumulate=4), stream) == 38
    assert steps_for(TrainingConfig(max_steps=7, max_epochs=1.5), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=0.001), stream) == 1
    assert steps_for(TrainingConfig(max_time=5.0), stream) is None


def test_an_epoch_of_windows_is_the_batches_that_it_has():
    stream = Windows(Documents.of([np.ones(50, np.int32)]), batch_size=4, length=5, seed=0)  # 10 windows: 4, 4 and 2

    assert steps_for(TrainingConfig(max_epochs=2.0), stream) == 6


@pytest.mark.usefixtures("_short_probe")
def test_a_probe_changes_nothing_and_more_time_gives_more_steps(make_learner):
    learner, _ = make_learner("lstm", dropout=0.5)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    pauses = []

    few, apart = steps_within(4.0, learner, lambda: pauses.append(1), None)
    many, _ = steps_within(4000.0, learner, lambda: pauses.append(1), None)

    assert 1 <= few < many
    assert 1 <= apart <= few
    assert len(pauses) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())
    fresh, _ = make_learner("lstm", dropout=0.5)
    assert learner.step(0) == fresh.step(0)


@pytest.mark.usefixtures("_short_probe")
def test_a_probe_learns_as_a_run_does_though_nobody_knows_yet_how_long_it_is(make_learner, monkeypatch):
    rates = []

    class Recorded(Learner):
        def step(self, step: int) -> tuple[float, float]:
            result = super().step(step)
            rates.append(self.optimizer.members[0].param_groups[0]["lr"])
            return result

    monkeypatch.setattr(budget, "Learner", Recorded)
    learner, _ = make_learner("gru", max_steps=None, max_time=5.0)
    steps_within(5.0, learner, lambda: None, None)

    assert len(rates) > budget.WARM_UP_STEPS
    assert all(0.0 < rate <= learner.config.lr for rate in rates)
    assert rates[-1] == pytest.approx(learner.config.lr)


@pytest.mark.usefixtures("_short_probe")
def test_too_little_time_is_one_step(make_learner):
    learner, _ = make_learner("gru")

    assert steps_within(1e-6, learner, lambda: None, None) == (1, 1)
    assert steps_within(1e-6, learner, lambda: None, 3) == (1, 3)


@pytest.mark.parametrize(
    ("seconds", "eval_every", "expected"),
    [
        (100.0, None, (608, 87)),  # 90 s in hand: 7 pauses take 14 % of 100 s, the steps the rest
        (1000.0, None, (7040, 704)),  # no more than 10
        (4.0, None, (12, 12)),  # one in any case
        (100.0, 16, (360, 16)),  # 16 steps and a pause are 4 s
    ],
)
def test_the_time_is_shared_out_between_steps_and_pauses(monkeypatch, seconds, eval_every, expected):
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    monkeypatch.setattr(budget, "_time_steps", lambda learner, seconds: 0.125)
    monkeypatch.setattr(budget, "_time_pause", lambda learner, pause: 2.0)

    assert steps_within(seconds, None, None, eval_every) == expected


def test_a_step_that_takes_longer_than_the_probe_may_is_the_probe(make_learner, monkeypatch):
    steps = []
    monkeypatch.setattr(Learner, "step", lambda self, step: steps.append(step))
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    learner, _ = make_learner("gru")

    assert budget._time_steps(learner, seconds=0.25) == 4
    assert steps == [0]

from __future__ import annotations

import torch

from seqgen.training.budget import steps_for, steps_within
from seqgen.training.config import TrainingConfig


def test_the_smaller_of_steps_and_epochs_counts():
    assert steps_for(TrainingConfig(max_steps=7), 1_000, 10) == 7
    assert steps_for(TrainingConfig(max_epochs=1.5), 1_000, 10) == 150
    assert steps_for(TrainingConfig(max_steps=7, max_epochs=1.5), 1_000, 10) == 7
    assert steps_for(TrainingConfig(max_epochs=0.001), 1_000, 10) == 1
    assert steps_for(TrainingConfig(max_time=5.0), 1_000, 10) is None


def test_a_probe_changes_nothing_and_more_time_gives_more_steps(make_learner):
    learner, _ = make_learner("lstm", dropout=0.5)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    evaluations = []

    few, apart = steps_within(4.0, learner, lambda: evaluations.append(1))
    many, _ = steps_within(400.0, learner, lambda: evaluations.append(1))

    assert 1 <= few < many
    assert 1 <= apart <= few
    assert len(evaluations) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())
    fresh, _ = make_learner("lstm", dropout=0.5)
    assert learner.step(0) == fresh.step(0)


def test_too_little_time_is_one_step(make_learner):
    learner, _ = make_learner("gru")

    assert steps_within(1e-6, learner, None) == (1, 1)

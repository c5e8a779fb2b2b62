"""Benchmarks of `time_budget`: how long they take, and the number of threads that they choose."""

from __future__ import annotations

import pytest
import torch

from seqgen.training import time_budget as budget
from seqgen.training.learner import Learner
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Timings, first_plan, replan, time_steps


@pytest.mark.parametrize(("max_time", "measured"), [(100.0, 4.0), (1000.0, 5.0)])
def test_first_benchmark_takes_a_share_of_the_time_and_at_most_five_seconds(
    make_learner, monkeypatch, clock, max_time, measured
):
    learner, _ = make_learner("gru", max_steps=None, max_time=max_time, threads=1)
    asked = []
    monkeypatch.setattr(
        budget, "time_steps", lambda learner, threads, seconds, clock: asked.append(seconds) or {1: 0.1}
    )

    first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert asked == [measured]


@pytest.mark.parametrize(("left", "measured"), [(20.0, 1.0), (1000.0, 2.0)])
def test_benchmark_of_a_replan_takes_a_share_of_the_rest_and_at_most_two_seconds(
    make_learner, monkeypatch, clock, left, measured
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    learner, _ = make_learner("gru", max_steps=None, max_time=1000.0)
    learner.plan = Plan.first(10**6, threads=2)
    asked = []

    def time(learner, threads, seconds, clock):
        asked.append((threads, seconds))
        return dict.fromkeys(threads, 0.1)

    monkeypatch.setattr(budget, "time_steps", time)

    replan(learner, 200, 1000.0 - left, Timings(steps=100, step_seconds=10.0), clock)

    assert asked == [([2, 1, 4], pytest.approx(measured))]


def test_benchmark_changes_nothing_and_more_time_gives_more_steps(make_learner, monkeypatch):
    monkeypatch.setattr(budget, "BENCHMARK_SECONDS", 0.0)
    learner, _ = make_learner("lstm", dropout=0.5, max_steps=None, max_time=4.0, eval_every=None)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    evaluations = []

    few, _ = first_plan(learner, lambda: evaluations.append(1), spent=0.0)
    learner.config = learner.config.model_copy(update={"max_time": 4000.0})
    many, _ = first_plan(learner, lambda: evaluations.append(1), spent=0.0)

    assert 1 <= few.total_steps < many.total_steps
    assert len(evaluations) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())
    fresh, _ = make_learner("lstm", dropout=0.5)
    learner.plan = fresh.plan
    assert learner.step(0) == fresh.step(0)


@pytest.fixture
def count_steps(clock, monkeypatch):
    """Time steps of `each` seconds on the candidates; return how many were taken on each."""

    def count(learner, each, seconds, candidates=(1,)):
        taken = []

        def step(self, index):
            taken.append(torch.get_num_threads())
            clock.now += each

        monkeypatch.setattr(Learner, "step", step)
        times = time_steps(learner, candidates, seconds, clock)
        assert times == pytest.approx(dict.fromkeys(candidates, each))
        return [taken.count(threads) for threads in candidates]

    return count


def test_time_steps_of_fast_steps_warms_up_and_measures_for_the_seconds(make_learner, count_steps):
    learner, _ = make_learner("gru")

    assert count_steps(learner, 0.125, 4.0) == [5 + 1 + 32]  # warm-up, first step, 4 s
    assert count_steps(learner, 0.125, 0.5) == [3 + 1 + 6]  # the warm-up ends after half of the time; at least 6 rounds
    assert count_steps(learner, 0.125, 0.25) == [2 + 1 + 5]  # ends after twice the time
    assert count_steps(learner, 0.001, 1000.0) == [5 + 1 + 200]  # at most 200 rounds
    assert count_steps(learner, 0.125, 4.0, (1, 2)) == [5 + 1 + 16, 2 + 16]


def test_slow_steps_are_timed_once_per_number_of_threads(make_learner, clock, monkeypatch):
    learner, _ = make_learner("gru")
    seconds, steps = {1: 9.0, 2: 7.0, 4: 4.0}, []

    def step(self, index):
        steps.append(torch.get_num_threads())
        clock.now += seconds[steps[-1]]

    monkeypatch.setattr(Learner, "step", step)

    assert time_steps(learner, [4, 2, 1], 0.25, clock) == {
        4: 4.0,
        2: 7.0,
    }  # not timed on one thread: two were slower already
    assert steps == [4, 2]


def test_time_steps_leaves_out_threads_of_half_the_speed(make_learner, clock, monkeypatch):
    learner, _ = make_learner("gru")
    taken = []

    def step(self, index):
        taken.append(torch.get_num_threads())
        clock.now += {1: 0.125, 2: 0.25, 3: 0.375, 4: 0.5}[taken[-1]]

    monkeypatch.setattr(Learner, "step", step)
    time_steps(learner, [1, 2, 3, 4], 0.75, clock)

    counts = [taken.count(threads) for threads in (2, 3, 4)]
    assert counts[0] > 2  # twice as slow is measured further
    assert counts[1:] == [2, 1]  # three times as slow: tried twice; four times: once


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ({1: 0.3, 2: 0.2, 4: 0.1}, 4),
        ({1: 0.3, 2: 0.1, 4: 0.2}, 2),  # too small a model for four
        ({1: 0.1, 2: 0.4, 4: 0.9}, 1),  # other work on the cores
    ],
)
def test_first_plan_uses_the_fastest_number_of_threads(make_learner, clock, speed, seconds, fastest):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    speed(seconds)

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.current.threads == fastest
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_with_some_slow_steps_lose(make_learner, clock, monkeypatch):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    steps = []

    def step(self, index):
        steps.append(torch.get_num_threads())
        waits = steps[-1] > 1 and steps.count(steps[-1]) % 4 == 0  # for a core in use by another program
        clock.now += 1.5 if waits else {1: 0.2, 2: 0.12, 4: 0.12}[steps[-1]]

    monkeypatch.setattr(Learner, "step", step)

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.current.threads == 1


@pytest.mark.usefixtures("four_threads")
def test_smallest_of_equally_fast_numbers_of_threads_is_used(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    speed({1: 0.2, 2: 0.102, 4: 0.1})

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.current.threads == 2


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("length", [{"max_steps": 9}, {"max_steps": None, "max_time": 300.0}])
def test_users_threads_are_kept(make_learner, clock, speed, length):
    learner, _ = make_learner("gru", threads=3, **length)
    speed({3: 0.1})  # a step on any other number fails

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.current.threads == 3
    timings = Timings(steps=10, step_seconds=1.0)
    learner.plan = plan
    assert (replan(learner, 5, 10.0, timings, clock) or plan).current.threads == 3

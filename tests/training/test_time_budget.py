from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen.data.batches import ContiguousBatches, Windows
from seqgen.data.documents import Documents
from seqgen.training import time_budget as budget
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Pace, Stopwatch, extended, first_plan, replan, steps_for, time_steps


class FakeClock:
    """Time that goes by only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def speed(monkeypatch, clock):
    """Let a step on n threads take `seconds[n]`."""

    def set_speed(seconds):
        def step(self, index):
            clock.now += seconds[torch.get_num_threads()]

        monkeypatch.setattr(Learner, "step", step)

    return set_speed


# --- lengths


def test_the_smaller_of_steps_and_epochs_counts():
    stream = ContiguousBatches(Documents.of([np.ones(1000, np.int32)]), batch_size=2, length=5, seed=0)  # 100 batches

    assert steps_for(TrainingConfig(max_steps=7), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=1.5), stream) == 150
    assert steps_for(TrainingConfig(max_epochs=1.5, grad_accum=4), stream) == 38
    assert steps_for(TrainingConfig(max_steps=7, max_epochs=1.5), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=0.001), stream) == 1
    assert steps_for(TrainingConfig(max_epochs=1e308), stream) == 2**53
    assert steps_for(TrainingConfig(max_time=5.0), stream) is None


def test_an_epoch_of_windows_is_the_batches_that_it_has():
    stream = Windows(Documents.of([np.ones(50, np.int32)]), batch_size=4, length=5, seed=0)  # 10 windows: 4, 4 and 2

    assert steps_for(TrainingConfig(max_epochs=2.0), stream) == 6


# --- the clock


def test_a_stopwatch_adds_up_laps_over_all_sessions(clock):
    watch = Stopwatch(7.0, clock)
    clock.now += 2.0
    assert watch.lap("step") == 2.0
    clock.now += 30.0
    assert watch.lap("evaluation") == 30.0  # which may take long

    assert watch.seconds == 39.0


@pytest.mark.parametrize(
    ("usual", "gap", "counted"),
    [
        (0.5, 60.0, 0.5),  # Ctrl-Z
        (0.5, 9.9, 9.9),  # longer than usual, and no pause
        (4.0, 60.0, 60.0),  # seconds: not 20 times as long
        (4.0, 81.0, 4.0),
    ],
)
@pytest.mark.parametrize("what", ["step", "evaluation", "save"])
def test_what_takes_over_ten_seconds_and_twenty_times_as_long_as_usual_is_a_pause(clock, what, usual, gap, counted):
    watch = Stopwatch(0.0, clock)
    for _ in range(5):
        clock.now += usual
        watch.lap(what)

    clock.now += gap

    assert watch.lap(what) == pytest.approx(counted)
    assert watch.seconds == pytest.approx(5 * usual + counted)


def test_steps_that_stay_slow_are_no_pauses(clock):
    watch = Stopwatch(0.0, clock)
    for seconds in [0.1] * 21 + [12.0] * 21:
        clock.now += seconds
        watch.lap("step")

    assert watch.seconds > 10 * 12.0


# --- the first plan


def test_fixed_steps_make_one_plan_on_torchs_threads(make_learner):
    learner, _ = make_learner("gru", max_steps=40, eval_every=None, warmup_steps=None)

    plan, pace = first_plan(learner, lambda: pytest.fail("measured"), spent=0.0)

    assert plan == Plan.first(40, threads=torch.get_num_threads())
    assert (plan.now.eval_every, plan.now.warmup_end, pace) == (4, 4, Pace())


def test_a_time_is_shared_out_between_steps_evaluations_and_saves(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None, warmup_steps=None)
    speed({1: 0.125})

    def evaluate():
        clock.now += 2.0

    plan, pace = first_plan(learner, evaluate, spent=10.0, clock=clock)

    measured = clock.now - 100.0
    assert measured < 0.1 * 100.0
    left = 100.0 - 10.0 - measured
    evaluations = int(left * 0.15 / 2.0)  # fewer than ten
    assert plan.total_steps == int((left - evaluations * 2.0) / 0.125)
    assert pace.evaluation_seconds == 2.0
    assert plan.now.eval_every == pytest.approx(plan.total_steps / evaluations / 2, abs=1)  # looks again soon


def test_a_probe_changes_nothing_and_more_time_gives_more_steps(make_learner, monkeypatch):
    monkeypatch.setattr(budget, "PROBE_SECONDS", 0.0)
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


@pytest.mark.parametrize("spent", [0.0, 1000.0])
def test_too_little_time_is_one_step(make_learner, spent):
    learner, _ = make_learner("gru", max_steps=None, max_time=1e-6, eval_every=None)

    plan, _ = first_plan(learner, lambda: None, spent=spent)

    assert (plan.total_steps, plan.now.eval_every) == (1, 1)


@pytest.mark.parametrize("eval_every", [None, 3])
def test_a_time_without_end_is_a_number_of_steps(make_learner, clock, speed, eval_every):
    learner, _ = make_learner("gru", max_steps=None, max_time=1e308, eval_every=eval_every)
    speed({1: 3.0})

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.total_steps == 2**53


def test_a_time_never_gives_more_than_the_steps_and_epochs_asked_for(make_learner):
    learner, _ = make_learner("gru", max_steps=3, max_time=1000.0, eval_every=None)

    plan, _ = first_plan(learner, lambda: None, spent=0.0)

    assert plan.total_steps == 3


# --- threads


@pytest.fixture
def four_threads():
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ({1: 0.3, 2: 0.2, 4: 0.1}, 4),
        ({1: 0.3, 2: 0.1, 4: 0.2}, 2),  # too small a model for four
        ({1: 0.1, 2: 0.4, 4: 0.9}, 1),  # other work on the cores
    ],
)
def test_a_time_is_spent_on_the_fastest_number_of_threads(make_learner, clock, speed, seconds, fastest):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    speed(seconds)

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.now.threads == fastest
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_that_are_fast_but_for_some_steps_lose(make_learner, clock, monkeypatch):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    steps = []

    def step(self, index):
        steps.append(torch.get_num_threads())
        waits = steps[-1] > 1 and steps.count(steps[-1]) % 4 == 0  # for a core that another program has
        clock.now += 1.5 if waits else {1: 0.2, 2: 0.12, 4: 0.12}[steps[-1]]

    monkeypatch.setattr(Learner, "step", step)

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.now.threads == 1


@pytest.mark.usefixtures("four_threads")
def test_of_numbers_that_are_equally_fast_the_smallest_is_taken(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=300.0, eval_every=None)
    speed({1: 0.2, 2: 0.102, 4: 0.1})

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.now.threads == 2


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("length", [{"max_steps": 9}, {"max_steps": None, "max_time": 300.0}])
def test_threads_that_the_user_names_stay(make_learner, clock, speed, length):
    learner, _ = make_learner("gru", threads=3, **length)
    speed({3: 0.1})  # and a step on any other number fails

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.now.threads == 3
    pace = Pace(steps=10, step_seconds=1.0)
    learner.plan = plan
    assert (replan(learner, 5, 10.0, pace, clock) or plan).now.threads == 3


def test_steps_of_seconds_are_the_probe_and_each_number_of_threads_gets_one(make_learner, clock, monkeypatch):
    learner, _ = make_learner("gru")
    seconds, steps = {1: 9.0, 2: 7.0, 4: 4.0}, []

    def step(self, index):
        steps.append(torch.get_num_threads())
        clock.now += seconds[steps[-1]]

    monkeypatch.setattr(Learner, "step", step)

    assert time_steps(learner, [4, 2, 1], 0.25, clock) == {4: 4.0, 2: 7.0}  # on one it can only be slower
    assert steps == [4, 2]


# --- replans


@pytest.fixture
def timed(make_learner, clock, speed):
    """A learner with 100 s of which 20 are gone, after 200 steps of 1,000, planned at 0.1 s each."""
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None, warmup_steps=None)
    learner.plan = Plan.first(1000, eval_every=100).replanned(100, 1000)
    speed({1: 0.1})
    return learner


def replanned(learner, clock, *, step=200, seconds=20.0, each=0.1):
    return replan(learner, step, seconds, Pace(steps=100, step_seconds=100 * each), clock)


@pytest.mark.parametrize("each", [0.1, 0.0978, 0.1025])
def test_a_change_under_three_percent_makes_no_plan(timed, clock, each):
    assert replanned(timed, clock, each=each) is None


@pytest.mark.parametrize(("each", "total"), [(0.2, 600), (0.05, 1800), (0.4, 400)])
def test_a_run_that_is_slower_or_faster_gets_the_steps_that_fit(timed, clock, each, total):
    plan = replanned(timed, clock, each=each)

    assert plan.total_steps == pytest.approx(total, rel=0.01)
    assert plan.stretches[:-1] == timed.plan.stretches
    assert plan.now.first_step == 200
    assert plan.now.eval_every == -(-(plan.total_steps - 200) // 8)  # the eight evaluations that are left


def test_the_first_plan_is_looked_at_again_however_right_it_was(timed, clock):
    timed.plan = Plan.first(1000, eval_every=50)

    assert replanned(timed, clock).now.eval_every == 100


def test_evaluations_take_at_most_a_share_of_the_time(timed, clock):
    pace = Pace(steps=100, step_seconds=40.0, evaluation_seconds=3.0, save_seconds=1.0)

    plan = replan(timed, 200, 20.0, pace, clock)

    assert plan.now.eval_every == pytest.approx((plan.total_steps - 200) / 2, abs=1)  # 2 x 4 s of 80


def test_a_run_that_is_late_still_lets_its_rate_decay(timed, clock):
    plan = replanned(timed, clock, seconds=120.0, each=0.5)

    assert plan.total_steps == 210  # a twentieth of the time


def test_a_given_number_of_steps_is_never_exceeded_nor_a_given_interval_changed(timed, clock):
    timed.config = timed.config.model_copy(update={"max_steps": 900, "eval_every": 70})

    plan = replanned(timed, clock, each=0.01)

    assert (plan.total_steps, plan.now.eval_every) == (900, 70)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("seconds", "threads", "each"),
    [({1: 0.4, 2: 0.2, 4: 0.1}, 4, 0.1), ({1: 0.05, 2: 0.2, 4: 0.9}, 1, 0.05), ({1: 0.4, 2: 0.2, 4: 0.195}, 2, 0.2)],
)
def test_a_replan_races_half_and_twice_the_threads(timed, clock, speed, seconds, threads, each):
    timed.plan = timed.plan.replanned(150, 1000, threads=2)
    speed(seconds)

    plan = replanned(timed, clock, each=0.2)

    assert plan.now.threads == threads
    assert plan.total_steps == pytest.approx(200 + 80 / each, rel=0.06)


def test_a_run_of_fixed_steps_is_never_replanned(make_learner, clock):
    learner, _ = make_learner("gru", max_steps=1000)
    learner.plan = Plan.first(1000)

    assert replanned(learner, clock, each=5.0) is None


# --- more than was planned


def test_more_steps_take_up_the_schedule_where_such_a_run_would_be(make_learner):
    learner, _ = make_learner("gru", max_steps=40, eval_every=None, warmup_steps=0)
    learner.plan = Plan.first(20, warmup=0)

    plan = extended(learner, 20, 5.0, Pace())

    assert (plan.total_steps, plan.now.first_step, plan.now.progress_at(20)) == (40, 20, 0.5)


def test_more_time_is_measured_anew(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None)
    learner.plan = Plan.first(200, warmup=0)
    speed({1: 0.5})

    plan = extended(learner, 150, 40.0, Pace(), clock)

    assert plan.total_steps == pytest.approx(150 + 60 / 0.5, rel=0.01)

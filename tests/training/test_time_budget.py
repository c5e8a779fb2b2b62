from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen.data.batches import ContiguousBatches, WindowBatches
from seqgen.data.documents import Documents
from seqgen.training import time_budget as budget
from seqgen.training.config import TrainingConfig
from seqgen.training.plan import Plan
from seqgen.training.time_budget import RunTimer, Timings, extend_plan, first_plan, replan, steps_for

# --- lengths


def test_steps_for_takes_the_smaller_limit():
    stream = ContiguousBatches(Documents.of([np.ones(1000, np.int32)]), batch_size=2, length=5, seed=0)  # 100 batches

    assert steps_for(TrainingConfig(max_steps=7), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=1.5), stream) == 150
    assert steps_for(TrainingConfig(max_epochs=1.5, grad_accum=4), stream) == 38
    assert steps_for(TrainingConfig(max_steps=7, max_epochs=1.5), stream) == 7
    assert steps_for(TrainingConfig(max_epochs=0.001), stream) == 1
    assert steps_for(TrainingConfig(max_epochs=1e308), stream) == 2**53
    assert steps_for(TrainingConfig(max_time=5.0), stream) is None


def test_steps_for_counts_batches_of_windows():
    stream = WindowBatches(
        Documents.of([np.ones(50, np.int32)]), batch_size=4, length=5, seed=0
    )  # 10 windows: 4, 4 and 2

    assert steps_for(TrainingConfig(max_epochs=2.0), stream) == 6


# --- the clock


def test_run_timer_adds_up_all_sessions(clock):
    timer = RunTimer(7.0, clock)
    clock.now += 2.0
    assert timer.record("step") == 2.0
    clock.now += 30.0
    assert timer.record("evaluation") == 30.0  # an evaluation may take long

    assert timer.seconds == 39.0


@pytest.mark.parametrize(
    ("usual", "gap", "counted"),
    [
        (0.5, 60.0, 0.5),  # Ctrl-Z
        (0.5, 9.9, 9.9),  # longer than usual, but not a pause
        (4.0, 60.0, 60.0),  # not 20 times as long
        (4.0, 81.0, 4.0),
    ],
)
@pytest.mark.parametrize("activity", ["step", "evaluation", "save"])
def test_run_timer_leaves_out_pauses(clock, activity, usual, gap, counted):
    timer = RunTimer(0.0, clock)
    for _ in range(5):
        clock.now += usual
        timer.record(activity)

    clock.now += gap

    assert timer.record(activity) == pytest.approx(counted)
    assert timer.seconds == pytest.approx(5 * usual + counted)


def test_run_timer_counts_steps_that_stay_slow(clock):
    timer = RunTimer(0.0, clock)
    for seconds in [0.1] * 21 + [12.0] * 21:
        clock.now += seconds
        timer.record("step")

    assert timer.seconds > 10 * 12.0


def test_timings_add_up_steps_and_forget_them_for_a_new_plan():
    timings = Timings(save_seconds=1.0).after_step(2.0).after_step(3.0)

    assert timings == Timings(steps=2, step_seconds=5.0, save_seconds=1.0)
    assert timings.without_steps() == Timings(save_seconds=1.0, seconds_before=2.5)
    assert timings.without_steps().without_steps() == timings.without_steps()
    assert Timings().model_dump() == {
        "steps": 0, "step_seconds": 0.0, "seconds_before": 0.0, "evaluation_seconds": 0.0, "save_seconds": 0.0,
    }  # fmt: skip


# --- the first plan


def test_first_plan_of_fixed_steps_is_not_measured(make_learner):
    learner, _ = make_learner("gru", max_steps=40, eval_every=None, warmup_steps=None)

    plan, timings = first_plan(learner, lambda: pytest.fail("measured"), spent=0.0)

    assert plan == Plan.first(40, threads=torch.get_num_threads())
    assert (plan.current.eval_every, plan.current.warmup_end, timings) == (4, 4, Timings())


def test_first_plan_divides_the_time_between_steps_and_evaluations(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None, warmup_steps=None)
    speed({1: 0.125})

    def evaluate():
        clock.now += 2.0

    plan, timings = first_plan(learner, evaluate, spent=10.0, clock=clock)

    measured = clock.now - 100.0
    assert measured < 0.1 * 100.0
    left = 100.0 - 10.0 - measured
    evaluations = int(left * 0.15 / 2.0)  # fewer than ten
    assert plan.total_steps == int((left - evaluations * 2.0) / 0.125)
    assert timings.evaluation_seconds == 2.0
    assert plan.current.eval_every == pytest.approx(
        plan.total_steps / evaluations / 2, abs=1
    )  # half of the first interval


def test_first_plan_counts_a_save_as_six_files_of_weights(make_learner, clock, speed, monkeypatch):
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None)
    speed({1: 0.125})

    def write(path, content):
        clock.now += 0.5

    monkeypatch.setattr(budget, "write_atomically", write)

    _, timings = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert timings.save_seconds == 3.0


@pytest.mark.parametrize("spent", [0.0, 1000.0])
def test_too_little_time_gives_one_step(make_learner, spent):
    learner, _ = make_learner("gru", max_steps=None, max_time=1e-6, eval_every=None)

    plan, _ = first_plan(learner, lambda: None, spent=spent)

    assert (plan.total_steps, plan.current.eval_every) == (1, 1)


@pytest.mark.parametrize("eval_every", [None, 3])
def test_endless_time_gives_a_finite_number_of_steps(make_learner, clock, speed, eval_every):
    learner, _ = make_learner("gru", max_steps=None, max_time=1e308, eval_every=eval_every)
    speed({1: 3.0})

    plan, _ = first_plan(learner, lambda: None, spent=0.0, clock=clock)

    assert plan.total_steps == 2**53


@pytest.mark.slow
def test_time_never_gives_more_than_max_steps(make_learner):
    learner, _ = make_learner("gru", max_steps=3, max_time=1000.0, eval_every=None)

    plan, _ = first_plan(learner, lambda: None, spent=0.0)

    assert plan.total_steps == 3


# --- replans


@pytest.fixture
def timed(make_learner, clock, speed):
    """A learner with 100 s, of which 20 have passed, after 200 of 1,000 steps planned at 0.1 s each."""
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None, warmup_steps=None)
    learner.plan = Plan.first(1000, eval_every=100).replanned(100, 1000)
    speed({1: 0.1})
    return learner


def replanned(learner, clock, *, step=200, seconds=20.0, each=0.1):
    return replan(learner, step, seconds, Timings(steps=100, step_seconds=100 * each), clock)


@pytest.mark.parametrize("each", [0.1, 0.0978, 0.1025])
def test_replan_ignores_changes_under_three_percent(timed, clock, each):
    assert replanned(timed, clock, each=each) is None


@pytest.mark.parametrize(("each", "total"), [(0.2, 600), (0.05, 1800), (0.4, 400)])
def test_replan_of_a_slower_or_faster_run_gets_the_steps_that_fit(timed, clock, each, total):
    plan = replanned(timed, clock, each=each)

    assert plan.total_steps == pytest.approx(total, rel=0.01)
    assert plan.stages[:-1] == timed.plan.stages
    assert plan.current.first_step == 200
    assert plan.current.eval_every == -(-(plan.total_steps - 200) // 8)  # the eight evaluations that are left


def test_replan_always_revises_the_first_plan(timed, clock):
    timed.plan = Plan.first(1000, eval_every=50)

    assert replanned(timed, clock).current.eval_every == 100


def test_evaluations_take_at_most_their_share_of_the_time(timed, clock):
    timings = Timings(steps=100, step_seconds=40.0, evaluation_seconds=3.0, save_seconds=1.0)

    plan = replan(timed, 200, 20.0, timings, clock)

    assert plan.current.eval_every == pytest.approx((plan.total_steps - 200) / 2, abs=1)  # 2 x 4 s of 80


def test_late_run_gets_steps_for_the_rate_to_decay(timed, clock):
    plan = replanned(timed, clock, seconds=120.0, each=0.5)

    assert plan.total_steps == 210  # a twentieth of the time


def test_replan_respects_max_steps_and_eval_every(timed, clock):
    timed.config = timed.config.model_copy(update={"max_steps": 900, "eval_every": 70})

    plan = replanned(timed, clock, each=0.01)

    assert (plan.total_steps, plan.current.eval_every) == (900, 70)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("seconds", "threads", "each"),
    [({1: 0.4, 2: 0.2, 4: 0.1}, 4, 0.1), ({1: 0.05, 2: 0.2, 4: 0.9}, 1, 0.05), ({1: 0.4, 2: 0.2, 4: 0.195}, 2, 0.2)],
)
def test_replan_compares_half_and_twice_the_threads(timed, clock, speed, seconds, threads, each):
    timed.plan = timed.plan.replanned(150, 1000, threads=2)
    speed(seconds)

    plan = replanned(timed, clock, each=0.2)

    assert plan.current.threads == threads
    assert plan.total_steps == pytest.approx(200 + 80 / each, rel=0.06)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("each", "threads"), [(0.25, 2), (0.15, 2), (0.27, 4), (0.13, 4)])
def test_replan_compares_threads_again_once_the_speed_changes(timed, clock, speed, each, threads):
    timed.plan = timed.plan.replanned(150, 1000, threads=2)
    speed({1: 0.4, 2: 0.2, 4: 0.1})
    timings, started = Timings(steps=100, step_seconds=100 * each, seconds_before=0.2), clock.now

    plan = replan(timed, 200, 20.0, timings, clock)

    assert plan.current.threads == threads
    assert (clock.now > started) == (threads == 4)  # a comparison takes time


def test_run_of_fixed_steps_is_never_replanned(make_learner, clock):
    learner, _ = make_learner("gru", max_steps=1000)
    learner.plan = Plan.first(1000)

    assert replanned(learner, clock, each=5.0) is None


# --- more than was planned


def test_extend_plan_continues_the_schedule_of_a_longer_run(make_learner):
    learner, _ = make_learner("gru", max_steps=40, eval_every=None, warmup_steps=0)
    learner.plan = Plan.first(20, warmup_steps=0)

    plan = extend_plan(learner, 20, 5.0, Timings())

    assert (plan.total_steps, plan.current.first_step, plan.current.progress_at(20)) == (40, 20, 0.5)


def test_extend_plan_counts_progress_from_the_end_of_the_warmup(make_learner):
    learner, _ = make_learner("gru", max_steps=40, eval_every=None, warmup_steps=10)
    learner.plan = Plan.first(20, warmup_steps=10)

    plan = extend_plan(learner, 20, 5.0, Timings())

    assert plan.current.progress_at(20) == 10 / 30


def test_extend_plan_measures_more_time(make_learner, clock, speed):
    learner, _ = make_learner("gru", max_steps=None, max_time=100.0, eval_every=None)
    learner.plan = Plan.first(200, warmup_steps=0)
    speed({1: 0.5})

    plan = extend_plan(learner, 150, 40.0, Timings(), clock)

    assert plan.total_steps == pytest.approx(150 + 60 / 0.5, rel=0.01)

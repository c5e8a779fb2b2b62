"""Runs with a time limit: replanned as they go, resumed exactly, and repeated by `plan_from`."""

from __future__ import annotations

import json

import pytest

import seqgen
from seqgen.errors import ConfigError
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.learner import Learner

from ..comparing import assert_same_run
from .interruptions import MODELS


@pytest.fixture
def machine(monkeypatch):
    """A clock by which step n (from 1) takes `machine.seconds(n)`, and everything else no time."""

    class Machine:
        def __init__(self):
            self.now, self.seconds = 0.0, lambda number: 2.0

        def __call__(self):
            return self.now

    made, healthy = Machine(), Learner.step

    def step(learner, number):
        made.now += made.seconds(number + 1)
        return healthy(learner, number)

    monkeypatch.setattr(Learner, "step", step)
    return made


TIMED = {
    name: value for name, value in MODELS["gru"].items() if name not in {"max_steps", "eval_every", "warmup_steps"}
}
TIMED |= {"max_time": 60.0, "threads": 1, "grad_accum": 1, "hidden_size": 8, "batch_size": 8}


def slows_down_and_speeds_up(number):
    return 2.0 if number <= 7 else 4.0 if number <= 12 else 1.0


def plan_of(run):
    return newest_checkpoint(run / "checkpoints").plan


@pytest.mark.slow
def test_run_with_max_time_is_replanned_and_ends_on_time(corpus, tmp_path, machine):
    run = seqgen.train(corpus, out=tmp_path / "run", clock=machine, **TIMED)
    assert run.total_steps == 27  # after two steps of the benchmark
    machine.seconds = slows_down_and_speeds_up

    events = list(run)

    replans = [event for event in events if isinstance(event, seqgen.Replanned)]
    assert len(replans) >= 3
    assert events[-1].reason == "complete"
    assert events[-1].step == events[-1].total_steps == replans[-1].total_steps > 27
    assert 57.0 <= machine.now <= 61.0
    rates = [event.lr for event in events if isinstance(event, seqgen.Step)]
    assert rates[-1] < 0.2 * max(rates)
    written = json.loads((run.path / "config.json").read_text("utf-8"))["training"]
    assert (written["max_time"], written["max_steps"], written["eval_every"]) == (60.0, None, None)


@pytest.mark.slow
def test_resume_is_exact_around_replans(corpus, tmp_path, machine):
    machine.seconds = slows_down_and_speeds_up
    straight = seqgen.train(corpus, out=tmp_path / "straight", clock=machine, **TIMED)
    replans = [event.step for event in straight if isinstance(event, seqgen.Replanned)]
    assert len(replans) >= 3

    for kind, at in [("Sampled", replans[0]), ("Replanned", replans[2])]:
        run = seqgen.train(corpus, out=tmp_path / f"{kind}-{at}", clock=machine, **TIMED)
        events = iter(run)
        while (event := next(events)).step != at or type(event).__name__ != kind:
            pass
        run.close()
        resumed = seqgen.train(out=run.path, resume=True, clock=machine)
        assert resumed.first_step < at
        list(resumed)

        assert_same_run(run.path, straight.path)
        assert plan_of(run.path) == plan_of(straight.path)


@pytest.mark.slow
def test_plan_from_repeats_an_interrupted_and_extended_run(corpus, tmp_path, monkeypatch):
    """With the real clock."""
    for name in ("BENCHMARK_SECONDS", "REPLAN_BENCHMARK_SECONDS"):
        monkeypatch.setattr(f"seqgen.training.time_budget.{name}", 0.02)
    settings = {**TIMED, "max_time": 600.0, "max_steps": 24}  # it ends by its steps, on any machine
    polls = iter([False] * 5 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings)
    list(run)
    polls = iter([False] * 9 + [True])
    list(seqgen.train(out=run.path, resume=True, stop=lambda: next(polls)))
    *_, finished = seqgen.train(out=run.path, resume=True, max_time=900.0, max_steps=36)
    assert len(plan_of(run.path).stages) >= 2

    given = {name: value for name, value in settings.items() if name not in {"max_time", "max_steps", "threads"}}
    polls = iter([False] * 7 + [True])
    planned = seqgen.train(corpus, out=tmp_path / "planned", plan_from=run.path, stop=lambda: next(polls), **given)
    list(planned)
    with pytest.raises(ConfigError, match="plan_from"):
        seqgen.train(out=planned.path, resume=True, plan_from=planned.path)
    planned = seqgen.train(corpus, out=planned.path, resume=True, plan_from=run.path, **given)
    *_, followed = planned

    assert plan_of(planned.path) == plan_of(run.path)
    assert (followed.step, followed.best_bits_per_byte) == (finished.step, finished.best_bits_per_byte)
    one, two = (max((path / "checkpoints").iterdir()) for path in (run.path, planned.path))
    for name in ("weights.safetensors", "optimizer.safetensors", "state.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_steps": 5}, "max_steps"),
        ({"threads": 2, "max_time": 1.0}, "max_time, threads"),
        ({"cell": "rnn"}, "model.cell"),
        ({"seed": 3}, "training.seed is 3"),
        ({"valid_split": "tail"}, "data.valid_split is tail"),
        ({"precision": "bf16"}, "training.precision"),
    ],
)
def test_plan_from_refuses_another_config(corpus, tmp_path, settings, named):
    given = {**MODELS["gru"], **settings}
    given = {name: value for name, value in given.items() if name != "max_steps" or name in settings}
    run = seqgen.train(corpus, out=tmp_path / "run", **MODELS["gru"])
    run.close()

    with pytest.raises(ConfigError, match=named):
        seqgen.train(corpus, out=tmp_path / "other", plan_from=run.path, **given)

    assert not (tmp_path / "other").exists()

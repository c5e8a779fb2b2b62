from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.training.plan import Plan


def evaluated(plan: Plan, first: int = 0, eval_every: int | None = None) -> list[int]:
    """After which steps an evaluation comes."""
    return [step for step in range(first + 1, plan.total_steps + 1) if plan.evaluates_after(step, eval_every)]


def test_a_run_evaluates_ten_times_and_at_its_end():
    assert evaluated(Plan.first(25)) == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    assert evaluated(Plan.first(7, eval_every=5)) == [5, 7]


def test_after_a_replan_evaluations_are_counted_from_there_unless_the_user_said_when():
    plan = Plan.first(100, eval_every=10).replanned(30, 50, eval_every=8)

    assert evaluated(plan, 30) == [38, 46, 50]
    assert evaluated(plan, 30, eval_every=20) == [40, 50]


def test_a_replan_keeps_what_was_before_it():
    plan = Plan.first(100, eval_every=10, threads=2)

    later = plan.replanned(30, 50, threads=1)

    assert later.stretches[0] == plan.now
    assert (later.now.first_step, later.now.last_step, later.now.eval_every, later.now.threads) == (30, 50, 10, 1)
    assert later.total_steps == 50
    assert later.replanned(30, 70).stretches[:-1] == plan.stretches  # instead of one that no step was taken by


def test_a_plan_without_a_stretch_is_refused():
    with pytest.raises(ConfigError, match="stretches"):
        Plan.from_json('{"stretches": []}', "here")


def test_a_plan_survives_json():
    plan = Plan.first(100, threads=2).replanned(7, 33).replanned(20, 41, threads=1)

    assert Plan.from_json(plan.model_dump_json(), "here") == plan

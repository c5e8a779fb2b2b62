from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.training.plan import Plan


def evaluated(plan: Plan, first: int = 0, eval_every: int | None = None) -> list[int]:
    """Return the steps after which the plan evaluates."""
    return [step for step in range(first + 1, plan.total_steps + 1) if plan.evaluates_after(step, eval_every)]


def test_evaluates_ten_times_and_at_the_end():
    assert evaluated(Plan.first(25)) == [3, 6, 9, 12, 15, 18, 21, 24, 25]
    assert evaluated(Plan.first(7, eval_every=5)) == [5, 7]


def test_evaluations_count_from_the_replan_unless_the_user_set_the_interval():
    plan = Plan.first(100, eval_every=10).replanned(30, 50, eval_every=8)

    assert evaluated(plan, 30) == [38, 46, 50]
    assert evaluated(plan, 30, eval_every=20) == [40, 50]


def test_replanned_keeps_earlier_stages():
    plan = Plan.first(100, eval_every=10, threads=2)

    later = plan.replanned(30, 50, threads=1)

    assert later.stages[0] == plan.current
    assert (later.current.first_step, later.current.total_steps, later.current.eval_every, later.current.threads) == (
        30,
        50,
        10,
        1,
    )
    assert later.total_steps == 50
    assert later.replanned(30, 70).stages[:-1] == plan.stages  # replaces a stage without steps


def test_plan_without_stages_is_refused():
    with pytest.raises(ConfigError, match="stages"):
        Plan.from_json('{"stages": []}', "here")


def test_plan_round_trips_through_json():
    plan = Plan.first(100, threads=2).replanned(7, 33).replanned(20, 41, threads=1)

    assert Plan.from_json(plan.model_dump_json(), "here") == plan

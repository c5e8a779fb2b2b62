from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.training.config import TrainingConfig
from seqgen.training.plan import Plan
from seqgen.training.schedule import learning_rate


def rates(total: int, **settings: object) -> list[float]:
    config = TrainingConfig.of(lr=1.0, **settings)
    return [rate_at(step, total, config) for step in range(total)]


def rate_at(step: int, total: int, config: TrainingConfig) -> float:
    return learning_rate(step, Plan.first(total, warmup_steps=config.warmup_steps).current, config)


def test_linear_schedule():
    assert rates(9, schedule="linear", warmup_steps=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_cosine_schedule():
    found = rates(8, schedule="cosine", warmup_steps=0)

    assert found[0] == pytest.approx(1.0)
    assert found[4] == pytest.approx(0.5)
    assert found[2] + found[6] == pytest.approx(1.0)


def test_constant_schedule():
    assert rates(5, schedule="constant", warmup_steps=1) == [0.5, 1.0, 1.0, 1.0, 1.0]


@given(
    total=st.integers(1, 300),
    warmup=st.integers(0, 400),
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_learning_rate_is_positive_and_at_most_the_peak(total, warmup, schedule):
    assert all(0.0 < rate <= 1.0 for rate in rates(total, schedule=schedule, warmup_steps=warmup))


@pytest.mark.parametrize(("schedule", "rate"), [("linear", 0.0), ("cosine", 0.0), ("constant", 1.0)])
def test_learning_rate_past_the_end_stays(schedule, rate):
    config = TrainingConfig(lr=1.0, schedule=schedule, warmup_steps=2)

    assert [rate_at(step, 10, config) for step in (10, 11, 1000)] == [rate] * 3


def test_default_warmup_is_a_tenth_and_at_most_100_steps():
    config = TrainingConfig.of(lr=1.0)

    assert [rate_at(step, 20, config) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rate_at(99, 5_000, config) < 1.0
    assert rate_at(100, 5_000, config) == 1.0
    assert rate_at(0, 9, config) == 1.0


@given(
    total=st.integers(2, 400),
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    places=st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4),
    schedule=st.sampled_from(["linear", "cosine"]),
)
def test_replan_makes_no_jump_and_the_rate_still_ends_at_0(total, lengths, places, schedule):
    config = TrainingConfig(lr=1.0, schedule=schedule)
    plan = Plan.first(total)
    for length, place in zip(lengths, places, strict=False):
        step = plan.current.first_step + max(1, int(place * (plan.total_steps - plan.current.first_step)))
        before = plan.current
        plan = plan.replanned(step, step + length)
        after = plan.current
        assert after.progress_at(step) == pytest.approx(before.progress_at(step))
        assert after.warmup_at(step - 1) == pytest.approx(before.warmup_at(step - 1))
    rates = [learning_rate(step, plan.current, config) for step in range(plan.current.first_step, plan.total_steps)]
    assert all(0.0 <= rate <= 1.0 for rate in rates)
    if plan.current.warmup_end < plan.total_steps:
        assert plan.current.progress_at(plan.total_steps) == pytest.approx(1.0)


def test_progress_after_a_replan_is_linear():
    plan = Plan.first(100, warmup_steps=0).replanned(50, 60)

    assert [plan.current.progress_at(step) for step in (50, 55, 60)] == pytest.approx([0.5, 0.75, 1.0])


def test_replan_during_warmup_moves_its_end():
    plan = Plan.first(1000)  # warms up for 100 steps
    at_20 = plan.current.warmup_at(19)

    shorter, late = plan.replanned(20, 300).current, plan.replanned(20, 100).current

    assert (shorter.warmup_end, late.warmup_end) == (30, 21)
    assert shorter.warmup_at(19) == late.warmup_at(19) == at_20
    assert [shorter.warmup_at(step) - shorter.warmup_at(step - 1) for step in range(20, 31)] == pytest.approx(
        [(1 - at_20) / 11] * 11
    )
    assert plan.replanned(20, 300, warmup_steps=100).current.warmup_end == 100  # set by the user
    assert plan.replanned(150, 300).current.warmup_end == 100  # has ended

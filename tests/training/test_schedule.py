from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.training.config import TrainingConfig
from seqgen.training.schedule import learning_rate


def rates(total: int, **settings: object) -> list[float]:
    config = TrainingConfig.of(lr=1.0, **settings)
    return [learning_rate(step, total, config) for step in range(total)]


def test_linear_warms_up_and_falls_evenly_towards_0():
    assert rates(9, schedule="linear", warmup_steps=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_cosine_is_half_way_at_the_middle():
    found = rates(8, schedule="cosine", warmup_steps=0)

    assert found[0] == pytest.approx(1.0)
    assert found[4] == pytest.approx(0.5)
    assert found[2] + found[6] == pytest.approx(1.0)


def test_constant_stays():
    assert rates(5, schedule="constant", warmup_steps=1) == [0.5, 1.0, 1.0, 1.0, 1.0]


@given(
    total=st.integers(1, 300),
    warmup=st.integers(0, 400),
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_a_rate_is_positive_and_never_above_the_highest(total, warmup, schedule):
    assert all(0.0 < rate <= 1.0 for rate in rates(total, schedule=schedule, warmup_steps=warmup))


@pytest.mark.parametrize(("schedule", "rate"), [("linear", 0.0), ("cosine", 0.0), ("constant", 1.0)])
def test_past_the_end_a_rate_stays_what_it_is_at_the_end(schedule, rate):
    config = TrainingConfig(lr=1.0, schedule=schedule, warmup_steps=2)

    assert [learning_rate(step, 10, config) for step in (10, 11, 1000)] == [rate] * 3


def test_a_warm_up_that_is_not_set_is_a_tenth_of_the_run_and_at_most_100_steps():
    config = TrainingConfig.of(lr=1.0)

    assert [learning_rate(step, 20, config) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert learning_rate(99, 5_000, config) < 1.0
    assert learning_rate(100, 5_000, config) == 1.0
    assert learning_rate(0, 9, config) == 1.0

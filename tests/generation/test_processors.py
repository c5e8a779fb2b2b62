from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqgen.generation.config import SamplingConfig
from seqgen.generation.processors import build_processors, min_p, processor_settings, temperature, top_k, top_p
from seqgen.generation.sampling import sample

INF = math.inf


def logits_of(probabilities: list[float]) -> Tensor:
    """Return logits [1, V] of a distribution, shifted so that they are not normalized."""
    return torch.tensor([probabilities], dtype=torch.float64).log().float() + 3.0


def kept(logits: Tensor) -> list[int]:
    """Return the tokens of the only row that are not excluded."""
    return torch.isfinite(logits[0]).nonzero()[:, 0].tolist()


def probabilities(logits: Tensor) -> list[float]:
    return logits[0].double().softmax(dim=0).tolist()


def test_temperature_divides():
    logits = temperature(torch.tensor([[1.0, 3.0, -1.0]]), 2.0)

    assert probabilities(logits) == pytest.approx(probabilities(torch.tensor([[0.5, 1.5, -0.5]])))


def test_temperature_0_keeps_the_first_argmax():
    logits = temperature(torch.tensor([[1.0, 5.0, 2.0, 5.0], [7.0, 7.0, 7.0, -INF]]), 0.0)

    assert logits.softmax(dim=-1).tolist() == [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("value", [1e-6, 1e-38, 1e-46, 1e-300, 5e-324])
def test_tiny_temperature_is_the_argmax(value):
    logits = temperature(torch.tensor([[1e4, 1e4 - 1, -1e4, -INF]]), value)

    assert logits.softmax(dim=-1).tolist() == [[1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("value", [1e10, 1e38, 1e39, 1e300])
def test_huge_temperature_is_uniform_over_allowed_tokens(value):
    logits = temperature(torch.tensor([[100.0, -100.0, -INF, 0.0]]), value)

    assert logits.softmax(dim=-1)[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0.0, 1 / 3])


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [3]), (2, [1, 3]), (3, [0, 1, 3, 4]), (4, [0, 1, 3, 4]), (5, [0, 1, 2, 3, 4])]
)
def test_top_k_keeps_the_best_and_ties_with_the_last(count, expected):
    assert kept(top_k(torch.tensor([[1.0, 2.0, 0.0, 3.0, 1.0]]), count)) == expected


def test_top_k_larger_than_the_vocabulary_keeps_all():
    logits = torch.tensor([[1.0, 2.0, -INF]])

    assert torch.equal(top_k(logits, 50), logits)


def test_processors_treat_rows_separately():
    logits = torch.tensor([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]])

    assert top_k(logits, 1).tolist() == [[-INF, -INF, 3.0], [6.0, -INF, -INF]]
    assert top_p(logits, 0.1).tolist() == [[-INF, -INF, 3.0], [6.0, -INF, -INF]]
    assert min_p(logits, 0.9).tolist() == [[-INF, -INF, 3.0], [6.0, -INF, -INF]]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1e-9, [2]),
        (0.39, [2]),
        (0.41, [2, 4]),
        (0.69, [2, 4]),
        (0.71, [0, 2, 4]),
        (0.89, [0, 2, 4]),
        (0.91, [0, 1, 2, 4]),  # the first of two equal ones
        (0.96, [0, 1, 2, 3, 4]),
        (0.999, [0, 1, 2, 3, 4]),
    ],
)
def test_top_p_keeps_the_fewest_that_hold_the_share(share, expected):
    assert kept(top_p(logits_of([0.2, 0.05, 0.4, 0.05, 0.3]), share)) == expected


def test_top_p_of_a_uniform_distribution_keeps_its_share():
    assert kept(top_p(torch.zeros(1, 1000), 0.2505)) == list(range(251))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.1, [0, 1, 2, 3]), (0.14, [0, 2, 3]), (0.4, [0, 2, 3]), (0.6, [2, 3]), (1.0, [2, 3])]
)
def test_min_p_keeps_tokens_likely_relative_to_the_best(share, expected):
    assert kept(min_p(logits_of([0.2, 0.05, 0.375, 0.375]), share)) == expected


def apply(logits: Tensor, config: SamplingConfig, forbidden: list[int]) -> Tensor:
    logits = logits.index_fill(-1, torch.tensor(forbidden, dtype=torch.int64), -INF)
    for one in build_processors(config):
        logits = one(logits, [])
    return logits


def by_hand(weights: list[float], config: SamplingConfig, forbidden: list[int]) -> dict[int, float]:
    """Return the remaining distribution, from token to probability, computed step by step over plain numbers."""
    left = {token: math.exp(weight / config.temperature) for token, weight in enumerate(weights)}
    left = {token: weight for token, weight in left.items() if token not in forbidden}
    if config.top_k:
        left = dict(sorted(left.items(), key=lambda item: -item[1])[: config.top_k])
    if config.top_p < 1.0:
        total, held, nucleus = sum(left.values()), 0.0, {}
        for token, weight in sorted(left.items(), key=lambda item: -item[1]):
            if held < config.top_p * total:
                nucleus[token] = weight
            held += weight
        left = nucleus
    if config.min_p:
        left = {token: weight for token, weight in left.items() if weight >= config.min_p * max(left.values())}
    total = sum(left.values())
    return {token: weight / total for token, weight in left.items()}


@settings(max_examples=150)
@given(
    weights=st.lists(st.integers(-60, 60), min_size=4, max_size=12, unique=True),
    value=st.sampled_from([0.5, 0.7, 1.0, 1.3, 4.0]),
    count=st.integers(0, 14),
    nucleus=st.sampled_from([0.1031, 0.5017, 0.9013, 1.0]),
    least=st.sampled_from([0.0, 0.0217, 0.1019, 0.5023]),
    forbidden=st.sampled_from([[], [0], [1, 3]]),
)
def test_build_processors_applies_them_in_order(weights, value, count, nucleus, least, forbidden):
    config = SamplingConfig(temperature=value, top_k=count, top_p=nucleus, min_p=least)
    weights = [weight / 10 for weight in weights]

    logits = apply(torch.tensor([weights]), config, forbidden)

    expected = by_hand(weights, config, forbidden)
    assert kept(logits) == sorted(expected)
    assert [probabilities(logits)[token] for token in sorted(expected)] == pytest.approx(
        [expected[token] for token in sorted(expected)], rel=1e-4
    )


def test_temperature_comes_before_top_p():
    """At temperature 4 the distribution is flat and top-p keeps three; in the other order it would keep one."""
    logits = logits_of([0.85, 0.1, 0.05])

    assert kept(apply(logits, SamplingConfig(temperature=4.0, top_p=0.8), [])) == [0, 1, 2]
    assert kept(top_p(logits, 0.8)) == [0]


def test_top_p_renormalizes_after_top_k():
    config = SamplingConfig(temperature=1.0, top_k=2, top_p=0.6)

    assert kept(apply(logits_of([0.4, 0.2, 0.2001, 0.1999]), config, [])) == [0]  # 0.4 of 0.6, not of 1


def test_build_processors_omits_processors_that_are_off():
    assert build_processors(SamplingConfig(temperature=1.0)) == []
    assert len(build_processors(SamplingConfig(temperature=0.5, top_k=1, top_p=0.5, min_p=0.5))) == 4


@settings(max_examples=200)
@given(
    row=st.lists(st.floats(-1e30, 1e30) | st.sampled_from([-INF, 0.0, 5.0]), min_size=2, max_size=20),
    value=st.sampled_from([0.0, 5e-324, 1e-46, 1e-6, 1.0, 30.0, 1e39, 1e308]) | st.floats(0.0, 1e300),
    count=st.integers(0, 30),
    nucleus=st.floats(1e-300, 1.0),
    least=st.floats(0.0, 1.0),
    uniform=st.floats(0.0, 1.0, exclude_max=True),
)
def test_processors_always_keep_a_token_and_never_make_nan(row, value, count, nucleus, least, uniform):
    config = SamplingConfig(temperature=value, top_k=count, top_p=nucleus, min_p=least)
    given_logits = torch.tensor([[5.0, *row, -3.0]])  # the last token is finite and not suppressed

    logits = apply(given_logits, config, [0])

    assert not logits.isnan().any()
    assert logits[0, 0] == -INF
    assert kept(logits)
    assert sample(logits, np.array([uniform])).item() in kept(logits)


def test_processor_settings_are_equal_where_processors_are():
    one = SamplingConfig(temperature=0.5, top_k=2)

    assert processor_settings(one) == processor_settings(SamplingConfig(temperature=0.5, top_k=2, seed=3, stop=("a",)))
    for change in ({"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.1}):
        assert processor_settings(one) != processor_settings(one.model_copy(update=change))

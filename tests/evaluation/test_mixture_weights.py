"""The weights of a mixture by expectation-maximization."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.errors import RunError
from seqgen.evaluation.mixture_weights import fit_mixture_weights, mixture_nats


def random_nats(seed, members=2, tokens=400):
    return np.random.default_rng(seed).gamma(2.0, 1.5, (members, tokens))


def mean(nats, weights):
    return mixture_nats(nats, np.asarray(weights)).mean()


@given(st.integers(0, 2**32 - 1))
def test_weights_of_two_members_are_the_best_of_all_weights(seed):
    nats = random_nats(seed)

    weights = fit_mixture_weights(nats)

    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    grid = min(mean(nats, [weight, 1 - weight]) for weight in np.linspace(0, 1, 201))
    assert mean(nats, weights) <= grid + 1e-6


def test_no_direction_from_the_weights_of_many_members_gains():
    nats = random_nats(1, members=4, tokens=2_000)
    weights = fit_mixture_weights(nats)
    found = mean(nats, weights)

    for member in range(4):
        for size in (0.001, 0.1):
            moved = (1 - size) * weights + size * np.eye(4)[member]
            assert mean(nats, moved) >= found - 1e-6


def test_a_member_that_knows_the_text_takes_all_the_weight():
    nats = np.stack([np.full(1_000, 2.0), np.full(1_000, 0.01)])

    weights = fit_mixture_weights(nats)

    assert weights[1] == pytest.approx(1.0, abs=1e-6)


def test_equal_members_have_equal_weights():
    nats = np.tile(random_nats(3, members=1), (3, 1))

    assert fit_mixture_weights(nats) == pytest.approx(1 / 3)


def test_impossible_and_very_improbable_tokens_are_left_to_other_members():
    nats = np.array([[np.inf, 1.0, 2000.0], [1.0, np.inf, 3000.0]])

    weights = fit_mixture_weights(nats)

    assert weights == pytest.approx([2 / 3, 1 / 3], abs=1e-4)
    assert np.isfinite(mixture_nats(nats, weights)).all()


def test_mixture_nats_is_the_weighted_mean_of_probabilities():
    nats, weights = random_nats(5, members=3), np.array([0.5, 0.5, 0.0])

    expected = -np.log(weights @ np.exp(-nats))
    assert mixture_nats(nats, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_nats_that_are_not_numbers_are_refused_with_the_member(bad):
    nats = random_nats(1)
    nats[1, 7] = bad

    with pytest.raises(RunError, match="second"):
        fit_mixture_weights(nats, ["first", "second"])


def test_token_that_is_impossible_for_every_member_is_refused():
    nats = random_nats(1)
    nats[:, 7] = np.inf

    with pytest.raises(RunError, match="token 7"):
        fit_mixture_weights(nats, ["first", "second"])

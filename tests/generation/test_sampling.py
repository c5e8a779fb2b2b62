"""Drawing tokens, and the random streams of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import RunError
from seqgen.generation.sampling import Uniforms, sample

JUST_BELOW_1 = math.nextafter(1.0, 0.0)


def uniforms(*values: float) -> np.ndarray:
    return np.array(values)


def test_sample_inverts_the_distribution_in_exact_proportions():
    logits = torch.tensor([[0.5, 0.0, 0.125, 0.375]]).log()
    grid = (np.arange(1000) + 0.5) / 1000

    tokens = sample(logits.expand(1000, 4), grid)

    assert tokens.dtype == np.int64
    assert tokens.tolist() == [0] * 500 + [2] * 125 + [3] * 375


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.4999, 1), (0.5001, 3), (JUST_BELOW_1, 3)])
def test_sample_at_the_ends_of_the_unit_interval_gives_possible_tokens(uniform, token):
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])

    assert sample(logits, uniforms(uniform)).tolist() == [token]


def test_sample_refuses_nan():
    with pytest.raises(RunError, match="NaN or infinity"):
        sample(torch.tensor([[0.0, math.nan]]), uniforms(0.5))


def test_sample_draws_each_row_by_its_own_uniform():
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, -math.inf]])

    assert sample(logits, uniforms(0.9, 0.1, 0.9)).tolist() == [1, 0, 0]


@settings(max_examples=100)
@given(
    row=st.lists(st.floats(-200.0, 50.0) | st.just(-math.inf), min_size=1, max_size=30),
    uniform=st.floats(0.0, 1.0, exclude_max=True) | st.sampled_from([0.0, 5e-324, JUST_BELOW_1]),
)
def test_sample_never_draws_a_token_of_probability_zero(row, uniform):
    logits = torch.tensor([[*row, 0.0, -math.inf]])

    token = sample(logits, uniforms(uniform)).item()

    assert logits.double().softmax(dim=-1)[0, token] > 0  # fp64: in fp32 torch may round it to 0


def stream_of(seed, number, count):
    return np.random.default_rng([seed, number]).random(count).tolist()


@settings(max_examples=25)
@given(data=st.data())
def test_uniforms_of_a_row_do_not_depend_on_when_others_come_and_go(data):
    made, rows, drawn = Uniforms(), [], {}
    for number in range(data.draw(st.integers(1, 5))):
        if rows and data.draw(st.booleans()):
            kept = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True).map(sorted))
            made.select(kept)
            rows = [rows[place] for place in kept]
        made.add([(3, number)])
        rows.append(number)
        for _ in range(data.draw(st.sampled_from([1, 7, Uniforms.BLOCK - 1, Uniforms.BLOCK, 2 * Uniforms.BLOCK + 1]))):
            for row, value in zip(rows, made.next().tolist(), strict=True):
                drawn.setdefault(row, []).append(value)

    for row, values in drawn.items():
        assert values == stream_of(3, row, len(values))

"""Passages against their definition: the best one, then those to its left and right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.evaluation.surprisal.passages import THRESHOLD, hardest_passages


def by_definition(scores: np.ndarray, offset: int = 0) -> set[tuple[int, int]]:
    """Return the maximal scoring subsequences: the one with the largest sum, and those of what is around it."""
    sums = np.concatenate([[0], np.cumsum(scores)])
    best = max(
        ((start, stop) for start in range(len(scores)) for stop in range(start + 1, len(scores) + 1)),
        key=lambda one: (sums[one[1]] - sums[one[0]], one[0] - one[1]),
        default=(0, 0),
    )
    if sums[best[1]] - sums[best[0]] <= 0:
        return set()
    left, right = by_definition(scores[: best[0]], offset), by_definition(scores[best[1] :], offset + best[1])
    return {(best[0] + offset, best[1] + offset), *left, *right}


@given(st.lists(st.floats(0, 10), min_size=1, max_size=14))
def test_hardest_passages_are_the_maximal_scoring_subsequences(nats):
    values = np.array(nats)

    found = hardest_passages(values, 99)

    scores = values - THRESHOLD * values.mean()
    expected = by_definition(scores)
    sums = sorted((scores[start:stop].sum() for start, stop in expected), reverse=True)
    assert [one.excess for one in found] == pytest.approx(sums, abs=1e-9)
    assert all(one.excess == pytest.approx(scores[one.start : one.stop].sum(), abs=1e-9) for one in found)


def test_hardest_passages_join_hard_tokens_over_easy_ones_between():
    easy, nats = [0.1] * 20, [9.0, 0.1, 9.0]

    (first, second) = hardest_passages(np.array([*easy, *nats, *easy, 5.0, *easy]), 5)

    assert (first.start, first.stop) == (20, 23)
    assert (second.start, second.stop) == (43, 44)
    assert hardest_passages(np.array([*easy, *nats, *easy, 5.0, *easy]), 1) == [first]


def test_hardest_passages_end_where_a_stretch_of_text_ends():
    easy = [0.1] * 20
    nats = np.array([*easy, 9.0, 8.0, *easy])

    whole = hardest_passages(nats, 5)
    parts = hardest_passages(nats, 5, np.repeat([3, 1], [21, 21]))

    assert [(one.start, one.stop) for one in whole] == [(20, 22)]
    assert [(one.start, one.stop) for one in parts] == [(20, 21), (21, 22)]
    assert sum(one.excess for one in parts) == pytest.approx(whole[0].excess)
    assert hardest_passages(nats, 5, np.zeros(42, np.int64)) == whole


def test_hardest_passages_of_nothing_and_of_equal_tokens_are_none():
    assert hardest_passages(np.empty(0), 5) == []
    assert hardest_passages(np.ones(9), 5) == []

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.data import permutation as module
from seqgen.data.permutation import permutation


def drawn(count, seed=0):
    return permutation(count, np.random.default_rng(seed))(np.arange(count)).tolist()


def test_short_permutation_is_numpys():
    assert drawn(1000) == np.random.default_rng(0).permutation(1000).tolist()


@given(count=st.integers(1, 300), seed=st.integers(0, 99))
def test_long_permutation_has_each_number_once(count, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_TABLE_SIZE", 0)

        assert sorted(drawn(count, seed)) == list(range(count))


def test_long_permutation_depends_on_the_seed_and_has_few_fixed_points(monkeypatch):
    monkeypatch.setattr(module, "MAX_TABLE_SIZE", 0)

    order = np.array(drawn(10_000))

    assert order.tolist() == drawn(10_000)
    assert order.tolist() != drawn(10_000, seed=1)
    assert (order == np.arange(10_000)).sum() < 10  # 1 is expected
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05
    assert (np.abs(np.diff(order)) == 1).sum() < 15  # 2 are expected


def test_huge_permutation_is_computed_at_single_places():
    order = permutation(10**12, np.random.default_rng(0))

    assert len(set(order(np.arange(10**12 - 1000, 10**12)).tolist())) == 1000

"""N-gram counts and entropies equal their plain definitions."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics.ngrams import NGrams

SYMBOLS = st.lists(st.sampled_from([0, 1, 2, 65, 2**21 - 1]), max_size=30)


def count(n, documents, **options):
    table = NGrams(n, **options)
    for chunks in documents:
        for chunk in chunks:
            table.add(np.array(chunk, np.int64))
        table.end_document()
    return table


@given(st.integers(1, 3), st.lists(st.lists(SYMBOLS, max_size=4), max_size=3))
def test_counts_do_not_depend_on_the_chunks(n, documents):
    whole = [[symbol for chunk in chunks for symbol in chunk] for chunks in documents]
    expected = Counter(tuple(text[i : i + n]) for text in whole for i in range(len(text) - n + 1))

    table = count(n, documents)

    assert dict(table.most_frequent(10**6)) == expected
    assert table.distinct == len(expected)
    assert table.counted == sum(map(len, whole))


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60))
def test_entropy_is_conditional_on_the_context(symbols):
    pairs = Counter(pairwise(symbols))
    contexts = Counter(symbols[:-1])
    total = len(symbols) - 1
    bits = -sum(count / total * math.log2(count / contexts[context]) for (context, _), count in pairs.items())

    entropy = count(2, [[symbols]]).entropy()

    assert entropy.order == 1
    assert entropy.bits == pytest.approx(bits, abs=1e-12)
    missing = (len(pairs) - len(contexts)) / (2 * total * math.log(2))
    assert entropy.corrected_bits == pytest.approx(bits + missing, abs=1e-12)


def test_the_correction_brings_the_entropy_of_fair_coins_closer_to_one_bit():
    coins = np.random.default_rng(0).integers(0, 2, 200)

    entropies = [count(n, [[coins]]).entropy() for n in (1, 2, 3)]

    assert all(0.9 < entropy.bits < entropy.corrected_bits for entropy in entropies)
    assert abs(1 - entropies[2].corrected_bits) < 1 - entropies[2].bits


def test_the_entropy_of_an_empty_table_is_zero():
    assert count(3, [[[1, 2]]]).entropy().bits == 0.0


def test_most_frequent_sorts_equal_counts_by_symbol():
    assert count(1, [[[5, 3, 3, 4, 5]]]).most_frequent(2) == [((3,), 2), ((5,), 2)]


def test_a_full_table_reports_how_much_it_counted():
    table = count(1, [[[1, 2, 3], [4], [1, 1]]], limit=3)

    assert table.is_full
    assert (table.counted, table.distinct) == (3, 3)
    assert table.entropy().counted == 3

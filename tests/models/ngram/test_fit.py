"""Counts and discounts against a form written with dicts."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import numpy as np
import pytest

from seqgen.errors import ConfigError
from seqgen.models.ngram import fit
from seqgen.models.ngram.fit import FALLBACK, discounts_of, fit_tables

from .plain import Corpus, PlainKneserNey, random_corpus


def fitted(corpus: Corpus, order: int, **settings):
    return fit_tables(corpus.arrays, corpus.vocab_size, order, models_ends=corpus.models_ends, **settings)


def distribution(tables, context):
    """Return p of every token after the tokens of a context."""
    contexts = np.full((1, tables.order - 1), -1)
    for token in context:
        contexts = tables.read(contexts, np.array([token]))
    return tables.distributions(contexts)[0]


def assert_same_everywhere(tables, plain: PlainKneserNey, corpus: Corpus, lines: int | None = None) -> None:
    """Compare all probabilities after every context of the corpus, or of its first lines, and after some others."""
    unseen = [(corpus.vocab_size - 1,), (1, corpus.vocab_size - 1, 2), (0, 0)]
    known = [tuple(line[:end]) for line in corpus.lines[:lines] for end in range(1, len(line) + 1)]
    for context in [*known[:300], *unseen]:
        found = distribution(tables, context)
        expected = [plain.probability(context, token) for token in range(corpus.vocab_size)]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
        assert abs(found.sum() - 1) < 1e-9


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_fit_equals_the_form_with_dicts(first):
    for seed in range(first, first + 20):
        corpus, order, min_count = random_corpus(seed), 1 + seed % 5, 1 + seed % 3
        tables = fitted(corpus, order, min_count=min_count)

        assert_same_everywhere(tables, PlainKneserNey(corpus, order, min_count), corpus)


@pytest.mark.parametrize("min_count", [1, 2])
@pytest.mark.parametrize("documents", [1, 60])
def test_fit_of_a_longer_text_equals_the_form_with_dicts(documents, min_count):
    corpus = random_corpus(3, vocab_size=9, documents=documents, longest=2400 // documents)
    tables = fitted(corpus, 4, min_count=min_count)

    assert tuple(tables.discounts[-1]) != FALLBACK
    assert_same_everywhere(tables, PlainKneserNey(corpus, 4, min_count), corpus, lines=9)


def test_ranges_of_first_tokens_give_the_same_tables(monkeypatch):
    corpus = random_corpus(5, vocab_size=12, documents=9, longest=300)
    whole = fitted(corpus, 5)
    monkeypatch.setattr(fit, "RANGE", 100)
    monkeypatch.setattr(fit, "_DENSE", 0)
    parts = fitted(corpus, 5)

    for name in ("counts", "tokens", "children"):
        for one, other in zip(getattr(whole, name), getattr(parts, name), strict=True):
            np.testing.assert_array_equal(one, other)


def test_discounts_of_counts():
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 2]).astype(np.int32)
    y = 40 / 70

    assert discounts_of(counts) == pytest.approx((1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8))


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param((3, 1, 0, 2), id="a count of counts is 0"),
        pytest.param((3, 1, 2, 1), id="the second discount is negative"),
    ],
)
def test_no_discounts_where_they_are_not_valid(numbers):
    assert discounts_of(np.repeat([1, 2, 3, 4], numbers).astype(np.int32)) is None


def test_grams_do_not_cross_documents():
    tables = fitted(Corpus([[1, 2], [3, 1]], [True, True], 5, models_ends=True), 2)

    pairs = {
        (first, int(token))
        for first in range(5)
        for token in tables.tokens[1][tables.children[0][first] : tables.children[0][first + 1]]
    }
    assert pairs == {(0, 1), (1, 2), (2, 0), (0, 3), (3, 1), (1, 0)}


def test_text_shorter_than_the_order_is_fitted():
    corpus = Corpus([[1, 2]], [False], 4, models_ends=False)
    tables = fitted(corpus, 6)

    assert tables.sizes == [2, 2, 1, 0, 0, 0]
    assert_same_everywhere(tables, PlainKneserNey(corpus, 6), corpus)


def nats_of(corpus: Corpus, other: Corpus, order: int) -> float:
    """Return the mean nats of another text with an order."""
    tables = fitted(corpus, order)
    inputs = np.array([[token for line in other.lines for token in line[:-1]]])
    targets = np.array([[token for line in other.lines for token in line[1:]]])
    return float(-np.log(tables.walk(np.full((1, order - 1), -1), inputs, targets)[0]).mean())


@pytest.mark.parametrize("seed", [4, 5, 8, 9])
def test_order_is_the_one_before_the_first_that_gains_nothing(seed):
    corpus, other = (random_corpus(number, vocab_size=7, documents=6, longest=200) for number in (seed, seed + 20))
    nats = [nats_of(corpus, other, order) for order in range(2, 8)]
    gains = [after < before * (1 - fit.LEAST_GAIN) for before, after in pairwise(nats)]
    expected = 2 + gains.index(False)

    chosen = fitted(corpus, 9, validation=other.arrays)
    assert chosen.order == expected
    np.testing.assert_array_equal(chosen.counts[-1], fitted(corpus, expected).counts[-1])
    np.testing.assert_array_equal(chosen.discounts, fitted(corpus, expected).discounts)


@pytest.mark.parametrize(("a_token", "accepted"), [(300, False), (400, True)])
def test_fit_counts_the_memory_of_scoring_too(a_token, accepted):
    """Here n-grams take 24 bytes while they are counted, and 20 to be scored, and 16 more as contexts."""
    ids = np.random.default_rng(0).permutation(2000) + 1
    documents = (ids, np.array([0, 2000]), np.ones(1, bool))
    with contextlib.nullcontext() if accepted else pytest.raises(ConfigError, match="--memory"):
        fit_tables(documents, 2001, 10, models_ends=True, memory=a_token * 2000.0)


def test_fit_beyond_the_memory_is_refused_before_it_counts(monkeypatch):
    monkeypatch.setattr(fit, "_count", None)

    with pytest.raises(ConfigError, match=r"5 tokens .*--order.*--memory"):
        fitted(random_corpus(1, documents=3, longest=900), 5, memory=1000.0)


@pytest.mark.parametrize("longest", [300, 40_000])
def test_estimate_is_above_the_number_of_ngrams(longest):
    corpus = random_corpus(2, vocab_size=30, documents=5, longest=longest)
    tokens = np.concatenate([[0, *ids] for ids in corpus.documents]).astype(np.uint8)

    needed = sum(fit.estimate_grams(tokens, 30, 5))
    assert sum(fitted(corpus, 5).sizes) <= needed <= 2 * sum(fitted(corpus, 5).sizes)

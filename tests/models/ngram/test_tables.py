"""Walking along texts."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.models.ngram import tables as tables_module

from .plain import random_corpus
from .test_fit import distribution, fitted


@pytest.fixture
def stream():
    """Return the tokens before each target, and the targets, of other documents than those that were fitted."""
    corpus = random_corpus(11, vocab_size=9, documents=7, longest=40)
    lines = [[0, *ids, 0] for ids in corpus.documents]
    return (
        np.array([[token for line in lines for token in line[:-1]]]),
        np.array([[token for line in lines for token in line[1:]]]),
    )


@pytest.mark.parametrize("order", [1, 2, 5])
def test_walk_has_the_probabilities_of_the_distributions(stream, order):
    tables = fitted(random_corpus(9, vocab_size=9, documents=9, longest=80), order)
    inputs, targets = stream
    probability, _ = tables.walk(np.full((1, order - 1), -1), inputs, targets)

    expected = [distribution(tables, inputs[0, : t + 1])[target] for t, target in enumerate(targets[0])]
    np.testing.assert_allclose(probability[0], expected, rtol=1e-12)


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_walk_in_two_parts_equals_walk_at_once(stream, cut):
    tables = fitted(random_corpus(9, vocab_size=9, documents=9, longest=80), 5)
    inputs, targets = stream
    begin = np.full((1, 4), -1)
    whole, end = tables.walk(begin, inputs, targets)
    first, middle = tables.walk(begin, inputs[:, :cut], targets[:, :cut])
    second, last = tables.walk(middle, inputs[:, cut:], targets[:, cut:])

    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)
    np.testing.assert_array_equal(last, end)


def test_targets_need_not_be_the_next_tokens(stream):
    tables = fitted(random_corpus(9, vocab_size=9, documents=9, longest=80), 4)
    inputs, targets = stream
    shuffled = np.roll(targets, 3, axis=1)
    probability, _ = tables.walk(np.full((1, 3), -1), inputs, shuffled)

    expected = [distribution(tables, inputs[0, : t + 1])[target] for t, target in enumerate(shuffled[0])]
    np.testing.assert_allclose(probability[0], expected, rtol=1e-12)


def test_lookups_one_by_one_equal_lookups_at_once(stream, monkeypatch):
    tables = fitted(random_corpus(9, vocab_size=9, documents=9, longest=80), 4)
    tokens = np.array([3, 0, 8, 1, 2])
    contexts = np.array([[1, 2, -1], [3, 4, 5], [1, 0, 0], [-1, -1, -1], [0, -1, -1]])
    few = tables.read(contexts, tokens)
    monkeypatch.setattr(tables_module, "_FEW", 0)

    np.testing.assert_array_equal(tables.read(contexts, tokens), few)

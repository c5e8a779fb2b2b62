"""Counts that grow against a fit to all that was read."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.errors import ConfigError
from seqgen.models.ngram.dynamic import DynamicNgram

from .plain import Corpus, PlainKneserNey, random_corpus
from .test_fit import fitted


def corpora(seed: int) -> tuple[Corpus, Corpus]:
    """Return a text to fit to, and one to read, in which an id occurs that the first does not have."""
    known, read = (random_corpus(2 * seed + add, vocab_size=6, documents=4, longest=30) for add in (0, 2))
    read.documents[0][0] = 5
    if known.models_ends:
        read.ends = [True] * len(read.documents)
    return known, read


def stream_of(corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens before each target, and the targets."""
    inputs = [token for line in corpus.lines for token in line[:-1]]
    return np.array(inputs), np.array([token for line in corpus.lines for token in line[1:]])


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_each_probability_is_that_of_a_fit_to_all_before(order, seed):
    known, read = corpora(seed)
    tables = fitted(known, order)
    nats = DynamicNgram(tables).nats(*stream_of(read))

    place = 0
    for number, line in enumerate(read.lines):
        for end in range(1, len(line)):
            before = [*known.documents, *read.documents[:number], line[1:end]]
            ends = [*known.ends, *read.ends[:number], False]
            seen = [(ids, ended) for ids, ended in zip(before, ends, strict=True) if ids]
            refit = Corpus([ids for ids, _ in seen], [ended for _, ended in seen], 6, known.models_ends)
            plain = PlainKneserNey(refit, order, discounts=tables.discounts.tolist())
            assert nats[place] == pytest.approx(-np.log(plain.probability(tuple(line[:end]), line[end])), abs=1e-12)
            place += 1


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("ends", [False, True])
def test_tables_are_those_of_a_fit_to_all(order, ends):
    known, read = corpora(int(ends) + 4)
    reader = DynamicNgram(fitted(known, order))
    reader.nats(*stream_of(read))
    expected = fitted(Corpus(known.documents + read.documents, known.ends + read.ends, 6, known.models_ends), order)

    found = reader.tables()
    for name in ("counts", "tokens", "children"):
        for one, other in zip(getattr(found, name), getattr(expected, name), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("order", [1, 3])
def test_one_token_at_a_time_gives_the_same_numbers(order):
    known, read = corpora(3)
    inputs, targets = stream_of(read)
    expected = DynamicNgram(fitted(known, order)).nats(inputs, targets)
    reader = DynamicNgram(fitted(known, order))
    found = []
    reader.read(0)
    for line in read.lines:
        for token in line[1:]:
            log_probs = reader.log_probs()
            assert abs(np.exp(log_probs).sum() - 1) < 1e-9
            found.append(-log_probs[token])
            if token:
                reader.read(token)
        reader.read(0)

    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_any_chunks_of_a_stream_give_the_same_numbers():
    known, read = corpora(2)
    inputs, targets = stream_of(read)
    expected = DynamicNgram(fitted(known, 4)).nats(inputs, targets)
    reader = DynamicNgram(fitted(known, 4))
    parts = [reader.nats(inputs[cut : cut + 7], targets[cut : cut + 7]) for cut in range(0, len(inputs), 7)]

    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_tables_without_rare_ngrams_are_refused():
    known, _ = corpora(1)

    with pytest.raises(ConfigError, match="--min-count"):
        DynamicNgram(fitted(known, 3, min_count=2))


def test_reset_forgets_what_was_read():
    known, read = corpora(1)
    reader, expected = DynamicNgram(fitted(known, 3)), DynamicNgram(fitted(known, 3)).nats(*stream_of(read))
    reader.nats(*stream_of(read))

    reader.reset()

    np.testing.assert_array_equal(reader.nats(*stream_of(read)), expected)

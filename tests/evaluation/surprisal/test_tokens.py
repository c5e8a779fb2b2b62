"""The names of tokens, and the hardest of all documents."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.data.documents import Documents
from seqgen.evaluation.scoring import Predictions
from seqgen.evaluation.surprisal.tokens import PredictedDocuments
from seqgen.tokenizers.char import CharTokenizer


def predicted(tokenizer=None, texts=("ab", "c"), nats=(1.0, 5.0, 2.0, 3.0, 4.0)):
    tokenizer = tokenizer or CharTokenizer("ab")
    ids = Documents.of(map(tokenizer.encode, texts), ends=True)
    found = PredictedDocuments(texts, ids, tokenizer)
    document = np.repeat(np.arange(len(texts)), ids.lengths)
    position = np.concatenate([np.arange(length) for length in ids.lengths])
    count, each = len(document), min(5, tokenizer.vocab_size)
    top = np.tile(np.arange(each), (count, 1))
    found.add(
        Predictions(
            document,
            position,
            np.array(nats[:count]),
            np.arange(1, count + 1),
            top,
            np.log(np.full((count, each), 0.25)),
        )
    )
    return found


def test_tokens_of_a_document_have_their_own_figures():
    found = predicted()

    assert len(found) == 2
    assert [one.scores.text for one in found] == ["ab", "c"]
    assert found[0].scores.nats.tolist() == [1, 5, 2]
    assert found[1].rank.tolist() == [4, 5]
    assert found[1].top.tolist() == [[0, 1, 2, 3]] * 2
    assert found[1].top_probabilities == pytest.approx(np.full((2, 4), 0.25))
    assert len(found[1]) == 2


def test_nats_of_a_token_include_the_spelling_of_unk():
    tokens = predicted()[1]

    assert tokens.nats == pytest.approx([3 + CharTokenizer("ab").unk_cost("c"), 4])


def test_names_are_those_of_the_tokenizer():
    found = predicted()

    assert [found.name(token) for token in range(4)] == ["<end>", "<unk>", "a", "b"]


def test_hardest_tokens_are_found_in_their_documents():
    """The spelling of `c`, which is unknown, counts."""
    found = predicted()

    assert list(found.hardest(3)) == [(1, 0), (0, 1), (1, 1)]
    assert list(found.places()) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]

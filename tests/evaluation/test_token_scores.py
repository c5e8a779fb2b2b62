"""The place of every token in its text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqgen.evaluation.token_scores import TokenScores
from seqgen.tokenizers.base import UNICODE_SCALARS
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.subword import BpeTokenizer, UnigramTokenizer
from seqgen.tokenizers.word import WordTokenizer

KOREAN = "왕은 비를 그린다. 🙂👩‍👩‍👧 The king paints."


def scores_of(text, tokenizer, *, ends=False):
    nats = np.arange(1, len(tokenizer.encode(text)) + 1 + ends, dtype=np.float32)
    return TokenScores.of(text, tokenizer, nats)


def test_spans_are_of_the_characters_that_tokens_complete():
    scores = scores_of("a한🙂b", ByteTokenizer())

    assert scores.tokens == ["a", "", "", "한", "", "", "", "🙂", "b"]
    assert scores.spans.tolist() == [
        [0, 1], [1, 1], [1, 1], [1, 2], [2, 2], [2, 2], [2, 2], [2, 3], [3, 4]
    ]  # fmt: skip
    assert scores.nats.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_end_of_a_document_is_the_last_token():
    scores = scores_of("ab", CharTokenizer("ab"), ends=True)

    assert scores.ids.tolist() == [2, 3, 0]
    assert scores.spans.tolist() == [[0, 1], [1, 2], [2, 2]]
    assert scores.tokens == ["a", "b", ""]
    assert scores.unk_cost.tolist() == [0, 0, 0]


def test_unknown_tokens_keep_their_characters_and_cost_their_spelling():
    characters = scores_of("a왕b", CharTokenizer("ab"), ends=True)
    words = scores_of("the sea", WordTokenizer([" ", "the"]))

    assert characters.tokens == ["a", "왕", "b", ""]
    assert characters.unk_cost == pytest.approx([0, math.log(UNICODE_SCALARS - 2), 0, 0])
    assert words.tokens == ["the", " ", "sea"]
    assert words.unk_cost == pytest.approx([0, 0, 4 * math.log(257)])


def test_spans_refer_to_the_normalized_text():
    scores = scores_of("e\u0301!\ud800", CharTokenizer("!\u00e9", "nfc"))

    assert scores.text == "\u00e9!\ufffd"
    assert scores.tokens == ["\u00e9", "!", "\ufffd"]
    assert scores.ids.tolist() == [3, 2, 1]


@pytest.mark.parametrize("tokenizer", [ByteTokenizer, CharTokenizer, WordTokenizer, UnigramTokenizer, BpeTokenizer])
@pytest.mark.parametrize("normalization", ["none", "nfc", "nfd"])
def test_spans_of_every_tokenizer_are_the_whole_text_in_order(tokenizer, normalization):
    config = TokenizerConfig(kind=tokenizer.kind, normalization=normalization)
    trained = tokenizer.train(["The king paints the rain. 비를 그린다.\n" * 3], config)

    scores = scores_of(KOREAN, trained, ends=True)

    assert "".join(scores.tokens) == scores.text
    assert scores.spans[0, 0] == 0
    assert scores.spans[-1, 1] == len(scores.text)
    assert (scores.spans[1:, 0] == scores.spans[:-1, 1]).all()
    assert len(scores.ids) == len(scores.spans) == len(scores.nats) == len(scores.unk_cost)
    for token, text in zip(scores.ids.tolist(), scores.tokens, strict=True):
        if text and token != trained.unknown_id:
            assert text.encode().endswith(trained.id_to_bytes[token])

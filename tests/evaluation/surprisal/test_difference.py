"""Two models on the same characters."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.errors import ConfigError
from seqgen.evaluation.surprisal.difference import compare_tokens
from seqgen.evaluation.token_scores import TokenScores
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer


def scored(text, tokenizer, *, ends=False, step=1.0):
    nats = step * np.arange(1, len(tokenizer.encode(text)) + 1 + ends)
    return TokenScores.of(text, tokenizer, nats)


@pytest.mark.parametrize("ends", [True, False])
def test_compare_tokens_adds_up_the_tokens_of_each_shared_span(ends):
    text = "the 왕 a"
    words, letters = WordTokenizer(["the", " ", "a"]), ByteTokenizer()

    found = compare_tokens(scored(text, words, ends=ends), scored(text, letters, ends=ends))

    unknown = words.unk_cost("왕")
    assert [text[start:stop] for start, stop in found.spans] == ["the", " ", "왕", " ", "a", *[""] * ends]
    assert found.first == pytest.approx([1, 2, 3 + unknown, 4, 5, *[6] * ends])
    assert found.second == pytest.approx([1 + 2 + 3, 4, 5 + 6 + 7, 8, 9, *[10] * ends])
    assert found.nats == pytest.approx(found.first - found.second)


def test_compare_tokens_leaves_out_an_end_that_only_one_model_scores():
    letters = CharTokenizer("ab")

    found = compare_tokens(scored("ab", letters, ends=True), scored("ab", letters, step=2.0))

    assert found.spans.tolist() == [[0, 1], [1, 2]]
    assert found.nats.tolist() == [-1, -2]


def test_compare_tokens_takes_parts_of_the_first_character_to_its_span():
    found = compare_tokens(scored("왕a", ByteTokenizer()), scored("왕a", CharTokenizer("a왕")))

    assert found.spans.tolist() == [[0, 1], [1, 2]]
    assert found.first.tolist() == [6, 4]


def test_compare_tokens_refuses_texts_that_are_normalized_differently():
    composed = CharTokenizer("\u00e9", "nfc")

    with pytest.raises(ConfigError, match="normalization"):
        compare_tokens(scored("e\u0301", composed), scored("e\u0301", ByteTokenizer()))

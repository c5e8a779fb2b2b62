"""The vocabulary of a text, its rows and blocks, and the tables made of its counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.documents import Documents
from seqgen.embeddings import corpus as corpus_module
from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.embeddings.corpus import Vocabulary, read_corpus, word_of
from seqgen.errors import TextError
from seqgen.tokenizers.config import TokenizerConfig


def encode(*texts, **settings):
    tokenizer = tokenizers.build(texts, TokenizerConfig(kind="word", keep_rare=True))
    documents = Documents.of([tokenizer.encode(text) for text in texts])
    return read_corpus(tokenizer, documents, EmbeddingModelConfig(**{"min_count": 1, **settings}))


def test_read_corpus_sorts_words_by_count_and_leaves_out_white_space():
    corpus = encode("the cat saw the\ndog, the end, The")

    assert corpus.vocabulary.words == ["the", ",", "The", "cat", "dog", "end", "saw"]
    assert corpus.vocabulary.counts == [3, 2, 1, 1, 1, 1, 1]
    words = [corpus.vocabulary.words[row] for row in corpus.rows]
    assert " ".join(words) == "the cat saw the dog , the end , The"
    assert corpus.starts.tolist() == [0, 10]


def test_read_corpus_leaves_out_words_below_min_count():
    corpus = encode("a b a c b a d", min_count=2)

    assert (corpus.vocabulary.words, corpus.rows.tolist()) == (["a", "b"], [0, 1, 0, 1, 0])


def test_lowercase_merges_words_before_they_are_counted():
    corpus = encode("The the cat Cat", lowercase=True)

    assert (corpus.vocabulary.words, corpus.vocabulary.counts) == (["cat", "the"], [2, 2])
    assert corpus.rows.tolist() == [1, 1, 0, 0]


def test_blocks_are_of_one_document_and_of_limited_length(monkeypatch):
    monkeypatch.setattr(corpus_module, "BLOCK_WORDS", 4)

    corpus = encode("a b a b a b a b a", " ", "a b", "b a b a")

    assert corpus.starts.tolist() == [0, 4, 8, 9, 11, 15]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a a a b", "only 1 word occurs at least 3 times; .*--min-count"),
        ("a b a b", "only 0 words occur at least 3 times; .*--min-count"),
    ],
)
def test_text_with_fewer_than_two_frequent_words_is_refused(text, message):
    with pytest.raises(TextError, match=message):
        encode(text, min_count=3)


def test_documents_of_single_words_are_refused():
    with pytest.raises(TextError, match="--documents file"):
        encode("king", "queen", "king")

    assert encode("king", "queen king").starts.tolist() == [0, 1, 3]


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_word_of_never_has_white_space(kind):
    config = TokenizerConfig(kind=kind, vocab_size=300 if kind == "bpe" else None)
    tokenizer = tokenizers.build(["a cat, the 고양이\t\u3000 " * 20], config)

    words = [word_of(tokenizer, token) for token in range(tokenizer.vocab_size)]

    assert words[0] is None
    named = [word for word in words if word is not None]
    assert all(word.split() == [word] for word in named)
    assert kind == "bpe" or len(set(named)) == len(named)
    if kind == "byte":
        assert (words[ord("a") + 1], words[0xEA + 1], words[ord(" ") + 1]) == ("a", "<0xEA>", None)


def test_noise_table_draws_by_counts_to_the_power_of_three_quarters():
    counts = [1000, 100, 10, 10, 1]
    accept, alias = Vocabulary(list("abcde"), counts).noise

    shares = np.zeros(5)
    for column in range(5):
        own = int(accept[column]) / 2**32 / 5
        shares[column] += own
        shares[alias[column]] += 1 / 5 - own
    weights = np.array(counts) ** 0.75
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=1e-9)


def test_kept_is_the_rule_of_word2vec():
    vocabulary = Vocabulary(list("abc"), [900, 99, 1])

    frequent = math.sqrt(0.001 / 0.9) + 0.001 / 0.9
    assert (vocabulary.kept(0.001) / 2**32).tolist() == pytest.approx(
        [frequent, math.sqrt(0.001 / 0.099) + 0.001 / 0.099, 1.0], abs=1e-9
    )
    assert (vocabulary.kept(0.0) == 2**32).all()
    shares = vocabulary.kept(0.001) / 2**32
    assert vocabulary.kept_share(0.001) == pytest.approx(float(shares @ [0.9, 0.099, 0.001]))
    assert vocabulary.kept_share(0.0) == 1


def test_word_of_composes_what_the_tokenizer_decomposed():
    tokenizer = tokenizers.build(
        ["나는 학교에 간다"], TokenizerConfig(kind="word", normalization="nfd", keep_rare=True)
    )

    words = {word_of(tokenizer, token) for token in range(tokenizer.vocab_size)}

    assert words == {None, "나는", "학교에", "간다"}

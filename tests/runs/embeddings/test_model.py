"""The input embedding of a trained model by the pieces of its tokenizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import seqgen
from seqgen.errors import ConfigError
from seqgen.runs.embeddings.model import load_input_embedding, token_vectors
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.subword import BpeTokenizer

from ...small_runs import GRU


def test_load_input_embedding_has_the_letters_of_a_char_model(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU).run()

    vectors = load_input_embedding(run.path)

    letters = sorted({char for char in corpus.read_text("utf-8") if not char.isspace()})
    assert sorted(vectors.words) == letters
    weight = run.model.state_dict()["embedding.weight"]
    for word, row in vectors.index.items():
        (token,) = run.tokenizer.encode(word)
        assert torch.equal(torch.from_numpy(vectors.vectors[row]), weight[int(token)])


@pytest.mark.slow
def test_load_input_embedding_of_a_mixture_is_that_of_a_member(corpus, tmp_path):
    settings = {**GRU, "cell": "gru+ngram+lstm"}
    run = seqgen.train(corpus, out=tmp_path / "run", **settings).run()

    vectors = load_input_embedding(run.path, "lstm")

    member = run.model.members["lstm"].embedding.weight
    assert (vectors.vectors[0] == member.detach().numpy()).all(1).any()
    with pytest.raises(ConfigError, match=r"^member: .*gru, lstm"):
        load_input_embedding(run.path)
    with pytest.raises(ConfigError, match=r"^member: .*ngram.*gru, lstm"):
        load_input_embedding(run.path, "ngram")


def test_token_vectors_of_bpe_mark_the_space_before_a_word():
    tokenizer = BpeTokenizer.train(["the king and the man\n" * 20], TokenizerConfig(kind="bpe", vocab_size=290))
    embedding = nn.Embedding(tokenizer.vocab_size, 3)

    vectors = token_vectors(tokenizer, embedding)

    (token,) = tokenizer.encode(" the").tolist()
    assert vectors.vectors[vectors.index["▁the"]].tolist() == embedding.weight[token].tolist()
    assert not [word for word in vectors.words if word.split() != [word]]


def test_token_vectors_of_bytes_have_a_name_for_each():
    vectors = token_vectors(ByteTokenizer(), nn.Embedding(257, 2))

    assert {"a", "<0xE2>"} <= set(vectors.words)
    assert not {" ", "\n", ""} & set(vectors.words)

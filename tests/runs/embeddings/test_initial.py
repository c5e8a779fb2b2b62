"""Runs whose embedding starts from vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import seqgen
from seqgen import tokenizers
from seqgen.embeddings.vectors import WordVectors, write_text
from seqgen.errors import ConfigError

from ...comparing import assert_same_run
from ...small_runs import GRU, SMALL, SMALL_RUNS

pytestmark = pytest.mark.slow

WORDS = {**GRU, "tokenizer": "word"}
VECTORS = {"sailor": [1.0, 0, 0, 2], "the": [0, 3.0, 0, 0], "river": [0, 0, -1.0, 0], "unheard": [9.0, 9, 9, 9]}


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "v.txt"
    write_text(path, WordVectors(list(VECTORS), np.array(list(VECTORS.values()), np.float32)))
    return path


def rows_of(run, *words):
    weight = run.model.state_dict()["embedding.weight"]
    tokenizer = tokenizers.load(run.path / "tokenizer")
    return torch.stack([weight[tokenizer.encode(word).item()] for word in words])


def test_init_embeddings_replaces_the_rows_of_the_words_that_have_a_vector(corpus, tmp_path, vectors):
    plain = seqgen.train(corpus, out=tmp_path / "plain", embedding_size=4, **WORDS)
    run = seqgen.train(corpus, out=tmp_path / "run", init_embeddings=vectors, **WORDS)

    assert run.config.init_embeddings == str(vectors)
    assert run.config.model.embedding_size == 4
    found = ["sailor", "the", "The", "river"]
    rows, drawn = rows_of(run, *found), rows_of(plain, *found)
    expected = torch.tensor([VECTORS[word.lower()] for word in found])
    torch.testing.assert_close(rows / rows[0, 0], expected)
    assert rows.square().mean() == pytest.approx(drawn.square().mean().item())
    assert any("4 of the" in notice and str(vectors) in notice for notice in run.notices)
    assert torch.equal(rows_of(run, "king", " ", "."), rows_of(plain, "king", " ", "."))
    for name, tensor in run.model.state_dict().items():
        assert name == "embedding.weight" or torch.equal(tensor, plain.model.state_dict()[name])


def test_init_embeddings_notes_lines_that_repeat_a_word(corpus, tmp_path):
    (tmp_path / "v.txt").write_text("the 1 0\nriver 1 1\nthe 0 1\n", "utf-8")

    run = seqgen.train(corpus, out=tmp_path / "run", init_embeddings=tmp_path / "v.txt", **WORDS)

    assert any("1 line of" in notice and "v.txt is left out" in notice for notice in run.notices)


def test_init_embeddings_from_a_run_matches_its_pieces(corpus, tmp_path):
    parent = seqgen.train(corpus, out=tmp_path / "parent", embedding_size=6, **GRU).run()

    child = seqgen.train(corpus, out=tmp_path / "child", init_embeddings=parent.path, **{**GRU, "cell": "lstm"})

    rows, expected = rows_of(child, *"Theking."), rows_of(parent, *"Theking.")
    torch.testing.assert_close(rows / rows[0, 0], expected / expected[0, 0])


def test_init_embeddings_continues_exactly_without_the_vectors(corpus, tmp_path, vectors):
    settings = {**WORDS, "init_embeddings": vectors}
    whole = seqgen.train(corpus, out=tmp_path / "whole", **settings)
    whole.run()
    polls = iter([False] * 2 + [True])
    list(seqgen.train(corpus, out=tmp_path / "parts", stop=lambda: next(polls), **settings))
    vectors.unlink()

    seqgen.train(out=tmp_path / "parts", resume=True).run()

    assert_same_run(whole.path, tmp_path / "parts")
    with pytest.raises(ConfigError, match=r"init_embeddings is .*v.txt, not .*other"):
        seqgen.train(out=tmp_path / "parts", resume=True, init_embeddings="other")


def test_init_embeddings_without_a_cell_trains_an_lstm(corpus, tmp_path, vectors):
    settings = {name: value for name, value in WORDS.items() if name != "cell"}
    run = seqgen.train(corpus, out=tmp_path / "run", init_embeddings=vectors, **settings)

    assert run.config.model.name == "lstm"


def test_init_embeddings_with_tied_weights_needs_the_hidden_size(corpus, tmp_path, vectors):
    settings = {**WORDS, "tie_weights": True, "init_embeddings": vectors}
    with pytest.raises(ConfigError, match=r"init_embeddings: .* 4 dimensions, .* 16; set --hidden-size 4"):
        seqgen.train(corpus, out=tmp_path / "run", **settings)

    run = seqgen.train(corpus, out=tmp_path / "run", **{**settings, "hidden_size": 4})

    assert run.model.head.weight is run.model.embedding.weight
    assert rows_of(run, "sailor")[0].argmax() == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**WORDS, "embedding_size": 8}, "^init_embeddings: .* 4 dimensions, .* 8; set --embedding-size 4"),
        ({**SMALL, **SMALL_RUNS["transformer"], "tokenizer": "word"}, "^init_embeddings: .*; set --hidden-size 4"),
        ({"cell": "ngram"}, "^init_embeddings: .*ngram"),
        ({**SMALL, "cell": "gru+ngram"}, r"^init_embeddings: .*gru\+ngram"),
        ({**GRU, "tokenizer": "char"}, "^init_embeddings: none of .* char"),
        ({"init_from": "somewhere"}, "^init_embeddings: .*--init-from"),
    ],
)
def test_init_embeddings_refuses_what_it_does_not_fit(corpus, tmp_path, vectors, settings, message):
    with pytest.raises(ConfigError, match=message):
        seqgen.train(corpus, out=tmp_path / "run", init_embeddings=vectors, **settings)

    assert not (tmp_path / "run").exists()


def test_init_embeddings_matches_words_to_pieces_with_the_space_before_them(corpus, tmp_path, vectors):
    settings = {**GRU, "tokenizer": "bpe", "vocab_size": 400}
    run = seqgen.train(corpus, out=tmp_path / "run", init_embeddings=vectors, **settings)

    rows = rows_of(run, " the", " river")
    assert (rows[0].argmax(), rows[1].argmin()) == (1, 2)
    assert json.loads((run.path / "config.json").read_text("utf-8"))["init_embeddings"] == str(vectors)

"""Vectors of runs of every kind, and of files."""

from __future__ import annotations

import numpy as np
import pytest

import seqgen
from seqgen.embeddings.vectors import WordVectors, write_text
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.runs.embeddings.load import load_embeddings
from seqgen.runs.embeddings.source import newest_source, read_vectors
from seqgen.runs.embeddings.train import train_embeddings

from ...small_runs import GRU


@pytest.fixture
def words(corpus, in_tmp):
    """A run of word vectors under runs/."""
    run = train_embeddings(corpus, vector_size=4, epochs=1, min_count=1, engine="torch")
    run.run()
    return run.path


def test_read_vectors_of_a_run_of_word_vectors(words):
    vectors = read_vectors(words)

    expected = load_embeddings(words)
    assert list(vectors.words) == list(expected.words)
    np.testing.assert_array_equal(vectors.vectors, expected.vectors)
    with pytest.raises(ConfigError, match=r"^member: "):
        read_vectors(words, "lstm")


def test_read_vectors_of_a_file(tmp_path):
    write_text(tmp_path / "v.txt", WordVectors(["가"], np.ones((1, 2), np.float32)))

    assert read_vectors(tmp_path / "v.txt").words == ["가"]
    with pytest.raises(ConfigError, match=r"^member: "):
        read_vectors(tmp_path / "v.txt", "lstm")
    with pytest.raises(TextError, match="gone"):
        read_vectors(tmp_path / "gone")
    with pytest.raises(RunError, match="not a run"):
        read_vectors(tmp_path)


def test_newest_source_prefers_word_vectors(corpus, words):
    model = seqgen.train("corpus.txt", **GRU).run()

    assert newest_source() == words
    assert read_vectors(model.path).size == 16


def test_newest_source_without_word_vectors_is_the_newest_run(corpus, in_tmp):
    with pytest.raises(RunError, match="seqgen embed train"):
        newest_source()
    run = seqgen.train("corpus.txt", cell="ngram").run()

    assert newest_source() == run.path
    with pytest.raises(ConfigError, match="ngram"):
        read_vectors(run.path)

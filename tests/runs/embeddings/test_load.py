"""Word vectors of a run, loaded or refused."""

from __future__ import annotations

import pytest

from seqgen.errors import RunError
from seqgen.runs.embeddings.load import load_embeddings
from seqgen.runs.embeddings.train import train_embeddings


@pytest.fixture
def run(corpus, in_tmp):
    made = train_embeddings(corpus, vector_size=4, epochs=1, engine="torch")
    made.run()
    return made.path


def test_newest_run_of_word_vectors_is_loaded(run):
    found = load_embeddings()

    assert str(run) == "runs/corpus-cbow"
    assert len(found) == len(found.counts) > 20
    assert (found.words == load_embeddings(run).words, found.size) == (True, 4)


def test_run_without_a_step_is_refused(corpus, in_tmp):
    made = train_embeddings(corpus, vector_size=4, epochs=1, engine="torch")
    made.close()

    with pytest.raises(RunError, match=r"before the first step.*--resume"):
        load_embeddings(made.path)


def test_damaged_vocabulary_is_refused(run):
    path = run / "vocabulary.json"
    content = path.read_bytes()

    for damaged in (content.replace(b"sailor", b"tailor"), content[:-5], b""):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=str(path)):
            load_embeddings(run)
    path.unlink()
    with pytest.raises(RunError, match=f"{path} is missing"):
        load_embeddings(run)


def test_load_embeddings_refuses_a_missing_run_and_an_invalid_config(in_tmp):
    with pytest.raises(RunError, match="seqgen embed train FILE"):
        load_embeddings()
    (in_tmp / "run").mkdir()
    (in_tmp / "run" / "config.json").write_text('{"kind": "word vectors"}', "utf-8")
    with pytest.raises(RunError, match=r"config\.json"):
        load_embeddings("run")
    (in_tmp / "run" / "config.json").write_text('["word vectors"', "utf-8")
    with pytest.raises(RunError, match=r"config\.json"):
        load_embeddings("run")

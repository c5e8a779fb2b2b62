"""`seqgen embed train`: its output, and what other commands do with its runs."""

from __future__ import annotations

import json

import pytest

ARGUMENTS = ("embed", "train", "corpus.txt", "--vector-size", 4, "--epochs", 2, "--engine", "torch", "--lowercase")


@pytest.fixture
def vectors(corpus, answers):
    answers(*ARGUMENTS, "--quiet")
    return "runs/corpus-cbow"


def test_train_says_what_is_trained_and_what_to_do_next(corpus, invoke):
    done = invoke(*ARGUMENTS, "--method", "skipgram")

    assert (done.exit_code, done.stdout) == (0, "")
    for word in ("runs/corpus-skipgram", "4 dimensions", "done: 2.00 of 2 epochs in ", "--run runs/corpus-skipgram"):
        assert word in done.stderr
    assert "words/s" in invoke(*ARGUMENTS, "--out", "again", terminal=100).stderr


@pytest.mark.slow
def test_runs_and_info_show_word_vectors(vectors, answers):
    (row,) = json.loads(answers("runs", "--json", "--task", "embed"))
    shown = answers("info")

    assert (row["run"], row["cell"], row["shape"], row["state"]) == (vectors, "cbow", "4d", "complete")
    assert row["parameters"] == 2 * 4 * row["vocab_size"]
    assert vectors in answers("runs")
    for word in (vectors, "complete", "lowercase", "negative", "vocabulary_sha256"):
        assert word in shown
    assert json.loads(answers("runs", "--json", "--task", "generate")) == []


def test_commands_of_texts_refuse_word_vectors_by_name(vectors, refuses):
    for command in (("sample",), ("eval",), ("compare", vectors)):
        run = () if command[0] == "compare" else ("--run", vectors)
        refuses(1, *command, *run, words=(vectors, "seqgen embed"))
    refuses(1, "sample", words=("seqgen train",))


def test_resume_of_a_complete_run_and_unknown_settings_are_refused(vectors, refuses, invoke):
    refuses(1, "embed", "train", "--resume", words=(vectors, "--epochs"))
    assert "continuing from epoch 2.00\n" in invoke("embed", "train", "--resume", "--epochs", 3).stderr
    refuses(2, *ARGUMENTS, "--loss", "softmax", "--negative", 3, words=("--negative",))

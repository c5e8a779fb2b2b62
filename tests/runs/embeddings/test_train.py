"""Runs of word vectors: created, resumed exactly, refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import seqgen
from seqgen.embeddings import corpus as corpus_module
from seqgen.embeddings import trainer as trainer_module
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.runs.directory import RunDirectory
from seqgen.runs.embeddings.load import load_embeddings
from seqgen.runs.embeddings.train import train_embeddings
from seqgen.training.events import Finished, Saved, Step

pytestmark = pytest.mark.slow

SMALL = {"vector_size": 8, "epochs": 3, "engine": "torch"}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Make steps of about 100 words, in blocks of 30."""
    monkeypatch.setattr(corpus_module, "BLOCK_WORDS", 30)
    for engine in ("torch", "softmax", "numba"):
        monkeypatch.setitem(trainer_module.STEP_WORDS, engine, 100)


def stop_after(steps):
    polls = iter(range(10_000))
    return lambda: next(polls) >= steps


def content(path):
    """Return what a run has learned, and its events without their times."""
    events = [json.loads(line) for line in (path / "metrics.jsonl").read_text("utf-8").splitlines()]
    timed = ("seconds", "tokens_per_second")
    return load_embeddings(path), [{k: v for k, v in event.items() if k not in timed} for event in events]


def assert_same(one, other):
    (vectors, events), (others, other_events) = content(one), content(other)
    assert vectors.words == others.words
    np.testing.assert_array_equal(vectors.vectors, others.vectors)
    assert events == other_events


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "cbow"},
        pytest.param(
            {"method": "skipgram", "loss": "softmax", "tokenizer": "bpe", "vocab_size": 300}, marks=pytest.mark.slow
        ),
        pytest.param({"method": "skipgram", "engine": "numba"}, marks=pytest.mark.slow),
    ],
)
def test_resumed_run_equals_straight_run(corpus, tmp_path, settings):
    settings = {**SMALL, **settings}
    straight = train_embeddings(corpus, out=tmp_path / "straight", **settings)
    *_, saved, finished = straight
    assert (type(saved), finished.reason, finished.step) == (Saved, "complete", finished.total_steps)

    for stop in (2, 9):
        *_, stopped = train_embeddings(
            corpus if stop == 2 else None, out=tmp_path / "resumed", stop=stop_after(2), resume=stop != 2,
            **(settings if stop == 2 else {}),
        )  # fmt: skip
        assert stopped.reason == "stopped"
    train_embeddings(out=tmp_path / "resumed", resume=True).run()

    assert finished.step > 6
    assert_same(straight.path, tmp_path / "resumed")


def test_same_seed_makes_the_same_vectors(corpus, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        train_embeddings(corpus, out=tmp_path / name, seed=seed, **SMALL).run()

    assert_same(tmp_path / "one", tmp_path / "two")
    assert (load_embeddings(tmp_path / "one").vectors != load_embeddings(tmp_path / "other").vectors).any()


def test_run_has_its_words_counts_and_losses(corpus, tmp_path):
    run = train_embeddings(corpus, out=tmp_path / "run", lowercase=True, sample=0.0, **{**SMALL, "epochs": 8})
    steps = [event for event in run if isinstance(event, Step)]

    vectors = load_embeddings(tmp_path / "run")
    text = corpus.read_text("utf-8").lower()
    assert vectors.words[:2] == ["the", "."]
    assert vectors.counts[vectors.index["sailor"]] == text.count("sailor") == 32
    assert "\n" not in vectors.index
    assert "<unk>" not in vectors.index
    assert vectors.size == 8
    assert steps[0].nats_per_token == pytest.approx(6 * np.log(2), rel=0.1)  # every sigmoid is 1/2
    assert steps[-1].nats_per_token < steps[0].nats_per_token
    assert sum(step.tokens for step in steps) == 8 * run.config.text.words


def test_lowercase_counts_words_that_occur_once_in_each_case(tmp_path):
    (tmp_path / "t.txt").write_text("The cat, the cat, THE cat, thE dog, tHe dog: A CAT and a cat", "utf-8")

    train_embeddings(tmp_path / "t.txt", out=tmp_path / "run", lowercase=True, epochs=1, engine="torch").run()

    vectors = load_embeddings(tmp_path / "run")
    assert dict(zip(vectors.words, vectors.counts, strict=True)) == {"cat": 5, "the": 5}


def test_notices_name_the_engine_and_the_words_that_are_left_out(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    settings = {name: value for name, value in SMALL.items() if name != "engine"}

    run = train_embeddings(corpus, out=tmp_path / "run", **settings)
    assert [any(word in notice for notice in run.notices) for word in ("seqgen[fast]", "--sample")] == [True, True]
    run.close()
    run = train_embeddings(corpus, out=tmp_path / "all", sample=0.0, **SMALL)
    assert not run.notices


def test_softmax_learns_which_words_follow(tmp_path):
    (tmp_path / "t.txt").write_text("the fat cat sat on the mat " * 30, "utf-8")

    run = train_embeddings(
        tmp_path / "t.txt", out=tmp_path / "run", loss="softmax", window=1, sample=0.0, vector_size=6, epochs=40
    )
    steps = [event for event in run if isinstance(event, Step)]

    assert steps[0].nats_per_token == pytest.approx(np.log(6), rel=0.02)
    assert steps[-1].nats_per_token < 0.9


def test_longer_epochs_continue_a_complete_run(corpus, tmp_path):
    train_embeddings(corpus, out=tmp_path / "run", **SMALL).run()
    with pytest.raises(RunError, match="--epochs"):
        train_embeddings(out=tmp_path / "run", resume=True)

    run = train_embeddings(out=tmp_path / "run", resume=True, epochs=5)
    *_, finished = run

    assert run.first_step == 3 * finished.total_steps / 5
    assert finished.reason == "complete"
    assert RunDirectory(run.path).read_embedding_config().training.epochs == 5


def test_timed_run_ends_on_time_and_takes_a_step(corpus, tmp_path):
    seconds = iter(np.arange(0, 10_000, 0.5))
    settings = {**SMALL, "epochs": None, "max_time": "30s"}
    settings.pop("epochs")

    *steps, _, finished = train_embeddings(corpus, out=tmp_path / "run", clock=lambda: float(next(seconds)), **settings)

    assert isinstance(finished, Finished)
    assert 30 <= finished.seconds < 34
    assert steps[-1].lr < 0.1 * steps[0].lr
    late = train_embeddings(
        corpus, out=tmp_path / "late", max_time=1, started=-100.0, clock=lambda: 0.0, engine="torch"
    )
    assert [type(event) for event in late] == [Step, Saved, Finished]


def test_compiling_is_not_training_time(corpus, tmp_path):
    now = 0.0

    def report(message, *_):
        nonlocal now
        now += {"choosing the words": 1.0, "compiling the training": 100.0, "loading torch": 100.0}.get(message, 0.0)

    run = train_embeddings(corpus, out=tmp_path / "run", max_time="60s", report=report, clock=lambda: now, **SMALL)
    *_, finished = run

    assert (finished.reason, finished.seconds) == ("complete", 1.0)
    assert run.epochs(finished.step) == 3


def test_settings_that_cannot_change_or_have_no_effect_are_refused(corpus, tmp_path):
    train_embeddings(corpus, out=tmp_path / "run", **{**SMALL, "epochs": 1}).run()

    for settings, word in (
        ({"resume": True, "window": 3}, "window"),
        ({"resume": True, "text": corpus}, "text"),
        ({"out": tmp_path / "new", "windows": 3}, "window"),
        ({"out": tmp_path / "new", "loss": "softmax", "negative": 3}, "negative"),
        ({"out": tmp_path / "new", "loss": "softmax", "engine": "numba"}, "engine"),
        ({"out": tmp_path / "new", "tokenizer": "auto"}, "tokenizer"),
        ({"out": tmp_path / "new", "task": "classify"}, "task"),
    ):
        text = None if settings.get("resume") else corpus
        with pytest.raises(ConfigError, match=word):
            train_embeddings(**{"text": text, "out": tmp_path / "run", **settings})
    with pytest.raises(RunError, match="exists"):
        train_embeddings(corpus, out=tmp_path / "run")
    with pytest.raises(TextError, match="--min-count"):
        train_embeddings(corpus, out=tmp_path / "new", min_count=1000)
    assert not (tmp_path / "new").exists()


def test_numba_that_is_missing_is_refused_before_the_text_is_read(corpus, tmp_path, monkeypatch):
    settings = {**SMALL, "engine": "numba"}
    train_embeddings(corpus, out=tmp_path / "run", stop=stop_after(1), **settings).run()
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "seqgen.embeddings.kernels")
    monkeypatch.delattr("seqgen.embeddings.kernels")
    done = []

    for text, out, wanted in ((corpus, "new", settings), (None, "run", {"resume": True})):
        with pytest.raises(ConfigError, match=r"^engine: .*seqgen\[fast\]"):
            train_embeddings(text, out=tmp_path / out, report=lambda message, *_: done.append(message), **wanted)
    assert done == []


def test_changed_text_and_foreign_vectors_are_refused(corpus, tmp_path):
    train_embeddings(corpus, out=tmp_path / "run", stop=stop_after(1), **SMALL).run()
    config = tmp_path / "run" / "config.json"
    before = config.read_bytes()
    config.write_bytes(before.replace(b'"window": 5', b'"window": 4'))
    with pytest.raises(RunError, match="another run"):
        train_embeddings(out=tmp_path / "run", resume=True)

    config.write_bytes(before)
    corpus.write_text("another text, another text", "utf-8")
    with pytest.raises(RunError, match="corpus"):
        train_embeddings(out=tmp_path / "run", resume=True)


def test_running_run_is_locked(corpus, tmp_path):
    run = train_embeddings(corpus, out=tmp_path / "run", **SMALL)

    with pytest.raises(RunError, match="being trained"):
        train_embeddings(out=tmp_path / "run", resume=True)
    run.run()
    with pytest.raises(RunError, match="started already"):
        iter(run)
    assert not RunDirectory(run.path).is_locked()


def test_run_of_word_vectors_is_not_a_model_of_text(corpus, tmp_path):
    train_embeddings(corpus, out=tmp_path / "run", **{**SMALL, "epochs": 1}).run()

    with pytest.raises(RunError, match=r"word vectors.*seqgen embed"):
        seqgen.load(tmp_path / "run")

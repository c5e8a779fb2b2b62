"""`seqgen demo`: train, write, measure."""

from __future__ import annotations

import signal
from functools import partial

import pytest
from seqgen.cli.commands import train
from seqgen.cli.commands.demo import demo
from seqgen.cli.training_screen import TrainingScreen


@pytest.fixture(autouse=True)
def _small(monkeypatch, corpus):
    """The demo on a small text, with a small model: all else is as it is."""
    small = partial(train.run_training, hidden_size=16, max_steps=3, precision="fp32")
    monkeypatch.setattr(demo, "CORPUS", str(corpus))
    monkeypatch.setattr(train, "run_training", small)
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.0)


def test_demo_trains_samples_and_evaluates(invoke, in_tmp):
    result = invoke("demo")

    assert result.exit_code == 0, result.output
    assert (in_tmp / "runs" / "corpus-lstm+ngram" / "mixture.json").is_file()
    assert result.stdout.startswith("The ")
    assert "bits per byte" in result.stdout
    for words in ("1. Train: seqgen train", "2. Sample: seqgen sample", "3. Measure", "done: 3 steps", "seqgen runs"):
        assert words in result.stderr


def test_quiet_demo_prints_only_sample_and_table(invoke):
    result = invoke("demo", "--quiet")

    assert result.exit_code == 0
    assert result.stderr == ""
    assert "bits per byte" in result.stdout


def test_signal_after_last_step_ends_demo(invoke, in_tmp, monkeypatch):
    show, names = TrainingScreen.show, []

    def interrupted(screen, event):
        show(screen, event)
        names.append(type(event).__name__)
        if "Mixed" in names and names[-1] == "Finished":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(TrainingScreen, "show", interrupted)

    result = invoke("demo")

    assert result.exit_code == 143
    assert "done: 3 steps" in result.stderr
    assert result.stdout == ""


def test_demo_of_translation_trains_translates_evaluates_and_shows_attention(invoke, in_tmp, monkeypatch, pairs):
    monkeypatch.setattr(demo, "PAIRS", str(pairs))
    monkeypatch.setattr(demo, "DATES", ("123", "45"))
    monkeypatch.setattr(demo, "TEST", str(pairs))
    monkeypatch.setattr(train, "run_training", partial(train.run_training, task="translate"))

    result = invoke("demo", "--task", "translate")

    assert result.exit_code == 0, result.output
    assert (in_tmp / "runs" / "pairs-lstm" / "model.safetensors").is_file()
    assert result.stdout.startswith("123 -> ")
    assert "exact match" in result.stdout
    assert "<end>" in result.stdout
    for words in ("1. Train: seqgen train", "2. Translate: seqgen translate", "3. Measure", "4. What", "done: 3 steps"):
        assert words in result.stderr


def test_quiet_demo_of_translation_prints_only_the_product(invoke, in_tmp, monkeypatch, pairs):
    monkeypatch.setattr(demo, "PAIRS", str(pairs))
    monkeypatch.setattr(demo, "TEST", str(pairs))
    monkeypatch.setattr(train, "run_training", partial(train.run_training, task="translate"))

    result = invoke("demo", "--task", "translate", "--quiet")

    assert (result.exit_code, result.stderr) == (0, "")


def test_out_without_memory_is_refused(refuses):
    refuses(2, "demo", "--out", "chart.html", words=("--out: ", "--task memory"))

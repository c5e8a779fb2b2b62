"""Training runs as a script uses them: events, isolation from the caller, closing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError

from ..comparing import assert_same_run
from ..small_runs import GRU

TWO_FAMILIES = ["lstm", "transformer"]
"""One that carries a state between batches, one that reads windows; both with dropout."""


@pytest.mark.parametrize("settings", TWO_FAMILIES, indirect=True)
def test_caller_between_events_does_not_change_a_run(corpus, tmp_path, settings, straight):
    run = seqgen.train(corpus, out=tmp_path / "run", **settings)
    for number, event in enumerate(run):
        torch.manual_seed(number)
        torch.rand(3)
        (run.model.train if number % 2 else run.model.eval)()
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        if isinstance(event, seqgen.Saved):
            seqgen.load(run.path).generate(max_new_tokens=3)

    assert_same_run(run.path, straight)


@pytest.mark.parametrize("settings", TWO_FAMILIES, indirect=True)
def test_callers_autocast_and_no_grad_do_not_change_a_run(corpus, tmp_path, settings, straight):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        run = seqgen.train(corpus, out=tmp_path / "run", **settings)
        list(run)

    assert_same_run(run.path, straight)


@pytest.mark.parametrize("settings", TWO_FAMILIES, indirect=True)
def test_training_does_not_change_the_random_state(corpus, tmp_path, settings):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    seqgen.train(corpus, out=tmp_path / "run", **settings).run()

    assert torch.equal(torch.rand(1), expected)


def test_iteration_yields_events_and_run_returns_the_trained_run(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    assert (training.total_steps, training.first_step) == (8, 0)

    kinds = [type(event).__name__ for event in training]

    pause = ["Norms", "Evaluated", "Sampled", "Saved"]
    assert kinds == ["Step"] * 4 + pause + ["Step"] * 4 + pause + ["Finished"]
    assert seqgen.train(corpus, out=tmp_path / "other", **GRU).run().generate(max_new_tokens=20) == (
        seqgen.load(tmp_path / "run").generate(max_new_tokens=20)
    )


def test_preparation_is_reported(corpus, tmp_path):
    messages = []

    seqgen.train(corpus, out=tmp_path / "run", report=lambda *given: messages.append(given), **GRU)

    size = len(corpus.read_bytes())
    assert messages[:2] == [(f"reading {corpus}", 0, size), (f"reading {corpus}", size, size)]
    assert any(message.startswith("measuring") for message, *_ in messages)


def test_closed_run_yields_no_more_events(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    events = iter(run)
    next(events)

    run.close()

    assert list(events) == []
    assert seqgen.train(out=run.path, resume=True).first_step == 0


def test_run_can_be_iterated_once(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    list(run)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()

    with pytest.raises(RunError, match="started already"):
        iter(run)
    with pytest.raises(RunError, match="started already"):
        run.run()

    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_no_run_imports_the_compiler_of_torch(corpus, tmp_path):
    """torch._dynamo takes a second to import, at the start of each command."""
    script = """
import sys, seqgen
_, corpus, out = sys.argv
for cell in ("lstm+ngram", "transformer"):
    run = seqgen.train(corpus, out=f"{out}-{cell}", cell=cell, max_steps=2, hidden_size=8).run()
    run.generate(max_new_tokens=3)
    run.evaluate(corpus)
assert "torch" in sys.modules and "torch._dynamo" not in sys.modules
"""
    command = [sys.executable, "-c", script, str(corpus), str(tmp_path / "run")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_corpus_of_another_task_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="corpus:toy-grammar is for --task tag"):
        seqgen.train("corpus:toy-grammar", out=tmp_path / "run", task="classify")

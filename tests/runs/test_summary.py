"""Summaries of runs, from their files."""

from __future__ import annotations

import math

import pytest

import seqgen
from seqgen.errors import RunError
from seqgen.models.base import parameter_count
from seqgen.runs.directory import RunDirectory
from seqgen.runs.summary import count_parameters, summarize

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


@pytest.fixture
def train(corpus, tmp_path):
    """Train a small run until `stop`; return its directory, config and events."""

    def make(stop=lambda: False, **settings):
        run = seqgen.train(corpus, out=tmp_path / "run", stop=stop, **{**SMALL, **settings})
        events = list(run)
        return RunDirectory(run.path), run.config, events

    return make


def test_summary_of_a_complete_run(train):
    directory, config, events = train()

    summary = summarize(directory, config)

    best = min((one for one in events if isinstance(one, seqgen.Evaluated)), key=lambda one: one.nats_per_token)
    assert (summary.state, summary.steps, summary.total_steps) == ("complete", 6, 6)
    assert summary.run == str(directory.path)
    assert (summary.cell, summary.shape) == ("gru", "1x16")
    assert (summary.tokenizer, summary.vocab_size, summary.text) == ("char", config.tokenizer.vocab_size, "corpus.txt")
    assert (summary.best_step, summary.best_bits_per_byte) == (best.step, best.bits_per_byte)
    assert summary.best_bits_per_character == best.bits_per_character
    assert summary.seconds == events[-1].seconds
    assert summary.parameters == parameter_count(seqgen.load(directory.path).model)


def test_summary_counts_tied_weights_once(train):
    directory, config, _ = train(tie_weights=True)

    assert summarize(directory, config).parameters == parameter_count(seqgen.load(directory.path).model)


def test_summary_of_a_stopped_run(train):
    polls = iter([False] * 4 + [True])
    directory, config, _ = train(stop=lambda: next(polls))

    summary = summarize(directory, config)

    assert (summary.state, summary.steps, summary.total_steps, summary.best_step) == ("stopped", 4, 6, 3)


def test_summary_of_a_killed_run_is_unfinished(train):
    directory, config, _ = train()
    lines = directory.metrics.read_bytes().splitlines(keepends=True)
    directory.metrics.write_bytes(b"".join(lines[:-2]) + lines[-2][:10])

    assert summarize(directory, config).state == "unfinished"


def test_summary_of_a_run_killed_after_its_last_save_is_complete(train):
    directory, config, _ = train()
    lines = directory.metrics.read_bytes().splitlines(keepends=True)
    directory.metrics.write_bytes(b"".join(lines[:-1]))

    assert summarize(directory, config).state == "complete"


def test_summary_after_a_failed_last_save_is_unfinished(train):
    directory, config, _ = train()
    lines = directory.metrics.read_text("utf-8").splitlines(keepends=True)
    failed = '{"event": "save_failed", "step": 6, "reason": "the checkpoint could not be written: no space"}\n'
    directory.metrics.write_text("".join(lines[:-1]) + failed, "utf-8")

    assert summarize(directory, config).state == "unfinished"


def test_summary_without_validation_has_no_best(train):
    directory, config, _ = train(valid_split="none")

    summary = summarize(directory, config)

    assert (summary.state, summary.best_bits_per_byte, summary.best_step) == ("complete", None, None)


def test_summary_without_weights_is_empty(train):
    directory, config, _ = train()
    directory.weights.unlink()
    directory.metrics.unlink()

    summary = summarize(directory, config)

    assert (summary.state, summary.parameters, summary.seconds) == ("empty", None, 0.0)
    assert (summary.steps, summary.total_steps) == (0, 0)


INVALID_LINES = [
    "not json", "[]", "3", '{"step": 1}', '{"event": "step"}', '{"event": "step", "step": "one"}',
    '{"event": "finished", "step": 1, "reason": "tired"}', '{"event": "evaluated", "step": 1}',
]  # fmt: skip


def test_invalid_metrics_are_named(train):
    directory, config, _ = train(max_steps=1)
    for line in INVALID_LINES:
        directory.metrics.write_text(f"{line}\n", "utf-8")

        with pytest.raises(RunError, match=r"metrics\.jsonl"):
            summarize(directory, config)


def test_summary_with_a_note_leaves_out_damaged_lines(train):
    directory, config, _ = train(max_steps=1)
    expected, notes = summarize(directory, config), []
    directory.metrics.write_bytes(b"damaged\n" + directory.metrics.read_bytes())

    assert summarize(directory, config, notes.append) == expected
    assert len(notes) == 1
    assert "line 1 " in notes[0]


def test_count_parameters_reads_the_header(train):
    directory, config, _ = train()
    weights = seqgen.load(directory.path).model.state_dict()

    assert count_parameters(directory.weights) == sum(math.prod(tensor.shape) for tensor in weights.values())
    for cut in (0, 4, 100, -1):
        directory.weights.write_bytes(directory.weights.read_bytes()[:cut])
        with pytest.raises(RunError, match=r"model\.safetensors"):
            count_parameters(directory.weights)
        with pytest.raises(RunError, match=r"model\.safetensors"):
            summarize(directory, config)

"""A training run as a script sees it: its events, and that nobody can change it between them."""

from __future__ import annotations

import pytest
import torch

import seqgen
from seqgen.errors import RunError

from ..comparing import assert_same_run
from ..small_runs import GRU


def test_nobody_can_change_a_run_between_its_events(corpus, tmp_path, settings, straight):
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


def test_what_the_caller_has_switched_on_or_off_changes_no_run(corpus, tmp_path, settings, straight):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        run = seqgen.train(corpus, out=tmp_path / "run", **settings)
        list(run)

    assert_same_run(run.path, straight)


def test_training_leaves_the_random_state_as_it_was(corpus, tmp_path, settings):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    seqgen.train(corpus, out=tmp_path / "run", **settings).run()

    assert torch.equal(torch.rand(1), expected)


def test_the_events_come_as_documented_and_run_gives_the_trained_run(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    assert (training.total_steps, training.first_step) == (8, 0)

    kinds = [type(event).__name__ for event in training]

    pause = ["Evaluated", "Sampled", "Saved"]
    assert kinds == ["Step"] * 4 + pause + ["Step"] * 4 + pause + ["Finished"]
    assert seqgen.train(corpus, out=tmp_path / "other", **GRU).run().generate(max_new_tokens=20) == (
        seqgen.load(tmp_path / "run").generate(max_new_tokens=20)
    )


def test_what_is_prepared_is_reported(corpus, tmp_path):
    messages = []

    seqgen.train(corpus, out=tmp_path / "run", report=lambda *told: messages.append(told), **GRU)

    size = len(corpus.read_bytes())
    assert messages[:2] == [(f"reading {corpus}", 0, size), (f"reading {corpus}", size, size)]
    assert any(message.startswith("measuring") for message, *_ in messages)


def test_a_run_that_is_closed_trains_no_more(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    events = iter(run)
    next(events)

    run.close()

    assert list(events) == []
    assert seqgen.train(out=run.path, resume=True).first_step == 0


def test_a_run_can_be_gone_through_once(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    list(run)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()

    with pytest.raises(RunError, match="has been begun already"):
        iter(run)
    with pytest.raises(RunError, match="has been begun already"):
        run.run()

    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before

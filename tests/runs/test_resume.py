"""A run that goes on: from where, with what changed, and what is said of it."""

from __future__ import annotations

import json
import shutil
from random import Random

import pytest
import torch

import seqgen
from seqgen import tokenizers
from seqgen.errors import ConfigError, RunError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.metrics import read_metrics

from ..comparing import assert_same_run
from ..small_runs import GRU


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_size": 8}, "hidden_size is 16, not 8"),
        ({"seed": 1}, "seed is 0, not 1"),
        ({"max_steps": 20, "lr": 0.1}, "lr is 0.008, not 0.1"),
        ({"cell": "lstm"}, "cell is gru, not lstm"),
        ({"text": "another.txt"}, "text is .*corpus.txt, not .*another.txt"),
        ({"tokenizer": "byte"}, "tokenizer is char, not byte"),
        ({"vocab_size": 300}, "vocab_size is None, not 300"),
        ({"init_from": "another"}, "init_from is None, not .*another"),
        ({"valid_share": 0.1}, "valid_share is None, not 0.1"),
    ],
)
def test_what_differs_in_a_resumed_run_is_refused_by_name(corpus, tmp_path, settings, named):
    seqgen.train(corpus, out=tmp_path / "run", **GRU).run()
    before = (tmp_path / "run" / "config.json").read_bytes()

    with pytest.raises(ConfigError, match=named):
        seqgen.train(out=tmp_path / "run", resume=True, **settings)
    with pytest.raises(RunError, match="complete after 8 steps"):
        seqgen.train(out=tmp_path / "run", resume=True)

    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_the_command_that_began_a_run_resumes_it(corpus, tmp_path):
    tokenizers.build([corpus.read_text("utf-8")], TokenizerConfig()).save(tmp_path / "tokenizer")
    for name, extra in {
        "plain": {},
        "subwords": {"tokenizer": "bpe", "vocab_size": 300, "valid": corpus, "device": "auto", "precision": "auto"},
        "built": {"tokenizer": tmp_path / "tokenizer"},
        "epochs": {"max_steps": None, "max_epochs": 0.2},
        "timed": {"max_steps": None, "max_time": "1h"},
    }.items():
        settings = {key: value for key, value in {**GRU, **extra}.items() if value is not None}
        polls = iter([False, False, True])
        list(seqgen.train(corpus, out=tmp_path / name, stop=lambda polls=polls: next(polls), **settings))

        run = seqgen.train(corpus, out=tmp_path / name, resume=True, **settings)

        assert (run.first_step, run.notices) == (2, [])
        run.close()


def test_without_out_the_newest_run_on_the_same_text_is_resumed(corpus, in_tmp):
    other = corpus.with_name("other.txt")
    other.write_bytes(corpus.read_bytes())
    for text in (corpus, other):
        list(seqgen.train(text, stop=lambda: True, **GRU))

    assert seqgen.train(resume=True).path.name == "other-gru"
    assert seqgen.train(corpus, resume=True, **GRU).path.name == "corpus-gru"


def test_a_longer_run_goes_on_from_the_last_step(corpus, tmp_path):
    seqgen.train(corpus, out=tmp_path / "run", **GRU).run()

    longer = seqgen.train(out=tmp_path / "run", resume=True, max_steps=10)

    assert (longer.first_step, longer.total_steps) == (8, 10)
    assert [event.step for event in longer if isinstance(event, seqgen.Step)] == [9, 10]
    assert json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["training"]["max_steps"] == 10
    assert any("new schedule" in notice for notice in longer.notices)


def test_a_run_that_learns_its_text_by_heart_says_so_once_resumed_or_not(tmp_path):
    random = Random(0)
    for name in ("text", "valid"):  # nothing but chance, so that there is nothing else to learn
        (tmp_path / name).write_text("".join(random.choices("abcd ", k=600)), "utf-8")
    settings = {**GRU, "hidden_size": 48, "max_steps": 160, "eval_every": 20, "lr": 0.02, "valid": tmp_path / "valid"}
    straight = seqgen.train(tmp_path / "text", out=tmp_path / "straight", **settings)
    (said,) = [event for event in straight if isinstance(event, seqgen.Overfitting)]
    events = []
    for steps in (said.step - 15, 10, 10, 1000):
        polls = iter([False] * steps + [True])
        resumed = {"resume": True} if events else {"text": tmp_path / "text", **settings}
        run = seqgen.train(out=tmp_path / "cut", stop=lambda polls=polls: next(polls), **resumed)
        events += list(run)

    assert [event for event in events if isinstance(event, seqgen.Overfitting)] == [said]
    assert said.best_nats_per_token < said.nats_per_token
    assert_same_run(run.path, straight.path)


def test_a_run_stopped_before_its_first_step_has_no_weights_and_is_the_newest(corpus, in_tmp):
    run = seqgen.train(corpus, stop=lambda: True, **GRU)
    assert [type(event) for event in run] == [seqgen.Finished]
    assert not (run.path / "model.safetensors").exists()

    resumed = seqgen.train(resume=True)
    assert (resumed.path, resumed.first_step) == (run.path, 0)


@pytest.fixture
def patient(corpus, tmp_path):
    """A run that ended after 6 of its 20 steps, for want of gain."""
    settings = {**GRU, "max_steps": 20, "eval_every": 2, "patience": 2, "lr": 1e-14}
    run = seqgen.train(corpus, out=tmp_path / "patient", **settings)
    assert list(run)[-1].reason == "patience"
    assert json.loads((run.path / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"] == 6
    return run.path


def test_a_run_that_ended_for_want_of_gain_is_complete(patient):
    before = {path: path.read_bytes() for path in patient.rglob("*") if path.is_file()}

    with pytest.raises(RunError, match="complete after 6 steps"):
        seqgen.train(out=patient, resume=True)

    assert {path: path.read_bytes() for path in patient.rglob("*") if path.is_file()} == before


def test_made_longer_it_is_patient_anew(patient):
    longer = seqgen.train(out=patient, resume=True, max_steps=30)

    assert [event.step for event in longer if isinstance(event, seqgen.Step)] == [7, 8, 9, 10]


def test_a_refused_resume_leaves_the_weights_alone(corpus, tmp_path):
    polls = iter([False] * 6 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **{**GRU, "eval_every": 2})
    list(run)
    (run.path / "checkpoints" / "step-000006" / "weights.safetensors").unlink()
    corpus.write_text("another text " * 400, "utf-8")
    before = (run.path / "model.safetensors").read_bytes()

    with pytest.raises(RunError, match="not the text that this run was started on"):
        seqgen.train(out=run.path, resume=True)

    assert (run.path / "model.safetensors").read_bytes() == before


def test_another_version_is_said(stopped):
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    (stopped / "config.json").write_text(json.dumps({**content, "seqgen": "0.0.1"}), "utf-8")

    (notice,) = seqgen.train(out=stopped, resume=True).notices

    assert notice.startswith(f"seqgen is {seqgen.__version__}, and was 0.0.1: ")


@pytest.mark.parametrize("content", [b"", b"x" * 9000, None])
def test_metrics_that_are_not_the_runs_are_set_aside_and_begin_anew(stopped, content):
    metrics = stopped / "metrics.jsonl"
    metrics.unlink()
    if content is not None:
        metrics.write_bytes(content)

    resumed = seqgen.train(out=stopped, resume=True)
    list(resumed)

    (notice,) = resumed.notices
    assert notice.startswith(f"{metrics} is not as step-000003 knew it: its lines begin anew at this step")
    assert [event["step"] for event in read_metrics(metrics) if event["event"] == "step"] == [4, 5, 6, 7, 8]
    if content is None:
        assert not list(stopped.glob("metrics.damaged-*"))
    else:
        assert (stopped / "metrics.damaged-1.jsonl").read_bytes() == content
        assert notice.endswith("what was there is metrics.damaged-1.jsonl")


@pytest.fixture
def stopped(corpus, tmp_path):
    """A gru's run, stopped after 3 of its 8 steps."""
    polls = iter([False] * 3 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **GRU)
    list(run)
    return run.path


def test_a_run_can_go_on_in_another_precision_and_says_that_it_is_another_run_then(stopped):
    run = seqgen.train(out=stopped, resume=True, device="cpu", precision="bf16", max_steps=8)

    assert run.notices == [
        "precision is bf16, and was fp32: the run goes on, but not to the bit as it would have",
    ]
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    assert content["training"]["precision"] == content["environment"]["precision"] == "bf16"
    assert [event.step for event in run if isinstance(event, seqgen.Step)] == [4, 5, 6, 7, 8]


def test_a_run_that_goes_on_as_it_was_has_nothing_to_say(stopped):
    before = (stopped / "config.json").read_bytes()

    assert seqgen.train(out=stopped, resume=True, max_steps=8, precision="fp32", device="cpu").notices == []
    assert (stopped / "config.json").read_bytes() == before


def test_a_run_that_goes_on_elsewhere_says_what_is_different(stopped):
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    content["environment"] |= {"torch": "1.0"}
    (stopped / "config.json").write_text(json.dumps(content), "utf-8")

    notices = seqgen.train(out=stopped, resume=True).notices

    assert [notice.split(",")[0] for notice in notices] == [f"torch is {torch.__version__}"]
    assert seqgen.train(out=stopped, resume=True).notices == []


def test_what_a_killed_process_left_half_written_is_removed(stopped):
    (stopped / ".tmp-model.safetensors-123").write_bytes(b"half")
    (stopped / "checkpoints" / ".tmp-step-000006-abc").mkdir()

    seqgen.train(out=stopped, resume=True)

    assert [path for path in stopped.rglob("*") if path.name.startswith(".tmp-")] == []


def test_what_was_passed_over_is_said(stopped):
    (stopped / "checkpoints" / "step-000006").mkdir()

    (notice,) = seqgen.train(out=stopped, resume=True).notices

    assert "step-000006/state.json cannot be read" in notice
    assert notice.endswith("going on from step-000003, before it")


def test_a_run_whose_checkpoints_are_all_damaged_does_not_go_on(stopped):
    for weights in stopped.glob("checkpoints/*/weights.safetensors"):
        weights.write_bytes(b"")

    with pytest.raises(RunError, match=r"no checkpoint is whole: .*weights\.safetensors is not as it was written"):
        seqgen.train(out=stopped, resume=True)


def test_a_checkpoint_that_is_not_whole_is_passed_over(corpus, tmp_path, settings, straight):
    polls = iter([False] * 6 + [True])
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings))
    (tmp_path / "run" / "checkpoints" / "step-000006" / "state.json").unlink()

    resumed = seqgen.train(out=tmp_path / "run", resume=True)
    assert resumed.first_step == 4
    list(resumed)

    assert_same_run(resumed.path, straight)


def test_without_a_checkpoint_nothing_is_said_to_be_removed(stopped):
    shutil.rmtree(stopped / "checkpoints")

    with pytest.raises(RunError, match=r"has no checkpoint to go on from; .*--init-from"):
        seqgen.train(out=stopped, resume=True)

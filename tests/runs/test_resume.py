"""Resuming a run: from where, with which changes, and with which notices."""

from __future__ import annotations

import itertools
import json
import shutil
from random import Random

import pytest
import torch

import seqgen
from seqgen import tokenizers
from seqgen.errors import ConfigError, RunError
from seqgen.tokenizers import auto
from seqgen.tokenizers.auto import Choice
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.metrics import read_metrics

from ..comparing import assert_same_run, contents_of
from ..small_runs import GRU, SMALL, SMALL_RUNS


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_size": 8}, "hidden_size is 16, not 8"),
        ({"seed": 1}, "seed is 0, not 1"),
        ({"max_steps": 20, "lr": 0.1}, "lr is 0.008, not 0.1"),
        ({"cell": "lstm"}, "cell is gru, not lstm"),
        ({"text": "another.txt"}, "text is .*corpus.txt, not .*another.txt"),
        ({"tokenizer": "byte"}, "tokenizer is char, not byte"),
        ({"tokenizer": "auto", "vocab_size": 9}, "vocab_size is None, not 9"),
        ({"vocab_size": 300}, "vocab_size is None, not 300"),
        ({"init_from": "another"}, "init_from is None, not .*another"),
        ({"valid_share": 0.1}, "valid_share is None, not 0.1"),
    ],
)
def test_resume_refuses_a_changed_setting_by_name(complete, settings, named):
    before = contents_of(complete)

    with pytest.raises(ConfigError, match=named):
        seqgen.train(out=complete, resume=True, **settings)

    assert contents_of(complete) == before


def test_resume_refuses_a_complete_run(complete):
    before = contents_of(complete)

    with pytest.raises(RunError, match="complete after 8 steps"):
        seqgen.train(out=complete, resume=True)

    assert contents_of(complete) == before


@pytest.mark.slow
def test_command_that_started_a_run_resumes_it(corpus, tmp_path):
    tokenizers.build([corpus.read_text("utf-8")], TokenizerConfig()).save(tmp_path / "tokenizer")
    for name, extra in {
        "plain": {},
        "subwords": {"tokenizer": "bpe", "vocab_size": 300, "valid": corpus, "device": "auto", "precision": "auto"},
        "built": {"tokenizer": tmp_path / "tokenizer"},
        "chosen": {"tokenizer": "auto"},
        "epochs": {"max_steps": None, "max_epochs": 0.2},
        "timed": {"max_steps": None, "max_time": "1h"},
    }.items():
        settings = {key: value for key, value in {**GRU, **extra}.items() if value is not None}
        polls = iter([False, False, True])
        list(seqgen.train(corpus, out=tmp_path / name, stop=lambda polls=polls: next(polls), **settings))

        run = seqgen.train(corpus, out=tmp_path / name, resume=True, **settings)

        assert (run.first_step, run.notices) == (2, [])
        run.close()


def test_resume_keeps_the_tokenizer_that_auto_chose(corpus, tmp_path, monkeypatch):
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: True, **GRU))
    monkeypatch.setattr(auto, "CHOICES", (Choice(0, 0.0, "bpe", 300),))

    run = seqgen.train(corpus, out=tmp_path / "run", resume=True, tokenizer="auto", max_steps=9).run()

    assert (run.config.tokenizer.kind, run.config.tokenizer.auto) == ("char", True)


def test_resume_of_a_named_tokenizer_refuses_auto(corpus, tmp_path):
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: True, tokenizer="char", **GRU))

    with pytest.raises(ConfigError, match="tokenizer is char, not auto"):
        seqgen.train(corpus, out=tmp_path / "run", resume=True, tokenizer="auto")


def test_resume_without_out_finds_the_newest_run_on_the_text(corpus, in_tmp):
    other = corpus.with_name("other.txt")
    other.write_bytes(corpus.read_bytes())
    for text in (corpus, other):
        list(seqgen.train(text, stop=lambda: True, **GRU))

    assert seqgen.train(resume=True).path.name == "other-gru"
    assert seqgen.train(corpus, resume=True, **GRU).path.name == "corpus-gru"


def test_resume_with_more_steps_continues(corpus, tmp_path):
    seqgen.train(corpus, out=tmp_path / "run", **GRU).run()

    longer = seqgen.train(out=tmp_path / "run", resume=True, max_steps=10)

    assert (longer.first_step, longer.total_steps) == (8, 10)
    assert [event.step for event in longer if isinstance(event, seqgen.Step)] == [9, 10]
    assert json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["training"]["max_steps"] == 10
    assert any("new schedule" in notice for notice in longer.notices)


def test_resume_with_the_same_time_and_more_steps_continues(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.02)
    seqgen.train(corpus, out=tmp_path / "run", max_time="1h", **GRU).close()

    longer = seqgen.train(out=tmp_path / "run", resume=True, max_time="1h", max_steps=10)

    assert longer.total_steps == 10
    longer.close()


def test_resume_refuses_less_time(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.02)
    seqgen.train(corpus, out=tmp_path / "run", max_time="1h", **GRU).close()

    with pytest.raises(ConfigError, match=r"^max_time: this run is planned for 3600 s; it can only become longer"):
        seqgen.train(out=tmp_path / "run", resume=True, max_time="59m")


@pytest.mark.slow
def test_overfitting_is_reported_once_also_when_resumed(tmp_path):
    random = Random(0)
    for name in ("text", "valid"):  # random, so that it can only be memorized
        (tmp_path / name).write_text("".join(random.choices("abcd ", k=600)), "utf-8")
    settings = {**GRU, "hidden_size": 48, "max_steps": 160, "eval_every": 20, "lr": 0.02, "valid": tmp_path / "valid"}
    straight = seqgen.train(tmp_path / "text", out=tmp_path / "straight", **settings)
    (reported,) = [event for event in straight if isinstance(event, seqgen.Overfitting)]
    events = []
    for steps in (reported.step - 15, 10, 10, 1000):
        polls = iter([False] * steps + [True])
        resumed = {"resume": True} if events else {"text": tmp_path / "text", **settings}
        run = seqgen.train(out=tmp_path / "cut", stop=lambda polls=polls: next(polls), **resumed)
        events += list(run)

    assert [event for event in events if isinstance(event, seqgen.Overfitting)] == [reported]
    assert reported.best_nats_per_token < reported.nats_per_token
    assert_same_run(run.path, straight.path)


def test_run_stopped_before_its_first_step_can_be_resumed(corpus, in_tmp):
    run = seqgen.train(corpus, stop=lambda: True, **GRU)
    assert [type(event) for event in run] == [seqgen.Finished]
    assert not (run.path / "model.safetensors").exists()

    resumed = seqgen.train(resume=True)
    assert (resumed.path, resumed.first_step) == (run.path, 0)


@pytest.fixture
def patient(corpus, tmp_path):
    """A run that ended by patience after 6 of its 20 steps."""
    settings = {**GRU, "max_steps": 20, "eval_every": 2, "patience": 2, "lr": 1e-14}
    run = seqgen.train(corpus, out=tmp_path / "patient", **settings)
    assert list(run)[-1].reason == "patience"
    assert json.loads((run.path / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"] == 6
    return run.path


def test_run_ended_by_patience_is_complete(patient):
    before = contents_of(patient)

    with pytest.raises(RunError, match="complete after 6 steps"):
        seqgen.train(out=patient, resume=True)

    assert contents_of(patient) == before


def test_patience_starts_again_in_a_longer_run(patient):
    longer = seqgen.train(out=patient, resume=True, max_steps=30)

    assert [event.step for event in longer if isinstance(event, seqgen.Step)] == [7, 8, 9, 10]


def test_refused_resume_does_not_change_the_weights(corpus, tmp_path):
    polls = iter([False] * 6 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **{**GRU, "eval_every": 2})
    list(run)
    (run.path / "checkpoints" / "step-000006" / "weights.safetensors").unlink()
    corpus.write_text("another text " * 400, "utf-8")
    before = (run.path / "model.safetensors").read_bytes()

    with pytest.raises(RunError, match="not the text that this run was started on"):
        seqgen.train(out=run.path, resume=True)

    assert (run.path / "model.safetensors").read_bytes() == before


def test_resume_reports_another_version(stopped):
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    (stopped / "config.json").write_text(json.dumps({**content, "seqgen": "0.0.1"}), "utf-8")

    (notice,) = seqgen.train(out=stopped, resume=True).notices

    assert seqgen.__version__ in notice
    assert "0.0.1" in notice


@pytest.mark.parametrize("kept", [None, 0, 1, 2])
def test_resume_with_missing_or_damaged_metrics_continues(stopped, kept):
    """A file of `kept` complete lines and a half one; None: no file."""
    metrics = stopped / "metrics.jsonl"
    lines = metrics.read_bytes().splitlines(keepends=True)
    metrics.unlink()
    if kept is not None:
        metrics.write_bytes(b"".join(lines[:kept]) + lines[kept][:9])

    resumed = seqgen.train(out=stopped, resume=True)
    list(resumed)

    (notice,) = resumed.notices
    assert str(metrics) in notice
    expected = [*range(1, (kept or 0) + 1), 4, 5, 6, 7, 8]
    assert [event["step"] for event in read_metrics(metrics) if event["event"] == "step"] == expected


@pytest.fixture(scope="module")
def _module_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


def train_once(corpus, folder, name, steps):
    """Train a gru for at most this many of its 8 steps, once a module."""
    path = folder / name
    if not path.exists():
        text = shutil.copy(corpus, folder)
        polls = itertools.chain([False] * steps, itertools.repeat(True))
        list(seqgen.train(text, out=path, stop=lambda: next(polls), **GRU))
    return path


@pytest.fixture
def complete(corpus, _module_folder):
    """A complete run; do not change it."""
    return train_once(corpus, _module_folder, "complete", 9)


@pytest.fixture
def stopped(corpus, tmp_path, _module_folder):
    """A copy of a run that was stopped after 3 of its 8 steps."""
    return shutil.copytree(train_once(corpus, _module_folder, "stopped", 3), tmp_path / "run")


def test_resume_in_another_precision_is_reported(stopped):
    run = seqgen.train(out=stopped, resume=True, device="cpu", precision="bf16", max_steps=8)

    (notice,) = run.notices
    assert notice.startswith("precision is bf16, and was fp32")
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    assert content["training"]["precision"] == content["environment"]["precision"] == "bf16"
    assert [event.step for event in run if isinstance(event, seqgen.Step)] == [4, 5, 6, 7, 8]


def test_unchanged_resume_has_no_notices(stopped):
    before = (stopped / "config.json").read_bytes()

    assert seqgen.train(out=stopped, resume=True, max_steps=8, precision="fp32", device="cpu").notices == []
    assert (stopped / "config.json").read_bytes() == before


def test_resume_in_another_environment_is_reported(stopped):
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    content["environment"] |= {"torch": "1.0"}
    (stopped / "config.json").write_text(json.dumps(content), "utf-8")

    notices = seqgen.train(out=stopped, resume=True).notices

    assert [notice.split(",")[0] for notice in notices] == [f"torch is {torch.__version__}"]
    assert seqgen.train(out=stopped, resume=True).notices == []


def test_resume_removes_temporary_files(stopped):
    (stopped / ".tmp-model.safetensors-123").write_bytes(b"half")
    (stopped / "checkpoints" / ".tmp-step-000006-abc").mkdir()

    seqgen.train(out=stopped, resume=True)

    assert [path for path in stopped.rglob("*") if path.name.startswith(".tmp-")] == []


def test_resume_reports_skipped_checkpoints(stopped):
    (stopped / "checkpoints" / "step-000006").mkdir()

    (notice,) = seqgen.train(out=stopped, resume=True).notices

    assert "step-000006/state.json cannot be read" in notice
    assert "resuming from step-000003" in notice


def test_resume_refuses_a_run_with_only_damaged_checkpoints(stopped):
    for weights in stopped.glob("checkpoints/*/weights.safetensors"):
        weights.write_bytes(b"")

    with pytest.raises(RunError, match=r"weights\.safetensors"):
        seqgen.train(out=stopped, resume=True)


@pytest.mark.parametrize("settings", ["gru"], indirect=True)
def test_resume_after_a_damaged_checkpoint_is_exact(corpus, tmp_path, settings, straight):
    polls = iter([False] * 6 + [True])
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings))
    (tmp_path / "run" / "checkpoints" / "step-000006" / "state.json").unlink()

    resumed = seqgen.train(out=tmp_path / "run", resume=True)
    assert resumed.first_step == 4
    list(resumed)

    assert_same_run(resumed.path, straight)


def test_resume_without_checkpoint_is_refused(stopped):
    shutil.rmtree(stopped / "checkpoints")

    with pytest.raises(RunError, match=r"no checkpoint; .*--init-from"):
        seqgen.train(out=stopped, resume=True)


@pytest.mark.parametrize("cell", ["gru", "transformer"])
def test_resume_of_a_run_on_documents_is_exact(tmp_path, cell):
    text = tmp_path / "names.txt"
    text.write_text("".join(f"name {number}\n" for number in range(400)), "utf-8")
    settings = {**SMALL, **SMALL_RUNS[cell], "documents": "line", "max_steps": 40, "eval_every": 20}
    whole = seqgen.train(text, out=tmp_path / "whole", **settings)
    list(whole)
    polls = itertools.chain([False] * 13, itertools.repeat(True))
    list(seqgen.train(text, out=tmp_path / "parts", stop=lambda: next(polls), **settings))

    list(seqgen.train(out=tmp_path / "parts", resume=True))

    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    with pytest.raises(ConfigError, match="documents is line, not paragraph"):
        seqgen.train(out=tmp_path / "parts", resume=True, documents="paragraph")

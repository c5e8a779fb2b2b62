"""A training run as a script sees it: its events, that nobody can change it between them, and how it goes on."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import torch

import seqgen
from seqgen import tokenizers
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.tokenizers.config import TokenizerConfig

SMALL = {"hidden_size": 16, "max_steps": 8, "eval_every": 4, "batch_size": 8, "warmup_steps": 2}

FAMILIES = {
    "lstm with dropout": {"cell": "lstm", "layers": 2, "dropout": 0.3, "bptt": 16, "precision": "bf16"},
    "gru": {"cell": "gru", "bptt": 16, "precision": "fp32"},
    "rnn, two batches a step": {"cell": "rnn", "bptt": 16, "accumulate": 2, "precision": "fp32"},
    "transformer with dropout": {
        "cell": "transformer", "layers": 2, "heads": 2, "block_size": 16, "dropout": 0.2, "precision": "fp32",
    },
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def settings(request):
    """The settings of a small model of each family."""
    return {**SMALL, **FAMILIES[request.param]}


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def straight(corpus, _workshop, settings):
    """A run that was never stopped, made once a family."""
    path = _workshop / settings["cell"]
    if not path.exists():
        list(seqgen.train(corpus, out=path, **settings))
    return path


def test_nobody_can_change_a_run_between_its_events(corpus, tmp_path, settings, straight, assert_same_run):
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


def test_what_the_caller_has_switched_on_or_off_changes_no_run(corpus, tmp_path, settings, straight, assert_same_run):
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


# --- one family is enough for the rest

GRU = {**SMALL, **FAMILIES["gru"]}


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

    seqgen.train(corpus, out=tmp_path / "run", report=messages.append, **GRU)

    assert messages[0] == f"reading {corpus}"
    assert any("char vocabulary" in message for message in messages)


def test_nothing_is_made_where_something_is_wrong(corpus, in_tmp):
    before = sorted(in_tmp.rglob("*"))
    for error, text, settings in (
        (ConfigError, corpus, {"hidden_size": 0}),
        (ConfigError, corpus, {"device": "warp"}),
        (ConfigError, corpus, {"wings": 2}),
        (TextError, in_tmp / "gone.txt", {}),
        (TextError, corpus, {"valid": "gone.txt"}),
        (TextError, corpus, {"valid_share": 0.001}),
        (ConfigError, corpus, {"tokenizer": "char", "vocab_size": 300}),
        (RunError, corpus, {"out": in_tmp}),
        (RunError, corpus, {"init_from": "nowhere"}),
    ):
        with pytest.raises(error):
            seqgen.train(text, **{**GRU, **settings})

    assert sorted(in_tmp.rglob("*")) == before


@pytest.mark.parametrize("valid_split", ["spread", "tail", "none"])
@pytest.mark.parametrize("family", ["gru", "transformer with dropout"])
def test_every_short_length_trains_or_says_what_is_missing(corpus, tmp_path, family, valid_split):
    """From nothing to twice what a row of a batch holds."""
    settings = {**SMALL, **FAMILIES[family], "max_steps": 1, "valid_split": valid_split}
    whole = corpus.read_text("utf-8")
    refused = {}
    for length in range(34):
        corpus.write_text(whole[:length], "utf-8")
        try:
            run = seqgen.train(corpus, out=tmp_path / f"{length}", **settings).run()
        except TextError as error:
            refused[length] = str(error)
        else:
            assert len(run.generate(max_new_tokens=2)) == 2

    assert list(refused) == (list(range(2)) if valid_split == "none" else list(range(34)))
    for length, message in refused.items():
        assert (f"{length} character" if length else "is empty") in message
        assert not (tmp_path / f"{length}").exists()


def test_the_length_is_a_number_of_steps_before_the_first_counts(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.budget.PROBE_SECONDS", 0.0)
    settings = {name: value for name, value in GRU.items() if name not in {"max_steps", "eval_every"}}

    timed = seqgen.train(corpus, out=tmp_path / "timed", max_time="1s", **settings)
    steps = seqgen.train(corpus, out=tmp_path / "steps", max_steps=timed.total_steps, **settings)

    for run in (timed, steps):
        written = json.loads((run.path / "config.json").read_text("utf-8"))["training"]
        assert written["max_steps"] == run.total_steps >= 1
        assert written["eval_every"] >= 1
    for event, other in zip(islice(timed, 3), islice(steps, 3), strict=True):  # the probe has left no trace
        assert (event.nats_per_token, event.grad_norm) == (other.nats_per_token, other.grad_norm)


def test_several_lengths_are_the_shortest_of_them(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **{**GRU, "max_epochs": 0.1, "max_steps": 100})

    assert run.total_steps == round(0.1 * run.config.text.train_tokens / (8 * 16))


def test_the_run_knows_its_text_by_an_absolute_path(corpus, in_tmp):
    run = seqgen.train("corpus.txt", valid="corpus.txt", **GRU)

    assert run.config.data.text == run.config.data.valid == str(corpus)
    assert run.path.name == "corpus-gru"
    list(run)
    assert seqgen.load(run.path).withheld() == (corpus.read_text("utf-8"),)


def test_the_user_is_told_what_is_unusual(corpus, tmp_path):
    notices = seqgen.train(corpus, out=tmp_path / "1", **{**GRU, "batch_size": 4096}).notices
    assert any("the text is short" in notice and "4096" in notice for notice in notices)
    notices = seqgen.train(corpus, out=tmp_path / "2", valid_split="none", **GRU).notices
    assert any("nothing is withheld" in notice for notice in notices)
    assert seqgen.train(corpus, out=tmp_path / "3", **GRU).notices == []


@pytest.mark.parametrize("settings", [{"hidden_size": 8}, {"seed": 1}, {"max_steps": 20, "lr": 0.1}, {"cell": "gru"}])
def test_a_run_that_goes_on_takes_a_larger_max_steps_and_nothing_else(corpus, tmp_path, settings):
    seqgen.train(corpus, out=tmp_path / "run", **GRU).run()
    before = (tmp_path / "run" / "config.json").read_bytes()

    with pytest.raises(ConfigError, match="cannot change in a run that goes on"):
        seqgen.train(out=tmp_path / "run", resume=True, **settings)
    with pytest.raises(ConfigError, match="resume"):
        seqgen.train(corpus, out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="complete after 8 steps"):
        seqgen.train(out=tmp_path / "run", resume=True)

    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_longer_run_goes_on_from_the_last_step(corpus, tmp_path):
    seqgen.train(corpus, out=tmp_path / "run", **GRU).run()

    longer = seqgen.train(out=tmp_path / "run", resume=True, max_steps=10)

    assert (longer.first_step, longer.total_steps) == (8, 10)
    assert [event.step for event in longer if isinstance(event, seqgen.Step)] == [9, 10]
    assert json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["training"]["max_steps"] == 10
    assert any("new schedule" in notice for notice in longer.notices)


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


def test_a_run_that_is_closed_trains_no_more(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    events = iter(run)
    next(events)

    run.close()

    assert list(events) == []
    assert seqgen.train(out=run.path, resume=True).first_step == 0


def test_another_version_is_said(stopped):
    content = json.loads((stopped / "config.json").read_text("utf-8"))
    (stopped / "config.json").write_text(json.dumps({**content, "seqgen": "0.0.1"}), "utf-8")

    (notice,) = seqgen.train(out=stopped, resume=True).notices

    assert notice.startswith(f"seqgen is {seqgen.__version__}, and was 0.0.1: ")


def test_metrics_that_are_gone_are_met_before_anything_is_written(stopped):
    (stopped / "metrics.jsonl").unlink()

    with pytest.raises(RunError, match=r"metrics\.jsonl has 0 bytes"):
        seqgen.train(out=stopped, resume=True)


def test_an_interrupt_while_the_directory_is_made_leaves_none(corpus, tmp_path, monkeypatch):
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seqgen.files.sync_directory", interrupt)

    with pytest.raises(KeyboardInterrupt):
        seqgen.train(corpus, out=tmp_path / "run", **GRU)

    assert not (tmp_path / "run").exists()


def test_a_run_can_be_gone_through_once(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    list(run)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()

    with pytest.raises(RunError, match="has been begun already"):
        iter(run)
    with pytest.raises(RunError, match="has been begun already"):
        run.run()

    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


@pytest.fixture
def stopped(corpus, tmp_path):
    """A gru's run, stopped after 3 of its 8 steps."""
    polls = iter([False] * 3 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **GRU)
    list(run)
    return run.path


def test_the_device_and_the_precision_that_were_chosen_are_written_down(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **{**GRU, "precision": "auto", "device": "auto"})

    training = json.loads((run.path / "config.json").read_text("utf-8"))["training"]
    assert training["device"] == str(run.model.device)
    assert training["precision"] == run.config.environment["precision"] != "auto"


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
    content["environment"] |= {"torch": "1.0", "threads": 99}
    (stopped / "config.json").write_text(json.dumps(content), "utf-8")

    notices = seqgen.train(out=stopped, resume=True).notices

    assert [notice.split(",")[0] for notice in notices] == [f"torch is {torch.__version__}", "threads is 1"]
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


def test_a_path_is_as_good_as_its_name(corpus, tmp_path, assert_same_run):
    tokenizers.build([corpus.read_text("utf-8")], TokenizerConfig()).save(tmp_path / "tokenizer")
    paths = {"valid": corpus, "tokenizer": tmp_path / "tokenizer"}
    runs = [
        seqgen.train(as_type(corpus), out=as_type(tmp_path / as_type.__name__), **given, **GRU)
        for as_type, given in ((Path, paths), (str, {name: str(path) for name, path in paths.items()}))
    ]

    for run in runs:
        list(run)
    assert_same_run(runs[0].path, runs[1].path)
    child = seqgen.train(corpus, out=tmp_path / "child", init_from=runs[0].path, max_steps=1)
    assert child.config.init_from == str(runs[0].path)


def test_a_checkpoint_that_is_not_whole_is_passed_over(corpus, tmp_path, settings, straight, assert_same_run):
    polls = iter([False] * 6 + [True])
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings))
    (tmp_path / "run" / "checkpoints" / "step-000006" / "state.json").unlink()

    resumed = seqgen.train(out=tmp_path / "run", resume=True)
    assert resumed.first_step == 4
    list(resumed)

    assert_same_run(resumed.path, straight)


def test_a_child_starts_with_its_parents_weights(corpus, tmp_path):
    parent = seqgen.train(corpus, out=tmp_path / "parent", tie_weights=True, **GRU).run()

    child = seqgen.train(corpus, out=tmp_path / "child", init_from=parent.path, max_steps=1)

    assert child.config.init_from == str(parent.path.resolve())
    assert child.config.model == parent.config.model
    assert child.config.tokenizer == parent.config.tokenizer
    for name, tensor in child.model.state_dict().items():
        assert torch.equal(tensor, parent.model.state_dict()[name])
    with pytest.raises(ConfigError, match="cell, hidden_size come with the weights"):
        seqgen.train(corpus, init_from=parent.path, cell="gru", hidden_size=16)

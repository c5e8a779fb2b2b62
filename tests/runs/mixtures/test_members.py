"""Training a mixture: its members in turn, their settings, interruptions, and resuming."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import cells_of
from seqgen.runs.directory import RunDirectory
from seqgen.runs.fit import fit_model
from seqgen.runs.mixtures.members import resolve_members
from seqgen.runs.mixtures.mix import weigh_members
from seqgen.runs.summary import summarize
from seqgen.tokenizers import auto
from seqgen.tokenizers.auto import CHAR, Choice
from seqgen.training.metrics import read_metrics

from ...comparing import assert_same_run, config_of, contents_of
from ...conftest import TEXT
from ...small_runs import GRU

MIXTURE = {**GRU, "cell": "gru+ngram", "order": 3}


@pytest.fixture(scope="session")
def _straight_mixture(tmp_path_factory):
    return tmp_path_factory.mktemp("straight")


@pytest.fixture
def mixture(corpus, _straight_mixture):
    """An uninterrupted mixture; do not change it."""
    path = _straight_mixture / "gru+ngram"
    if not path.exists():
        seqgen.train(corpus, out=path, **MIXTURE).run()
    return path


def kinds(events):
    return [type(event).__name__ for event in events]


@pytest.mark.slow
def test_auto_chooses_one_tokenizer_for_all_members(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(auto, "CHOICES", (Choice(1, 3600.0, "bpe", 300), CHAR))

    training = seqgen.train(corpus, out=tmp_path / "run", **{**MIXTURE, "max_time": "1h"})
    assert any("300 pieces" in notice for notice in training.notices)
    run = training.run()

    for path in (run.path, run.path / "members" / "gru", run.path / "members" / "ngram"):
        record = config_of(path)["tokenizer"]
        assert (record["kind"], record["vocab_size"], record["auto"]) == ("bpe", 300, True)


def test_members_are_trained_in_turn_and_mixed(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    assert (training.model, training.plan, training.member) == (None, None, None)
    events, shown = [], []

    for event in training:
        events.append(event)
        shown.append(None if training.member is None else training.member.path.name)

    fit, pause = ["Fitted", "Evaluated", "Sampled", "Saved", "Finished"], ["Norms", "Evaluated", "Sampled", "Saved"]
    trained = ["Step"] * 4 + pause + ["Step"] * 4 + pause + ["Finished"]
    whole = ["Mixed", "Sampled", "Finished"]
    assert kinds(events) == ["MemberStarted", *fit, "MemberStarted", *trained, *whole]
    assert shown == ["ngram"] * 6 + ["gru"] * 18 + [None] * 3
    mixed, _, finished = events[-3:]
    assert (finished.reason, finished.step, finished.total_steps) == ("complete", 9, 9)
    assert finished.best_bits_per_byte == mixed.bits_per_byte
    assert [line["event"] for line in read_metrics(training.path / "metrics.jsonl")] == [
        "member_started", "member_started", "mixed", "sampled", "finished",
    ]  # fmt: skip


def test_mixture_is_not_worse_than_its_members(mixture):
    directory = RunDirectory(mixture)

    record = directory.read_mixture()

    best = min(member.nats_per_token for member in record.members.values())
    assert record.nats_per_token <= best + 1e-9
    assert list(record.members) == ["gru", "ngram"]
    assert seqgen.load(mixture).generate(max_new_tokens=10)
    for name in record.members:
        assert seqgen.load(mixture / "members" / name).config.model.cell == name


def test_members_are_the_runs_that_they_would_be_alone(corpus, mixture, tmp_path):
    alone = seqgen.train(corpus, out=tmp_path / "gru", **GRU)
    list(alone)

    assert_same_run(mixture / "members" / "gru", alone.path)


def test_config_of_a_mixture_has_those_of_its_members(mixture):
    config = config_of(mixture)

    for name in ("gru", "ngram"):
        member = config_of(mixture / "members" / name)
        assert config["model"]["members"][name] == member["model"]
        assert config["text"] == member["text"]
        assert config["data"] == member["data"]
        assert config["tokenizer"] == member["tokenizer"]


# --- settings


def resolve(cell, **settings):
    cells = cells_of({"cell": cell})
    names = [f"{number}-{name}" for number, name in enumerate(cells)]
    total, members = resolve_members({"cell": cell, **settings}, names, cells)
    return total, list(members.values())


def test_settings_go_to_the_members_that_have_them():
    _, (lstm, ngram, gru) = resolve("lstm+ngram+gru", hidden_size=16, order=4, gru_reset="before", lr=0.5)

    assert (lstm.model.hidden_size, ngram.model.order) == (16, 4)
    assert (gru.model.hidden_size, gru.model.gru_reset) == (16, "before")
    assert (lstm.training.lr, gru.training.lr) == (0.5, 0.5)


def test_neural_members_share_the_time_and_fitted_ones_take_none():
    total, (lstm, ngram, gru) = resolve("lstm+ngram+gru", max_time="10m")

    assert (total, lstm.training.max_time, gru.training.max_time) == (600.0, 300.0, 300.0)
    assert ngram.training.max_time is None
    assert lstm.model.layers == FAMILIES["lstm"].long_presets[0][1]["muon"]["layers"]
    assert resolve("lstm+ngram")[0] == 120.0
    assert resolve("lstm+ngram", max_steps=3)[0] is None


def test_equal_cells_have_different_seeds():
    _, members = resolve("gru+gru+ngram+gru", seed=5)

    assert [member.training.seed for member in members] == [5, 6, 5, 7]


@pytest.mark.parametrize("setting", ["heads", "order", "bptt", "wings"])
def test_setting_that_no_member_has_is_refused_by_name(corpus, in_tmp, setting):
    cell = {"order": "gru+lstm", "bptt": "transformer+ngram"}.get(setting, "lstm+ngram")
    with pytest.raises(ConfigError, match=f"^{setting}: "):
        seqgen.train(corpus, cell=cell, **{setting: 3})
    assert not (in_tmp / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "lstm+foo"}, "'foo'.*lstm"),
        ({"cell": "mixture"}, "'mixture'"),
        ({"cell": "lstm+mixture"}, "'mixture'"),
        ({"cell": "lstm+"}, "''"),
        ({"valid_split": "none"}, "^valid_split: .*--valid FILE"),
        ({"init_from": "somewhere"}, "^init_from: "),
        ({"plan_from": "somewhere"}, "^plan_from: "),
        ({"hidden_size": 0}, "hidden_size"),
        ({"order": 0}, "order"),
        ({"device": "warp"}, "device"),
    ],
)
def test_impossible_mixture_is_refused_and_nothing_created(corpus, in_tmp, settings, words):
    with pytest.raises(ConfigError, match=words):
        seqgen.train(corpus, **{**MIXTURE, **settings})
    assert not (in_tmp / "runs").exists()


def test_validation_file_that_the_training_text_contains_is_refused(in_tmp, tmp_path):
    passage = "Every child watches letters in the quiet seventh garden, by day and by night.\n" * 9
    (tmp_path / "valid.txt").write_text(passage, "utf-8")
    (tmp_path / "whole.txt").write_text(TEXT + passage, "utf-8")

    with pytest.raises(ConfigError, match=r"^valid: .*valid\.txt"):
        seqgen.train(tmp_path / "whole.txt", valid=tmp_path / "valid.txt", **MIXTURE)
    assert not (in_tmp / "runs").exists()


def test_member_too_large_for_the_memory_is_refused_before_anything(corpus, in_tmp, monkeypatch):
    monkeypatch.setattr("seqgen.runs.setup.total_memory", lambda _: 1000)

    with pytest.raises(ConfigError, match="--hidden-size"):
        seqgen.train(corpus, **MIXTURE)
    assert not (in_tmp / "runs").exists()


def test_text_is_read_once_and_its_notices_are_given_once(tmp_path, corpus):
    messages = []
    training = seqgen.train(
        corpus, out=tmp_path / "run", tokenizer="word", vocab_size=4, report=lambda *given: messages.append(given[0]),
        **MIXTURE,
    )  # fmt: skip
    assert any("<unk>" in notice for notice in training.notices)
    assert any(message.startswith("reading") for message in messages)
    messages.clear()
    notices = []
    for event in training:
        if isinstance(event, seqgen.MemberStarted):
            notices += training.member.notices

    assert not any("<unk>" in notice for notice in notices)
    assert not any(message.startswith(("reading", "encoding")) for message in messages)


# --- time


def test_members_end_with_the_time_of_the_mixture(corpus, tmp_path, monkeypatch):
    """The fitted member takes 4 of 10 seconds and mixing 0.2, so the two others get 2.9 each."""
    now = 100.0

    def fit(*arguments):
        nonlocal now
        now += 4.0
        return fit_model(*arguments)

    monkeypatch.setattr("seqgen.runs.mixtures.members.fit_model", fit)
    monkeypatch.setattr(
        "seqgen.runs.mixtures.members.create_run", lambda request, settings, *_: made.append(settings) or 1 / 0
    )
    made = []
    settings = {name: value for name, value in MIXTURE.items() if name not in {"max_steps", "eval_every"}}
    training = seqgen.train(
        corpus, out=tmp_path / "run", max_time=10.0, clock=lambda: now, **{**settings, "cell": "gru+lstm+ngram"}
    )

    with pytest.raises(ZeroDivisionError):
        list(training)

    assert [one.training.max_time for one in made] == [pytest.approx(2.9)]
    config = config_of(training.path)["training"]
    assert (config["max_time"], config["members"]["gru"]["max_time"]) == (10.0, made[0].training.max_time)


def test_members_are_mixed_with_the_threads_of_the_last_plan(corpus, tmp_path, monkeypatch):
    used = []

    def weigh(*arguments):
        used.append(torch.get_num_threads())
        return weigh_members(*arguments)

    monkeypatch.setattr("seqgen.runs.mixtures.members.weigh_members", weigh)
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    try:
        for event in training:
            if event == seqgen.MemberStarted(1, "gru", "members/gru"):
                assert training.member.plan.current.threads == 1
                torch.set_num_threads(2)
    finally:
        torch.set_num_threads(1)

    assert used == [1]


@pytest.mark.parametrize(("gru", "expected"), [(50.0, (78.0, 78.0)), (100.0, (100.0, 56.0))])
def test_more_time_is_divided_without_what_is_spent(corpus, tmp_path, gru, expected):
    """Of 200 seconds the fit has taken 40 and mixing takes 4; the rest becomes equal, or what was trained already."""
    path = seqgen.train(corpus, out=tmp_path / "run", **{**MIXTURE, "cell": "gru+rnn+ngram"}).run().path
    for name, seconds in {"ngram": 40.0, "gru": gru, "rnn": 5.0}.items():
        metrics = path / "members" / name / "metrics.jsonl"
        *others, last = metrics.read_text("utf-8").splitlines()
        metrics.write_text("\n".join([*others, json.dumps({**json.loads(last), "seconds": seconds})]) + "\n", "utf-8")
    before = config_of(path)
    spent = round(45 + gru)
    with pytest.raises(ConfigError, match=f"^max_time: .*{spent} s"):
        seqgen.train(out=path, resume=True, max_time=float(spent))
    assert config_of(path) == before

    seqgen.train(out=path, resume=True, max_time=200.0).close()

    members = config_of(path)["training"]["members"]
    assert (members["gru"]["max_time"], members["rnn"]["max_time"]) == pytest.approx(expected)
    assert members["ngram"]["max_time"] is None


# --- interruptions


@pytest.mark.parametrize("polls", [0, 1, 3, 7])
def test_interrupted_and_resumed_mixture_equals_a_straight_one(corpus, mixture, tmp_path, polls):
    """Stopped before the fit, before the first step, and between steps."""
    left = iter([False] * polls)
    stopped = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(left, True), **MIXTURE)
    *_, last = stopped
    assert last.reason == "stopped"

    resumed = seqgen.train(out=stopped.path, resume=True)
    *_, last = resumed

    assert last.reason == "complete"
    assert_same_run(stopped.path / "members" / "gru", mixture / "members" / "gru")
    for name in ("members/ngram/model.safetensors", "mixture.json"):
        assert (stopped.path / name).read_bytes() == (mixture / name).read_bytes()


def test_stopped_mixture_is_mixed_from_what_is_there(corpus, tmp_path):
    left = iter([False] * 4)
    training = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(left, True), **MIXTURE)

    events = list(training)

    assert kinds(events[-3:]) == ["Mixed", "Sampled", "Finished"]
    assert (events[-1].reason, events[-1].step, events[-1].total_steps) == ("stopped", 4, 9)
    assert seqgen.load(training.path).generate(max_new_tokens=5)


def test_mixture_without_weights_of_a_member_says_which(corpus, tmp_path):
    left = iter([False])
    training = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(left, True), **MIXTURE)

    events = list(training)

    assert events[-2] == seqgen.NotMixed(1, ("gru",))
    assert (events[-1].reason, events[-1].best_bits_per_byte) == ("stopped", None)
    with pytest.raises(RunError, match=r"mixture\.json is missing.*--resume"):
        seqgen.load(training.path)


def test_killed_mixture_is_continued(corpus, mixture, tmp_path):
    """After a kill in the first steps, with a member's directory that has no config.json yet."""
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    for event in training:
        if isinstance(event, seqgen.Step):
            break
    training.close()
    (training.path / "members" / "gru" / "config.json").unlink()

    list(seqgen.train(out=training.path, resume=True))

    assert (training.path / "mixture.json").read_bytes() == (mixture / "mixture.json").read_bytes()


def test_complete_mixture_can_become_longer(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    list(training)
    before = RunDirectory(training.path).read_mixture()
    with pytest.raises(RunError, match=r"is complete.*--max-steps"):
        seqgen.train(out=training.path, resume=True, **MIXTURE)

    events = list(seqgen.train(out=training.path, resume=True, max_steps=12))

    assert sum(isinstance(event, seqgen.Step) for event in events) == 4
    assert events[-1].total_steps == 13
    assert RunDirectory(training.path).read_mixture() != before
    assert seqgen.load(training.path).generate(max_new_tokens=5)


def steps_of(path):
    return {name: summarize(one, one.read_config()).steps for name in ("gru", "rnn")
            for one in [RunDirectory(path / "members" / name)]}  # fmt: skip


@pytest.mark.parametrize(
    ("polls", "repeated"), [(None, False), (3, True)], ids=["complete", "without its second member"]
)
def test_interrupted_resume_with_more_steps_is_finished_by_the_next(corpus, tmp_path, polls, repeated):
    left = iter([False] * (polls or 1_000))
    settings = {**GRU, "cell": "gru+rnn"}
    path = tmp_path / "run"
    list(seqgen.train(corpus, out=path, stop=lambda: next(left, True), **settings))
    left = iter([False] * 2)
    *_, last = seqgen.train(out=path, resume=True, max_steps=12, stop=lambda: next(left, True))
    assert last.reason == "stopped"

    *_, last = seqgen.train(out=path, resume=True, **({"max_steps": 12} if repeated else {}))

    assert (last.reason, steps_of(path)) == ("complete", {"gru": 12, "rnn": 12})
    with pytest.raises(RunError, match="complete"):
        seqgen.train(out=path, resume=True)


def test_fewer_steps_are_refused_and_change_nothing(corpus, tmp_path):
    path = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE).run().path
    before = contents_of(path)

    for name, value in {"max_steps": 7, "max_epochs": 0.001}.items():
        with pytest.raises(ConfigError, match=f"^{name}: .*8 steps"):
            seqgen.train(out=path, resume=True, **{name: value})

    assert contents_of(path) == before


@pytest.mark.parametrize("lost", [["gru"], ["gru", "ngram"]])
def test_trained_member_without_config_is_refused_and_kept(corpus, tmp_path, lost):
    path = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE).run().path
    for name in lost:
        (path / "members" / name / "config.json").unlink()
    before = contents_of(path)

    for changes in ({}, {"max_steps": 12}):
        with pytest.raises(RunError, match=r"members/gru/config\.json"):
            list(seqgen.train(out=path, resume=True, **changes))

    assert contents_of(path) == before


def test_shorter_time_is_refused_and_changes_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.0)
    settings = {name: value for name, value in MIXTURE.items() if name not in {"max_steps", "eval_every"}}
    training = seqgen.train(corpus, out=tmp_path / "run", max_time="9s", stop=lambda: True, **settings)
    list(training)
    before = config_of(training.path)

    with pytest.raises(ConfigError, match=r"^max_time: .*9 s"):
        seqgen.train(out=training.path, resume=True, max_time="8s")

    assert config_of(training.path) == before


def test_member_that_was_trained_further_is_mixed_again(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    list(training)
    list(seqgen.train(out=training.path / "members" / "gru", resume=True, max_steps=12))
    with pytest.raises(RunError, match=r"has changed.*--resume"):
        seqgen.load(training.path)

    events = list(seqgen.train(out=training.path, resume=True))

    assert kinds(events) == ["Mixed", "Sampled", "Finished"]
    assert seqgen.load(training.path).generate(max_new_tokens=5)


def test_resume_refuses_settings_that_differ(mixture):
    for name, value in {"hidden_size": 32, "order": 5, "lr": 0.9, "seed": 3, "cell": "lstm+ngram"}.items():
        with pytest.raises(ConfigError, match=f"{name} is .*, not {re.escape(str(value))}"):
            seqgen.train(out=mixture, resume=True, **{name: value})
    with pytest.raises(ConfigError, match="heads"):
        seqgen.train(out=mixture, resume=True, heads=2)


def test_mixture_is_found_by_text_and_cell(corpus, in_tmp):
    left = iter([False] * 4)
    training = seqgen.train(corpus, stop=lambda: next(left, True), **MIXTURE)
    list(training)
    seqgen.train(corpus, **GRU).close()

    assert seqgen.train(corpus, resume=True, **MIXTURE).path == training.path


def test_mixture_config_without_a_member_is_refused(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **MIXTURE)
    training.close()
    config = config_of(training.path)
    del config["model"]["members"]["gru"]
    (training.path / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError, match=r"config\.json.*members"):
        seqgen.load(training.path)


def test_resume_refuses_members_that_were_swapped(mixture, tmp_path):
    copy = shutil.copytree(mixture, tmp_path / "copy")
    members = copy / "members"
    (members / "gru").rename(members / "kept")
    (members / "ngram").rename(members / "gru")
    (members / "kept").rename(members / "ngram")
    before = (copy / "mixture.json").read_bytes()

    with pytest.raises(RunError, match=r"gru/config\.json is not the member"):
        seqgen.train(out=copy, resume=True)
    assert (copy / "mixture.json").read_bytes() == before

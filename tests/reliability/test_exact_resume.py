"""A run that was interrupted, anywhere and however often, and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError, TokenizerError
from seqgen.runs.directory import RunDirectory
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.learner import Learner

from ..comparing import assert_same_run

SMALL = {
    "hidden_size": 16, "layers": 2, "dropout": 0.2, "batch_size": 16, "grad_accum": 2, "max_steps": 8, "eval_every": 3,
    "warmup_steps": 2, "precision": "fp32",
}  # fmt: skip
"""1,024 tokens a step: `TEXT` has 4,697 characters to learn from, so the second epoch begins within step 5."""

RECURRENT = {**SMALL, "bptt": 32}
WINDOWS = {**SMALL, "cell": "transformer", "heads": 2, "block_size": 32}

MODELS = {
    "rnn": {**RECURRENT, "cell": "rnn"},
    "lstm": {**RECURRENT, "cell": "lstm"},
    "gru": {**RECURRENT, "cell": "gru"},
    "gru-before": {**RECURRENT, "cell": "gru", "gru_reset": "before"},
    "rope": {**WINDOWS, "positions": "rope"},
    "sinusoidal": {**WINDOWS, "positions": "sinusoidal"},
}
TOKENIZERS = {
    "char": {},
    "byte": {"tokenizer": "byte"},
    "word": {"tokenizer": "word"},
    "unigram": {"tokenizer": "unigram", "vocab_size": 320},
    "bpe": {"tokenizer": "bpe", "vocab_size": 320},
}
INTERRUPTIONS = {
    "before the first step": "stop 0",
    "in the middle of an epoch, between evaluations": "stop 4",
    "where an epoch ends": "stop 5",
    "right at an evaluation": "stop 6",
    "in the last step but one": "stop 7",
    "killed before anything was saved": "kill 2",
    "killed between evaluations": "kill 5",
    "killed at the last step": "kill 8",
    "again and again": "stop 0, kill 1, stop 1, stop 3, kill 5, stop 4, kill 7, kill 8",
}
EVERYWHERE = INTERRUPTIONS["again and again"]
SAMPLING = {"num_samples": 2, "max_new_tokens": 20, "seed": 1}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """What a run writes at its evaluations, and the wait for the disk, take longer than its few steps."""
    monkeypatch.setattr("seqgen.training.trainer.SAMPLE_TOKENS", 20)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def poison(monkeypatch):
    """Make every logit NaN at these steps (from 0), in whatever run comes to them."""
    healthy = Learner.step

    def poison(*steps):
        def step(learner, number):
            if number not in steps:
                return healthy(learner, number)
            hook = learner.model.register_forward_hook(lambda model, inputs, out: (out[0] * math.nan, *out[1:]))
            try:
                return healthy(learner, number)
            finally:
                hook.remove()

        monkeypatch.setattr(Learner, "step", step)

    return poison


def take(run, how, at):
    """Go on with `run` until it is asked to stop before step `at`, or is killed within it."""
    if how == "stop":
        polls = itertools.count(run.first_step)
        run._stop = lambda: next(polls) == at
        assert list(run)[-1].reason == "stopped"
        return
    events = iter(run)
    while getattr(next(events), "step", None) != at:
        pass
    events.close()
    with (run.path / "metrics.jsonl").open("ab") as file:  # a crash may cut a line in two
        file.write(b'{"event": "step", "st')


@pytest.fixture
def assert_resumes_exactly(corpus, tmp_path):
    """Assert that a run of these settings is the same with these interruptions as without."""

    def check(settings, *interruptions):
        straight = seqgen.train(corpus, out=tmp_path / "straight", **settings)
        *_, finished = straight
        expected = seqgen.load(straight.path).samples("The ", **SAMPLING)
        for number, interruption in enumerate(interruptions):
            run = seqgen.train(corpus, out=tmp_path / str(number), **settings)
            for how, at in (one.split() for one in interruption.split(", ")):
                take(run, how, int(at))
                run = seqgen.train(out=run.path, resume=True)
                assert run.notices == []
            assert run.first_step < finished.step
            assert list(run)[-1].reason == finished.reason

            assert_same_run(run.path, straight.path)
            assert seqgen.load(run.path).samples("The ", **SAMPLING) == expected
        return finished

    return check


@pytest.mark.parametrize("interruptions", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_resume_is_exact_wherever_the_run_is_interrupted(assert_resumes_exactly, interruptions):
    assert_resumes_exactly(MODELS["lstm"], interruptions)


@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"lstm"}))
def test_resume_is_exact_for_every_model(assert_resumes_exactly, model):
    assert_resumes_exactly(MODELS[model], EVERYWHERE)


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS.keys() - {"char"}))
@pytest.mark.parametrize("model", ["gru", "rope"])
def test_resume_is_exact_for_every_tokenizer(assert_resumes_exactly, model, tokenizer):
    assert_resumes_exactly({**MODELS[model], **TOKENIZERS[tokenizer]}, "kill 2, stop 4")


@pytest.mark.parametrize("model", ["gru", "sinusoidal"])
@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"optimizer": "adamw"},
        {"tie_weights": True},
        {"save_every": 1e-9},  # after each step, so between evaluations too
        {"valid_split": "none"},
        {"valid_split": "tail", "schedule": "cosine", "seed": 7},
    ],
    ids=str,
)
def test_resume_is_exact_for_pairs_of_settings(assert_resumes_exactly, model, settings):
    assert_resumes_exactly({**MODELS[model], **settings}, "stop 0, kill 2, stop 4, kill 5")


def test_resume_is_exact_with_patience(assert_resumes_exactly):
    settings = {**MODELS["gru"], "lr": 3.0, "schedule": "constant", "eval_every": 2, "patience": 2}

    finished = assert_resumes_exactly(settings, "stop 0, kill 2, stop 4, kill 5")

    assert (finished.reason, finished.step) == ("patience", 6)


@pytest.mark.parametrize("model", ["gru", "rope"])
def test_resume_is_exact_with_skipped_steps(assert_resumes_exactly, poison, model):
    poison(1, 3, 4, 6)

    assert_resumes_exactly(MODELS[model], EVERYWHERE)


@pytest.mark.campaign
@pytest.mark.parametrize(
    "settings", [{"precision": "bf16", "optimizer": "adamw"}, {"tie_weights": True}, {"save_every": 1e-9}], ids=str
)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_resume_is_exact_for_every_combination(assert_resumes_exactly, poison, model, tokenizer, settings):
    poison(2, 6)

    assert_resumes_exactly({**MODELS[model], **TOKENIZERS[tokenizer], **settings}, *INTERRUPTIONS.values())


# --- runs that are given a time


@pytest.fixture
def machine(monkeypatch):
    """A clock by which step n (from 1) takes `machine.seconds(n)`, and all else nothing."""

    class Machine:
        def __init__(self):
            self.now, self.seconds = 0.0, lambda number: 2.0

        def __call__(self):
            return self.now

    made, healthy = Machine(), Learner.step

    def step(learner, number):
        made.now += made.seconds(number + 1)
        return healthy(learner, number)

    monkeypatch.setattr(Learner, "step", step)
    return made


TIMED = {
    name: value for name, value in MODELS["gru"].items() if name not in {"max_steps", "eval_every", "warmup_steps"}
}
TIMED |= {"max_time": 60.0, "threads": 1}


def slows_down_and_speeds_up(number):
    return 2.0 if number <= 7 else 4.0 if number <= 12 else 1.0


def plan_of(run):
    return newest_checkpoint(run / "checkpoints").plan


def test_run_with_max_time_is_replanned_and_ends_on_time(corpus, tmp_path, machine):
    run = seqgen.train(corpus, out=tmp_path / "run", clock=machine, **TIMED)
    assert run.total_steps == 27  # after the two of the probe
    machine.seconds = slows_down_and_speeds_up

    events = list(run)

    replans = [event for event in events if isinstance(event, seqgen.Replanned)]
    assert len(replans) >= 3
    assert events[-1].reason == "complete"
    assert events[-1].step == events[-1].total_steps == replans[-1].total_steps > 27
    assert 57.0 <= machine.now <= 61.0
    rates = [event.lr for event in events if isinstance(event, seqgen.Step)]
    assert rates[-1] < 0.2 * max(rates)
    written = json.loads((run.path / "config.json").read_text("utf-8"))["training"]
    assert (written["max_time"], written["max_steps"], written["eval_every"]) == (60.0, None, None)


def test_resume_is_exact_around_replans(corpus, tmp_path, machine):
    machine.seconds = slows_down_and_speeds_up
    straight = seqgen.train(corpus, out=tmp_path / "straight", clock=machine, **TIMED)
    replans = [event.step for event in straight if isinstance(event, seqgen.Replanned)]
    assert len(replans) >= 3

    for kind, at in itertools.product(("Sampled", "Replanned", "Saved"), replans[:1] + replans[2:3]):
        run = seqgen.train(corpus, out=tmp_path / f"{kind}-{at}", clock=machine, **TIMED)
        events = iter(run)
        while (event := next(events)).step != at or type(event).__name__ != kind:
            pass
        run.close()
        resumed = seqgen.train(out=run.path, resume=True, clock=machine)
        assert resumed.first_step == at if kind == "Saved" else resumed.first_step < at
        list(resumed)

        assert_same_run(run.path, straight.path)
        assert plan_of(run.path) == plan_of(straight.path)


def test_plan_from_repeats_an_interrupted_and_extended_run(corpus, tmp_path, monkeypatch):
    """By the real clock."""
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.1)
    settings = {**TIMED, "max_time": 600.0, "max_steps": 40}  # which is where it ends, on any machine
    polls = iter([False] * 5 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings)
    list(run)
    polls = iter([False] * 9 + [True])
    list(seqgen.train(out=run.path, resume=True, stop=lambda: next(polls)))
    *_, finished = seqgen.train(out=run.path, resume=True, max_time=900.0, max_steps=60)
    assert len(plan_of(run.path).stages) >= 2

    given = {name: value for name, value in settings.items() if name not in {"max_time", "max_steps", "threads"}}
    planned = seqgen.train(corpus, out=tmp_path / "planned", plan_from=run.path, **given)
    polls = iter([False] * 7 + [True])
    planned._stop = lambda: next(polls)
    list(planned)
    with pytest.raises(ConfigError, match="does not follow the plan"):
        seqgen.train(out=planned.path, resume=True, plan_from=planned.path)
    planned = seqgen.train(corpus, out=planned.path, resume=True, plan_from=run.path, **given)
    *_, followed = planned

    assert plan_of(planned.path) == plan_of(run.path)
    assert (followed.step, followed.best_bits_per_byte) == (finished.step, finished.best_bits_per_byte)
    one, two = (max((path / "checkpoints").iterdir()) for path in (run.path, planned.path))
    for name in ("weights.safetensors", "optimizer.safetensors", "state.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_steps": 5}, "max_steps comes with the plan"),
        ({"threads": 2, "max_time": 1.0}, "max_time, threads comes with the plan"),
        ({"cell": "rnn"}, "model.cell is rnn, there gru"),
        ({"seed": 3}, "training.seed is 3, there 0"),
        ({"valid_split": "tail"}, "text.train_tokens is"),
        ({"precision": "bf16"}, "training.precision is bf16, there fp32"),
    ],
)
def test_plan_from_refuses_another_config(corpus, tmp_path, settings, named):
    given = {**MODELS["gru"], **settings}
    given = {name: value for name, value in given.items() if name != "max_steps" or name in settings}
    run = seqgen.train(corpus, out=tmp_path / "run", **MODELS["gru"])
    run.close()

    with pytest.raises(ConfigError, match=named):
        seqgen.train(corpus, out=tmp_path / "other", plan_from=run.path, **given)

    assert not (tmp_path / "other").exists()


# --- what is promised only beside the same surroundings


@pytest.mark.parametrize("model", MODELS)
def test_same_run_twice_is_identical(corpus, tmp_path, model):
    paths = []
    for number in range(2):
        torch.manual_seed(number)  # a caller's own draws are no part of it
        paths.append(seqgen.train(corpus, out=tmp_path / str(number), **MODELS[model]).run().path)

    assert_same_run(*paths)


def test_environment_and_threads_are_recorded(stopped):
    environment = json.loads((stopped / "config.json").read_text("utf-8"))["environment"]

    assert environment.keys() == {"python", "torch", "platform", "device", "precision"}
    assert environment["torch"] == torch.__version__
    state = json.loads(max((stopped / "checkpoints").glob("*/state.json")).read_text("utf-8"))
    assert [one["threads"] for one in state["plan"]["stages"]] == [torch.get_num_threads()]


# --- what a resume refuses


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def stopped(corpus, tmp_path, _workshop):
    """A run with a validation text of its own, stopped after 4 of its 8 steps."""
    home = _workshop / "home"
    if not home.exists():
        home.mkdir()
        text = shutil.copy(corpus, home)
        (home / "valid.txt").write_text(corpus.read_text("utf-8")[:600], "utf-8")
        take(seqgen.train(text, out=home / "run", valid=home / "valid.txt", **MODELS["gru"]), "stop", 4)
    return shutil.copytree(home / "run", tmp_path / "run")


@pytest.fixture
def refused(stopped):
    """Resume what should be refused, with nothing written; give the message."""

    def resume(expected, **settings):
        before = contents_of(stopped)
        with pytest.raises(expected) as caught:
            seqgen.train(out=stopped, resume=True, **settings)
        assert contents_of(stopped) == before
        return str(caught.value)

    return resume


def contents_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(path, field, value):
    """Set the dotted `field` of the JSON in a file."""
    content = json.loads(path.read_text("utf-8"))
    *parents, name = field.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize("name", ["corpus.txt", "valid.txt"])
def test_resume_refuses_a_changed_text(stopped, refused, name):
    path = Path(json.loads((stopped / "config.json").read_text("utf-8"))["data"]["valid"]).with_name(name)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"sailor", b"tailor", 1))  # of the same length, within the tick of a clock

    try:
        assert f"{name} is not the text that this run was started on" in refused(RunError)
    finally:
        path.write_bytes(whole)


def test_resume_refuses_a_changed_tokenizer(stopped, refused):
    path = stopped / "tokenizer" / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b'"characters": "\\n', b'"characters": "\\t\\n'))

    assert "not the tokenizer that belongs here" in refused(TokenizerError)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created", "2001-01-01T00:00:00+00:00"),
        ("model.hidden_size", 32),
        ("model.layers", 1),
        ("model.dropout", 0.1),
        ("model.gru_reset", "before"),
        ("model.tie_weights", True),
        ("tokenizer.kind", "byte"),
        ("tokenizer.vocab_size", 300),
        ("tokenizer.fingerprint", "0" * 64),
        ("data.text", ["elsewhere.txt"]),
        ("data.encoding", "latin-1"),
        ("data.valid_share", 0.1),
        ("text.sha256", "0" * 64),
        ("text.valid_sha256", None),
        ("text.train_tokens", 1),
        ("training.lr", 0.1),
        ("training.seed", 1),
        ("training.batch_size", 8),
        ("training.bptt", 64),
        ("training.grad_accum", 1),
        ("training.schedule", "constant"),
        ("training.warmup_steps", 3),
        ("training.eval_every", 4),
        ("training.weight_decay", 0.5),
        ("training.clip_grad_norm", 2.0),
        ("training.patience", 1),
        ("init_from", "elsewhere"),
    ],
)
def test_changed_config_is_refused_by_the_name_of_the_field(stopped, refused, field, value):
    change(stopped / "config.json", field, value)

    assert f"config.json is not what this run was trained with: {field} is {value}, and was" in refused(RunError)


def test_resume_with_more_steps_reports_a_new_schedule(stopped):
    run = seqgen.train(out=stopped, resume=True, max_steps=9)

    assert run.notices == ["9 steps are a new schedule: the learning rate follows that one from here on"]
    assert [event.step for event in run if isinstance(event, seqgen.Step)] == [5, 6, 7, 8, 9]


def test_longer_run_killed_before_a_save_reports_it_again(stopped):
    seqgen.train(out=stopped, resume=True, max_steps=9).close()

    assert seqgen.train(out=stopped, resume=True).notices == [
        "9 steps are a new schedule: the learning rate follows that one from here on"
    ]


@pytest.mark.parametrize(
    "length", [{"max_epochs": 0.1}, {"max_time": 1e-6}, {"max_time": "1h", "max_steps": 2}, {"max_steps": 7}], ids=str
)
def test_resume_refuses_a_shorter_length(refused, length):
    name = next(iter(length.keys() - {"max_time"}), "max_time")
    said = "has trained for" if name == "max_time" else "this run was planned for"

    message = refused(ConfigError, **length)

    assert message.startswith(f"{name}: ")
    assert said in message


def test_same_length_by_another_setting_changes_nothing(stopped):
    run = seqgen.train(out=stopped, resume=True, max_steps=8, max_epochs=100.0)

    assert (run.total_steps, run.notices) == (8, [])


def test_resume_refuses_fewer_steps(stopped, refused):
    assert "max_steps: this run was planned for 8 steps" in refused(ConfigError, max_steps=7)
    change(stopped / "config.json", "training.max_steps", 7)
    reason = refused(RunError)
    assert f"{stopped}/config.json: training.max_steps is 7, and was 8" in reason
    assert "is made longer by a larger --max-steps" in reason


# --- one at a time


HOLD = """
import sys
from pathlib import Path
from seqgen.errors import RunError
from seqgen.runs.directory import RunDirectory
try:
    lock = RunDirectory(Path(sys.argv[1])).acquire_lock()
except RunError as error:
    print(error, flush=True)
else:
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holding(path):
    """Another process that holds the run or says why it cannot; what it says."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_run_trained_by_another_object_is_refused(stopped, refused):
    run = seqgen.train(out=stopped, resume=True)
    events = iter(run)
    next(events)

    assert "is being trained already" in refused(RunError)
    events.close()
    seqgen.train(out=stopped, resume=True).close()


def test_unstarted_run_is_locked_until_closed_or_dropped(stopped, refused):
    run = seqgen.train(out=stopped, resume=True)
    assert "is being trained already" in refused(RunError)
    run.close()
    seqgen.train(out=stopped, resume=True)  # and dropped at once
    seqgen.train(out=stopped, resume=True).close()


def test_run_trained_by_another_process_is_refused_until_it_is_killed(stopped, refused):
    process, said = start_holding(stopped)
    with process:
        try:
            assert said == "held"
            assert "is being trained already, by another process" in refused(RunError)
        finally:
            process.send_signal(signal.SIGKILL)

    assert len(list(seqgen.train(out=stopped, resume=True))) > 4


def test_run_trained_here_is_refused_to_another_process(stopped):
    run = seqgen.train(out=stopped, resume=True)
    process, said = start_holding(stopped)
    process.communicate()
    run.close()

    assert "is being trained already, by another process" in said
    RunDirectory(stopped).acquire_lock().release()

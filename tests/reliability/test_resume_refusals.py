"""What a resume refuses: a changed text, tokenizer or config, a shorter length, a run that is being trained."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import seqgen
from seqgen.errors import ConfigError, RunError, TokenizerError
from seqgen.runs.directory import RunDirectory

from ..comparing import contents_of
from .interruptions import MODELS, interrupt


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def stopped(corpus, tmp_path, _workshop):
    """A copy of a run with a validation file, stopped after 4 of its 8 steps."""
    home = _workshop / "home"
    if not home.exists():
        home.mkdir()
        text = shutil.copy(corpus, home)
        (home / "valid.txt").write_text(corpus.read_text("utf-8")[:600], "utf-8")
        train = partial(seqgen.train, text, out=home / "run", valid=home / "valid.txt", **MODELS["gru"])
        interrupt(train, "stop", 4)
    return shutil.copytree(home / "run", tmp_path / "run")


@pytest.fixture
def refused(stopped):
    """Assert that a resume is refused and writes nothing; return the message."""

    def resume(expected, **settings):
        before = contents_of(stopped)
        with pytest.raises(expected) as caught:
            seqgen.train(out=stopped, resume=True, **settings)
        assert contents_of(stopped) == before
        return str(caught.value)

    return resume


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
    path.write_bytes(whole.replace(b"sailor", b"tailor", 1))  # of the same length, within a tick of the clock

    try:
        assert name in refused(RunError)
    finally:
        path.write_bytes(whole)


def test_resume_refuses_a_changed_tokenizer(stopped, refused):
    path = stopped / "tokenizer" / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b'"characters": "\\n', b'"characters": "\\t\\n'))

    assert "tokenizer" in refused(TokenizerError)


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

    message = refused(RunError)
    assert f"{stopped}/config.json" in message
    assert f"{field} is {value}, and was" in message


def test_resume_with_more_steps_reports_a_new_schedule(stopped):
    run = seqgen.train(out=stopped, resume=True, max_steps=9)

    (notice,) = run.notices
    assert "9 steps" in notice
    assert [event.step for event in run if isinstance(event, seqgen.Step)] == [5, 6, 7, 8, 9]


def test_longer_run_killed_before_a_save_reports_it_again(stopped):
    seqgen.train(out=stopped, resume=True, max_steps=9).close()

    (notice,) = seqgen.train(out=stopped, resume=True).notices
    assert "9 steps" in notice


@pytest.mark.parametrize(
    "length", [{"max_epochs": 0.1}, {"max_time": 1e-6}, {"max_time": "1h", "max_steps": 2}, {"max_steps": 7}], ids=str
)
def test_resume_refuses_a_shorter_length(refused, length):
    name = next(iter(length.keys() - {"max_time"}), "max_time")

    assert refused(ConfigError, **length).startswith(f"{name}: ")


def test_same_length_by_another_setting_changes_nothing(stopped):
    run = seqgen.train(out=stopped, resume=True, max_steps=8, max_epochs=100.0)

    assert (run.total_steps, run.notices) == (8, [])


def test_resume_refuses_fewer_steps(stopped, refused):
    assert "8 steps" in refused(ConfigError, max_steps=7)
    change(stopped / "config.json", "training.max_steps", 7)
    reason = refused(RunError)
    assert f"{stopped}/config.json: training.max_steps is 7, and was 8" in reason
    assert "--max-steps" in reason


# --- locking


LOCK = """
import sys
from pathlib import Path
from seqgen.errors import RunError
from seqgen.runs.directory import RunDirectory
try:
    lock = RunDirectory(Path(sys.argv[1])).acquire_lock()
except RunError as error:
    print(error, flush=True)
else:
    print("locked", flush=True)
    sys.stdin.read()
"""


def start_locking(path):
    """Start another process that locks the run; return it and what it prints."""
    command = [sys.executable, "-c", LOCK, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_run_trained_by_another_object_is_refused(stopped, refused):
    run = seqgen.train(out=stopped, resume=True)
    events = iter(run)
    next(events)

    assert "already" in refused(RunError)
    events.close()
    seqgen.train(out=stopped, resume=True).close()


def test_unstarted_run_is_locked_until_closed_or_dropped(stopped, refused):
    run = seqgen.train(out=stopped, resume=True)
    assert "already" in refused(RunError)
    run.close()
    seqgen.train(out=stopped, resume=True)  # dropped at once
    seqgen.train(out=stopped, resume=True).close()


def test_run_trained_by_another_process_is_refused_until_it_is_killed(stopped, refused):
    process, printed = start_locking(stopped)
    with process:
        try:
            assert printed == "locked"
            assert "already" in refused(RunError)
        finally:
            process.send_signal(signal.SIGKILL)

    assert len(list(seqgen.train(out=stopped, resume=True))) > 4


def test_run_trained_here_is_refused_to_another_process(stopped):
    run = seqgen.train(out=stopped, resume=True)
    process, printed = start_locking(stopped)
    process.communicate()
    run.close()

    assert "already" in printed
    RunDirectory(stopped).acquire_lock().release()

"""A full or failing disk does not end a run: a failed save is repeated, and older checkpoints stay complete."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import seqgen
from seqgen.training.checkpoint import newest_checkpoint

from .faults import Fault, moment_of
from .survival import (
    NEEDS_FORK,
    SETTINGS,
    STEPS,
    TEXT,
    TINY_RUNS,
    Subject,
    assert_readable,
    assert_same_end,
    assert_survived,
    complete_checkpoints,
    leftovers,
    subject,
    try_each,
)

pytestmark = [NEEDS_FORK, pytest.mark.xdist_group("worker")]  # one worker for all of them
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)

UNDER_A_LIMIT = """
import resource, sys
from seqgen.cli.main import main
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main()
"""


@pytest.fixture
def lstm(pytestconfig) -> Subject:
    return subject("lstm", pytestconfig)


STAGES = (
    "fsync runs/run/metrics.jsonl",
    "mkdir runs/run/checkpoints/.tmp-step",
    "open runs/run/checkpoints/.tmp-step",
    "rename runs/run/checkpoints/.tmp-step",
    "fsync runs/run/checkpoints",
    "open runs/run/.tmp-model.safetensors",
)
"""How the first operation of each stage of a save starts."""


def stages(subject: Subject, save: int) -> list[int]:
    """Return the first operation of each of `STAGES`, in the save after evaluation `save`."""
    return [next(at for at in subject.save(save) if subject.operations[at].startswith(stage)) for stage in STAGES]


def fail_and_continue(subject: Subject) -> Callable[[Path, Fault], None]:
    """Return an attempt: the third save fails, training continues, and the end is the same."""

    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        outcome = subject.worker.train(world, run, fault)
        assert outcome.error is None, outcome.error
        assert [name for name, *_ in outcome.events].count("Step") == STEPS
        assert [event[:2] for event in outcome.events[-2:]] == [["Saved", STEPS], ["Finished", STEPS]]
        assert_same_end(run, subject.run)
        assert len(list(run.glob("checkpoints/*"))) == 2, "more than two checkpoints"
        assert not leftovers(run), leftovers(run)
        if "SaveFailed" not in outcome.names():
            return
        moment = moment_of(world) / "runs" / "run"
        assert_readable(moment)
        complete = [path.name for path in complete_checkpoints(moment)]
        assert len(complete) >= 2, f"only {complete} complete"
        if fault.at % 3 == 0:  # if it had been killed then
            assert_survived(subject, moment_of(world), moment, saves=2)

    return attempt


def fail_at_any_time(subject: Subject) -> Callable[[Path, Fault], None]:
    """Return an attempt: the run reaches the same end, or ends with a SaveError and can be resumed."""

    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        outcome = subject.worker.train(world, run, fault)
        if not outcome.events:
            assert outcome.error is not None
            assert outcome.error[0] == "SaveError", outcome.error
            if fault.until_step is None:
                assert not run.exists(), "a directory without a run was left"
            else:  # it could not be removed either
                assert_survived(subject, world, run, saves=0)
        elif outcome.error is None:
            assert_readable(run)
            assert_same_end(run, subject.run)
        else:
            assert outcome.error[0] == "SaveError", outcome.error
            assert_survived(subject, world, run, subject.saves(fault.at))

    return attempt


@pytest.mark.slow
def test_run_continues_when_any_operation_of_a_save_fails(lstm, tmp_path):
    faults = [Fault("fail", at, code=CODES[at % 3]) for at in lstm.save(2)]

    try_each(tmp_path, faults, fail_and_continue(lstm))


@pytest.mark.slow
def test_failed_save_is_an_event(lstm, tmp_path):
    world = tmp_path.resolve() / "world"
    world.mkdir()
    rename = next(at for at in lstm.save(2) if lstm.operations[at].startswith("rename"))

    outcome = lstm.worker.train(world, world / "runs" / "run", Fault("fail", rename))

    saves = [(name, step) for name, step, _ in outcome.events if name.startswith("Save")]
    assert saves == [("Saved", 2), ("SaveFailed", 4), ("Saved", 6)]


@pytest.mark.slow
def test_run_continues_when_the_disk_is_full_for_a_while(lstm, tmp_path):
    writes = [at for at in lstm.save(2) if lstm.operations[at].startswith("write")][::3]
    faults = [Fault("fail", at, half=True, until_step=5) for at in writes]

    try_each(tmp_path, faults, fail_and_continue(lstm))


@pytest.mark.slow
def test_unwritten_metrics_are_written_later(lstm, tmp_path):
    third, fourth = lstm.after("Saved", 2), lstm.after("Step", 3)
    assert lstm.operations[third].endswith("metrics.jsonl")
    faults = [
        Fault("fail", at, half=half, until_step=until)
        for at, until in ((third, 4), (third, 5), (fourth, 5))
        for half in ((True, False) if at == third else (True,))
    ]

    try_each(tmp_path, faults, fail_and_continue(lstm))


@pytest.mark.slow
def test_on_save_error_stop_ends_the_run(lstm, tmp_path):
    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        outcome = lstm.worker.train(world, run, fault, on_save_error="stop")
        assert outcome.error is not None
        assert outcome.error[0] == "SaveError"
        named = re.search(r"the last checkpoint is ([^;\s]+)", outcome.error[1])
        assert named is not None
        assert Path(named[1]).is_dir()
        newest = newest_checkpoint(run / "checkpoints")
        assert newest is not None
        assert newest.damaged == ()
        assert outcome.names()[-1] == "Sampled"
        assert_survived(lstm, world, run, saves=2)

    try_each(tmp_path, [Fault("fail", at) for at in stages(lstm, 2)[::3]], attempt)


@pytest.mark.slow
def test_last_save_is_tried_twice(lstm, tmp_path):
    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        outcome = lstm.worker.train(world, run, fault)
        assert outcome.error is None
        assert outcome.names()[-3:] == ["SaveFailed", "Saved", "Finished"]
        assert_same_end(run, lstm.run)

    try_each(tmp_path, [Fault("fail", at) for at in stages(lstm, 3)], attempt)


@pytest.mark.slow
def test_failed_last_save_is_an_error_and_the_run_resumes(lstm, tmp_path):
    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        outcome = lstm.worker.train(world, run, fault)
        assert outcome.error is not None
        assert outcome.error[0] == "SaveError"
        assert outcome.names()[-1] == "SaveFailed"
        assert_survived(lstm, world, run, saves=3)

    faults = [Fault("fail", at, until_step=STEPS + 1) for at in stages(lstm, 3)[::3]]
    try_each(tmp_path, faults, attempt)


@pytest.mark.slow
def test_full_disk_is_noticed_before_training(lstm, tmp_path):
    faults = [Fault("fail", at, code=CODES[at % 3]) for at in range(0, lstm.after("created", 0), 4)]

    try_each(tmp_path, faults, fail_at_any_time(lstm))


@pytest.mark.slow
def test_command_on_a_full_disk_names_the_last_checkpoint(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    run = tmp_path / "run"
    polls = iter([False] * 4 + [True])
    list(seqgen.train(tmp_path / "text.txt", out=run, stop=lambda: next(polls), **SETTINGS, **TINY_RUNS["gru"]))
    before = complete_checkpoints(run)
    limit = (before[-1] / "optimizer.safetensors").stat().st_size - 1
    assert (run / "metrics.jsonl").stat().st_size < limit - 2000

    command = [sys.executable, "-c", UNDER_A_LIMIT, str(limit), "train", "--resume", "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 4, done.stderr
    error = done.stderr.splitlines()[-1]
    assert "run/checkpoints/step-000006 could not be written: File too large" in error
    assert "run/checkpoints/step-000004" in error
    assert "--resume" in error
    assert "Traceback" not in done.stderr
    assert complete_checkpoints(run) == before
    assert len(before) == 2
    assert leftovers(run) == []
    assert_readable(run)


# --- the long form


@pytest.mark.campaign
@pytest.mark.parametrize("family", TINY_RUNS)
def test_run_survives_a_failure_of_any_operation(family, pytestconfig, tmp_path, record_property, capsys):
    chosen = subject(family, pytestconfig)
    points = range(len(chosen.operations) - 1)
    faults = [Fault("fail", at, code=code) for at in points for code in (errno.ENOSPC, errno.EACCES)]
    faults += [Fault("fail", at, half=True, until_step=STEPS + 1) for at in points]
    record_property("faults", len(faults))
    with capsys.disabled():
        print(f"\na disk that fails, {family}: {len(faults)} faults")

    try_each(tmp_path, faults, fail_at_any_time(chosen))

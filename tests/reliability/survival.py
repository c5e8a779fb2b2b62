"""A tiny run of each family to inject faults into, and what must hold for its files afterwards."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import seqgen
from seqgen.errors import RunError
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import find_runs
from seqgen.runs.summary import summarize

from ..comparing import assert_same_run
from ..small_runs import NEURAL, with_length
from .faults import Fault, moment_of
from .worker import Outcome, Worker

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="faults are injected into a forked process")

TINY_RUNS = {cell: with_length(cell, 16) for cell in NEURAL}
TINY_RUNS["lstm"] |= {"layers": 2, "dropout": 0.3}
TINY_RUNS["transformer"] |= {"heads": 2, "dropout": 0.2}
STEPS, EVERY = 6, 2
SETTINGS = {
    "hidden_size": 8, "max_steps": STEPS, "eval_every": EVERY, "batch_size": 4, "warmup_steps": 2, "precision": "fp32",
    "device": "cpu", "valid_share": 0.15,
}  # fmt: skip
"""Four saves: the first one creates the run, the third and later ones remove an older checkpoint."""

TEXT = "".join(
    f"{subject} {verb} the {thing}.\n"
    for subject in ("A child", "My uncle", "The old king")
    for verb in ("watches", "forgets", "paints", "follows")
    for thing in ("river", "quiet moon", "rain", "letter", "harbour")
)


class Subject:
    """An uninterrupted tiny run, and the worker that trains others like it."""

    def __init__(self, family: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name).resolve()
        (folder / "text.txt").write_text(TEXT, "utf-8")
        self.worker = Worker(folder / "text.txt", {**SETTINGS, **TINY_RUNS[family]})
        self.run = folder / "world" / "runs" / "run"
        (folder / "world").mkdir()
        self.outcome = self.worker.train(folder / "world", self.run)
        self.operations = self.outcome.operations

    def close(self) -> None:
        """End the process and remove the run."""
        self.worker.close()
        self._folder.cleanup()

    def after(self, name: str, step: int) -> int:
        """Return the number of operations before this event."""
        return next(count for event, at, count in self.outcome.events if (event, at) == (name, step))

    def saves(self, operation: int) -> int:
        """Return the number of checkpoints that were complete before this operation."""
        return sum(name in {"created", "Saved"} and count <= operation for name, _, count in self.outcome.events)

    def save(self, number: int) -> range:
        """Return the operations of the save after evaluation `number`."""
        return range(self.after("Sampled", number * EVERY), self.after("Saved", number * EVERY))


@functools.cache
def subject(family: str, config: pytest.Config) -> Subject:
    """Return the subject of a family, made once per session."""
    made = Subject(family)
    config.add_cleanup(made.close)
    return made


def complete_checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints whose files match the hashes in state.json, the oldest first."""
    return sorted(filter(_is_complete, run.glob("checkpoints/step-*")))


def _is_complete(checkpoint: Path) -> bool:
    try:
        hashes = json.loads((checkpoint / "state.json").read_bytes())["files"]
        found = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in hashes}
    except (OSError, ValueError, KeyError):
        return False
    return len(found) >= 4 and found == hashes


def leftovers(run: Path) -> list[str]:
    """Return the names of temporary files."""
    return [path.name for path in run.rglob("*") if path.name.startswith(".tmp") or path.name.endswith("tmp")]


def assert_readable(run: Path) -> None:
    """Assert that the run can be listed, summarized and loaded."""
    for directory, config in find_runs(run.parent):
        assert isinstance(config, RunConfig), config
        summarize(directory, config)
    if (run / "config.json").exists() and (run / "model.safetensors").exists():
        seqgen.load(run, device="cpu").generate(max_new_tokens=2)


def assert_same_end(run: Path, straight: Path) -> None:
    """Assert that the runs are bit-identical and the last two checkpoints are complete."""
    assert_same_run(run, straight)
    names = [path.name for path in complete_checkpoints(run)][-2:]
    assert (len(names), names[-1]) == (2, f"step-{STEPS:06d}"), f"only {names} are complete"


def assert_survived(subject: Subject, world: Path, run: Path, saves: int) -> None:
    """Assert that a run that died after this many saves can be read, and resumes to the same end."""
    assert_readable(run)
    if not (run / "config.json").exists():
        assert saves == 0, "the run is gone"
        assert_not_a_run(subject, world, run)
        return
    complete = complete_checkpoints(run)
    assert len(complete) >= max(1, min(saves, 2)), f"only {[path.name for path in complete]} complete"
    was_complete = complete[-1].name == f"step-{STEPS:06d}"

    outcome = subject.worker.resume(world, run)

    if was_complete:
        assert outcome.error is not None
        assert f"is complete after {STEPS} steps" in outcome.error[1], outcome.error
    else:
        assert outcome.error is None, outcome.error
        assert outcome.names()[-1] == "Finished"
        assert outcome.all_seen
        assert len(list(run.glob("checkpoints/*"))) == 2, "more than two checkpoints"
    assert not leftovers(run), leftovers(run)
    assert_same_end(run, subject.run)


def assert_not_a_run(subject: Subject, world: Path, run: Path) -> None:
    """Assert that the directory is refused in one line, and that a new run works."""
    refused = subject.worker.resume(world, run)
    assert refused.error is not None
    assert refused.error[0] == RunError.__name__
    assert "\n" not in refused.error[1]
    again = subject.worker.train(world, run.with_name("again"))
    assert again.error is None
    assert_same_end(run.with_name("again"), subject.run)


def try_each(tmp_path: Path, faults: Sequence[Fault], attempt: Callable[[Path, Fault], None]) -> None:
    """Try all faults, each in its own world, and report those that were not survived."""
    assert faults
    wrong = []
    for fault in faults:
        world = tmp_path.resolve() / "world"
        world.mkdir()
        try:
            attempt(world, fault)
        except Exception as error:  # noqa: BLE001 (try the others too)
            wrong.append(f"{fault}: {type(error).__name__}: {error}")
        for folder in (world, moment_of(world)):
            shutil.rmtree(folder, ignore_errors=True)
    assert not wrong, f"{len(wrong)} of {len(faults)} faults not survived:\n" + "\n".join(wrong)


def assert_died(outcome: Outcome) -> None:
    """Assert that the process was killed."""
    assert outcome.signal == signal.SIGKILL, f"the fault was never met: {outcome.names()}"

"""What faults are tried on, a tiny run of each family, and what must hold of its files whatever happened to them."""

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
from typing import Any

import pytest

import seqgen
from seqgen.errors import RunError
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import find_runs
from seqgen.runs.summary import summarize

from ..comparing import assert_same_run
from .faults import Fault, Outcome, Warm, moment_of

NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="each fault is met by a process that os.fork makes")

FAMILIES: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn", "bptt": 16},
    "lstm": {"cell": "lstm", "layers": 2, "dropout": 0.3, "bptt": 16},
    "gru": {"cell": "gru", "bptt": 16},
    "transformer": {"cell": "transformer", "heads": 2, "block_size": 16, "dropout": 0.2},
}
STEPS, EVERY = 6, 2
SETTINGS = {
    "hidden_size": 8, "max_steps": STEPS, "eval_every": EVERY, "batch_size": 4, "warmup_steps": 2, "precision": "fp32",
    "device": "cpu", "valid_share": 0.15,
}  # fmt: skip
"""Four saves: the first founds the run, from the third on an older one is removed."""

TEXT = "".join(
    f"{subject} {verb} the {thing}.\n"
    for subject in ("A child", "My uncle", "The old king")
    for verb in ("watches", "forgets", "paints", "follows")
    for thing in ("river", "quiet moon", "rain", "letter", "harbour")
)


class Subject:
    """A family's tiny run, never interrupted, and the warm process that makes others like it."""

    def __init__(self, family: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name).resolve()
        (folder / "text.txt").write_text(TEXT, "utf-8")
        self.warm = Warm(folder / "text.txt", {**SETTINGS, **FAMILIES[family]})
        self.run = folder / "world" / "runs" / "run"
        (folder / "world").mkdir()
        self.outcome = self.warm.train(folder / "world", self.run)
        self.operations = self.outcome.operations

    def close(self) -> None:
        """End the process and remove the run."""
        self.warm.close()
        self._folder.cleanup()

    def after(self, name: str, step: int) -> int:
        """How many operations there had been when this event came."""
        return next(count for event, at, count in self.outcome.events if (event, at) == (name, step))

    def saves(self, operation: int) -> int:
        """How many checkpoints were complete before this operation."""
        return sum(name in {"founded", "Saved"} and count <= operation for name, _, count in self.outcome.events)

    def save(self, number: int) -> range:
        """The operations of the save after evaluation `number`, from the end of the evaluation's until it was told."""
        return range(self.after("Sampled", number * EVERY), self.after("Saved", number * EVERY))


@functools.cache
def subject(family: str, config: pytest.Config) -> Subject:
    """One for all tests of a session, as it costs seconds."""
    made = Subject(family)
    config.add_cleanup(made.close)
    return made


def whole_checkpoints(run: Path) -> list[Path]:
    """Those whose every file has the hash that its state.json names, the oldest first."""
    return sorted(filter(_is_whole, run.glob("checkpoints/step-*")))


def _is_whole(checkpoint: Path) -> bool:
    try:
        hashes = json.loads((checkpoint / "state.json").read_bytes())["files"]
        found = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in hashes}
    except (OSError, ValueError, KeyError):
        return False
    return len(found) >= 4 and found == hashes


def leftovers(run: Path) -> list[str]:
    """The names of what is neither the run's nor anybody's."""
    return [path.name for path in run.rglob("*") if path.name.startswith(".tmp") or path.name.endswith("tmp")]


def assert_readable(run: Path) -> None:
    """Whatever there is can be listed, summarized and loaded."""
    for directory, config in find_runs(run.parent):
        assert isinstance(config, RunConfig), config
        summarize(directory, config)
    if (run / "config.json").exists() and (run / "model.safetensors").exists():
        seqgen.load(run, device="cpu").generate(max_new_tokens=2)


def assert_ended_alike(run: Path, straight: Path) -> None:
    """The same run, bit for bit, and its last two checkpoints are whole."""
    assert_same_run(run, straight)
    names = [path.name for path in whole_checkpoints(run)][-2:]
    assert (len(names), names[-1]) == (2, f"step-{STEPS:06d}"), f"only {names} are whole"


def assert_survived(subject: Subject, world: Path, run: Path, saves: int) -> None:
    """What a process left that died after so many saves can be read and gone on with, to the very same end."""
    assert_readable(run)
    if not (run / "config.json").exists():
        assert saves == 0, "the run is gone"
        assert_not_a_run(subject, world, run)
        return
    whole = whole_checkpoints(run)
    assert len(whole) >= max(1, min(saves, 2)), f"only {[path.name for path in whole]} whole"
    was_complete = whole[-1].name == f"step-{STEPS:06d}"

    outcome = subject.warm.resume(world, run)

    if was_complete:
        assert outcome.error is not None
        assert f"is complete after {STEPS} steps" in outcome.error[1], outcome.error
    else:
        assert outcome.error is None, outcome.error
        assert outcome.names()[-1] == "Finished"
        assert outcome.all_seen
        assert len(list(run.glob("checkpoints/*"))) == 2, "more than two checkpoints"
    assert not leftovers(run), leftovers(run)
    assert_ended_alike(run, subject.run)


def assert_not_a_run(subject: Subject, world: Path, run: Path) -> None:
    """It is refused in one sentence, and is in nobody's way."""
    refused = subject.warm.resume(world, run)
    assert refused.error is not None
    assert refused.error[0] == RunError.__name__
    assert "\n" not in refused.error[1]
    again = subject.warm.train(world, run.with_name("again"))
    assert again.error is None
    assert_ended_alike(run.with_name("again"), subject.run)


def try_each(tmp_path: Path, faults: Sequence[Fault], attempt: Callable[[Path, Fault], None]) -> None:
    """Try each fault in a world of its own, all of them whatever comes of one."""
    assert faults
    wrong = []
    for fault in faults:
        world = tmp_path.resolve() / "world"
        world.mkdir()
        try:
            attempt(world, fault)
        except Exception as error:  # noqa: BLE001 (the others are tried too)
            wrong.append(f"{fault}: {type(error).__name__}: {error}")
        for folder in (world, moment_of(world)):
            shutil.rmtree(folder, ignore_errors=True)
    assert not wrong, f"{len(wrong)} of {len(faults)} faults not survived:\n" + "\n".join(wrong)


def assert_died(outcome: Outcome) -> None:
    """The process was killed, as it was to be."""
    assert outcome.signal == signal.SIGKILL, f"the fault was never met: {outcome.names()}"

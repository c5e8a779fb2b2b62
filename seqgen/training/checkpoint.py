"""A checkpoint: all that training needs to go on exactly, in a directory that is whole or not there.

    checkpoints/step-000500/
      weights.safetensors     the model
      best.safetensors        the best weights so far, where something is withheld to measure them by
      optimizer.safetensors   what the optimizer remembers, by parameter
      state.safetensors       random states and the state carried through the text
      config.json             the run's config as it was then
      state.json              the plan, the step, the best evaluation so far, the length of metrics.jsonl, the clock

It is written beside its place and renamed into it, so the name appears with the content. state.json has the SHA-256 of
the others: what does not match is not a checkpoint, whatever its name, and the one before it is taken.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from seqgen.config import Config
from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.models.weights import load_tensors, to_bytes, weights_of
from seqgen.training.learner import Learner
from seqgen.training.metrics import EMPTY
from seqgen.training.overfitting import Watch
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Pace
from seqgen.utils.files import (
    TEMPORARY,
    make_directory,
    open_plain,
    read_at_most,
    sweep,
    sync_directory,
    write_atomically,
    write_durably,
)

WEIGHTS, OPTIMIZER, STATE, CONFIG = "weights.safetensors", "optimizer.safetensors", "state.safetensors", "config.json"
FILES = (WEIGHTS, OPTIMIZER, STATE, CONFIG)
BEST = "best.safetensors"
STATE_FILE = "state.json"
STATE_CAP = 1 << 20
"""Bytes that a state.json may have: a real one has a thousand."""
_NAME = re.compile(r"step-(\d{6,18})")


class Progress(Config):
    """How far a run is."""

    step: int
    seconds: float
    metrics_bytes: int
    metrics_sha256: str = EMPTY
    """Of the first `metrics_bytes` of metrics.jsonl."""
    best_step: int | None = None
    best_nats_per_token: float | None = None
    best_bits_per_byte: float | None = None
    best_bits_per_character: float | None = None
    evaluations_since_best: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    pace: Pace = Pace()
    given_plan: Plan | None = None
    """A plan to follow, instead of making one by the clock."""
    watch: Watch = Watch()


class State(Config):
    """What state.json holds: the plan, the progress, and the hashes of the other files."""

    format_version: Literal[1] = 1
    files: dict[str, str]
    plan: Plan
    progress: Progress


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk. `damaged` says what is wrong with those further on, which were passed over."""

    path: Path
    plan: Plan
    progress: Progress
    damaged: tuple[str, ...]

    @property
    def config(self) -> Path:
        """The run's config at that time."""
        return self.path / CONFIG

    @property
    def best(self) -> Path:
        """The best weights at that time: the last ones, where nothing was evaluated yet."""
        return self.path / (WEIGHTS if self.progress.best_step is None else BEST)

    def with_new_plan(self, *, longer: bool) -> Checkpoint:
        """Return the same for a run whose user changes its plan: no pace of the one before counts.

        Where that makes it `longer`, no evaluation is counted against it either, and a plan that was given has ended.
        """
        changes: dict[str, Any] = {"pace": self.progress.pace.anew()}
        if longer:
            changes |= {"evaluations_since_best": 0, "given_plan": None}
        return replace(self, progress=self.progress.model_copy(update=changes))

    def with_metrics_begun_anew(self) -> Checkpoint:
        """The same, knowing no line of metrics.jsonl."""
        return replace(self, progress=self.progress.model_copy(update={"metrics_bytes": 0, "metrics_sha256": EMPTY}))

    def read_best(self) -> bytes:
        """The content of `best`.

        Raises:
            RunError: it cannot be read any more.
        """
        try:
            return self.best.read_bytes()
        except OSError as error:
            raise RunError(f"{self.best} cannot be read: {error.strerror}; see that it can be, and resume") from error


def save_checkpoint(
    folder: Path,
    learner: Learner,
    progress: Progress,
    config: bytes,
    identity: str,
    best: bytes | None = None,
    before: Path | None = None,
) -> Checkpoint:
    """Write a checkpoint into `folder`, and once it is there remove all others but the one before.

    Args:
        folder: where the checkpoints of the run are.
        learner: what is saved.
        progress: how far it is; its step is the checkpoint's name.
        config: the content of the run's config.json.
        identity: of the run, which what is written carries.
        best: the content of a file with the best weights, where `progress` knows of such.
        before: the last checkpoint that is known to be whole; what else is there is older, or was passed over.

    Raises:
        SaveError: it could not be written; the older ones are untouched.
    """
    path = folder / _name_of(progress.step)
    contents = {
        WEIGHTS: to_bytes(weights_of(learner.model), identity),
        OPTIMIZER: to_bytes(_optimizer_tensors(learner), identity),
        STATE: to_bytes(_state_tensors(learner), identity),
        CONFIG: config,
    }
    if best is not None:
        contents[BEST] = best
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    described = State(files=hashes, plan=learner.plan, progress=progress)
    contents[STATE_FILE] = (described.model_dump_json(indent=1) + "\n").encode()
    try:
        if not folder.exists():
            make_directory(folder)
        sweep(folder)
        temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=folder))
        for name, content in contents.items():
            write_durably(temporary / name, content)
        sync_directory(temporary)
        _remove([path] if path.exists() else [])  # of the same step: it is damaged, or would not be written again
        temporary.rename(path)
        sync_directory(folder)
    except OSError as error:
        sweep(folder)
        raise SaveError(f"the checkpoint {path} could not be written: {error.strerror or error}; make room") from error
    with contextlib.suppress(OSError):  # the save is done; what could not be removed is removed after the next one
        _remove([old for old in _by_step(folder) if old not in {path, before}])
    return Checkpoint(path, learner.plan, progress, ())


def _remove(paths: Iterable[Path]) -> None:
    """Take each name away first: what is half removed must not look like a checkpoint."""
    for path in paths:
        aside = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
        path.rename(aside / path.name)
        shutil.rmtree(aside)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint that is furthest on of those that are whole; None where there is none at all.

    Raises:
        RunError: there are some, and each is damaged, or one cannot be read for a reason that may pass.
    """
    damage: list[str] = []
    try:
        for path in reversed(_by_step(folder)):
            try:
                state = _verify(path)
                return Checkpoint(path, state.plan, state.progress, tuple(damage))
            except _DamageError as error:
                damage.append(str(error))
    except OSError as error:  # no reason to pass a checkpoint over: it may be whole
        raise RunError(
            f"{error.filename} cannot be read: {error.strerror}; see that it can be, and try again"
        ) from error
    if damage:
        raise RunError(f"no checkpoint is whole: {damage[0]}; restore one from a copy, or start anew")
    return None


class _DamageError(Exception):
    """What is wrong with a checkpoint: it is not as it was written."""


_OF_THE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ELOOP}
"""Errors that say what a file is, not that the machine could not read it just now."""


def _verify(path: Path) -> State:
    """The state.json of a checkpoint whose every file is as it was written."""
    where = path / STATE_FILE
    try:
        state = State.from_json(read_at_most(where, STATE_CAP), str(where))
        best = set() if state.progress.best_step is None else {BEST}
        if state.files.keys() != {*FILES, *best}:
            raise _DamageError(f"{where} does not name the files of a checkpoint")
        if path.name != _name_of(state.progress.step):
            raise _DamageError(f"{path} was renamed: it holds step {state.progress.step}")
        for name, expected in state.files.items():
            with open_plain(path / name) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise _DamageError(f"{path / name} is not as it was written")
    except ConfigError as error:
        raise _DamageError(str(error)) from error
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        raise _DamageError(f"{error.filename} cannot be read: {error.strerror}") from error
    return state


def _name_of(step: int) -> str:
    return f"step-{step:06d}"


def _by_step(folder: Path) -> list[Path]:
    """The directories that have a checkpoint's name, the furthest on last."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def load_checkpoint(checkpoint: Checkpoint, learner: Learner, identity: str) -> None:
    """Put a learner into the state that was saved by the run with this identity.

    Raises:
        RunError: a file is missing, broken, or another run's.
    """
    learner.plan = checkpoint.plan
    load_tensors(checkpoint.path / WEIGHTS, weights_of(learner.model), run=identity)
    load_tensors(checkpoint.path / OPTIMIZER, _optimizer_tensors(learner), run=identity)
    state = _state_tensors(learner)
    load_tensors(checkpoint.path / STATE, state, run=identity, optional="random.")
    try:
        learner.random.load_state_dict(
            {name.removeprefix("random."): tensor for name, tensor in state.items() if name.startswith("random.")}
        )
    except RuntimeError as error:
        raise RunError(f"{checkpoint.path / STATE} holds no random state: {error}; restore it from a copy") from error


def publish_best(checkpoint: Checkpoint, weights: Path) -> bool:
    """Make the file `weights` that of the best weights in `checkpoint`; whether it was not before.

    Raises:
        SaveError: it cannot be written.
    """
    best = checkpoint.read_best()
    try:
        if weights.is_file() and weights.stat().st_size == len(best) and weights.read_bytes() == best:
            return False
    except OSError as error:
        raise SaveError(f"{weights} cannot be read: {error.strerror}; give it back its permissions") from error
    write_atomically(weights, best)
    return True


def _optimizer_tensors(learner: Learner) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: `head.weight.exp_avg`, ..."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in learner.model.named_parameters()}
    return {
        f"{names[parameter]}.{key}": value
        for parameter, state in learner.optimizer.state.items()
        for key, value in state.items()
    }


def _state_tensors(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"random.{name}": tensor for name, tensor in learner.random.state_dict().items()}
    return tensors | {f"carried.{index}": tensor for index, tensor in enumerate(learner.carried or ())}

"""Checkpoints: everything that an exact resume needs, in a directory that is complete or absent.

    checkpoints/step-000500/
      weights.safetensors     the model
      best.safetensors        the best weights so far; the latest averaged ones where nothing has been evaluated
      optimizer.safetensors   the optimizer's state and the averaged weights, by parameter
      state.safetensors       random states, and the model's state carried through the text
      config.json             a copy of the run's config
      state.json              the plan, the step, the best evaluation so far, the length of metrics.jsonl, the seconds

A checkpoint is written to a temporary directory and renamed, so that its name appears together with its content.
state.json holds the SHA-256 of the other files: a checkpoint with a file that does not match is damaged, and the one
before it is used.
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
from seqgen.models.weights import load_tensors, to_bytes
from seqgen.training.learner import Learner
from seqgen.training.norms import GradientWatch
from seqgen.training.overfitting import OverfittingDetector
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Timings
from seqgen.utils.files import (
    TEMPORARY,
    make_directory,
    open_regular_file,
    read_at_most,
    remove_temporary_files,
    sync_directory,
    write_atomically,
    write_durably,
)

WEIGHTS, BEST, OPTIMIZER, STATE = (f"{name}.safetensors" for name in ("weights", "best", "optimizer", "state"))
CONFIG = "config.json"
FILES = (WEIGHTS, BEST, OPTIMIZER, STATE, CONFIG)
STATE_FILE = "state.json"
MAX_STATE_BYTES = 1 << 20
"""A real state.json has about 1,000 bytes."""
_NAME = re.compile(r"step-(\d{6,18})")


class TrainingProgress(Config):
    """How far a run has come."""

    step: int
    seconds: float
    metrics_bytes: int
    """Length of metrics.jsonl."""
    best_step: int | None = None
    best_nats_per_token: float | None = None
    best_bits_per_byte: float | None = None
    best_bits_per_character: float | None = None
    best_accuracy: float | None = None
    evaluations_since_best: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    timings: Timings = Timings()
    followed_plan: Plan | None = None
    """Another run's plan to follow, instead of a plan made from measured times."""
    overfitting: OverfittingDetector = OverfittingDetector()
    gradients: GradientWatch = GradientWatch()


class CheckpointState(Config):
    """The content of state.json."""

    format_version: Literal[1] = 1
    files: dict[str, str]
    """The SHA-256 of each other file."""
    plan: Plan
    progress: TrainingProgress


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    plan: Plan
    progress: TrainingProgress
    damaged: tuple[str, ...]
    """What is wrong with each newer checkpoint, which was skipped."""

    @property
    def config(self) -> Path:
        """The copy of the run's config."""
        return self.path / CONFIG

    @property
    def best(self) -> Path:
        """The file of the best weights; of the latest averaged ones if nothing has been evaluated."""
        return self.path / BEST

    def with_new_plan(self, *, longer: bool) -> Checkpoint:
        """Return the checkpoint for a plan that the user has changed: step times of the old plan are dropped.

        If that makes the run `longer`, patience starts again, and a followed plan has ended.
        """
        changes: dict[str, Any] = {"timings": self.progress.timings.without_steps()}
        if longer:
            changes |= {"evaluations_since_best": 0, "followed_plan": None}
        return replace(self, progress=self.progress.model_copy(update=changes))

    def read_best(self) -> bytes:
        """Return the content of `best`.

        Raises:
            RunError: it cannot be read.
        """
        try:
            return self.best.read_bytes()
        except OSError as error:
            raise RunError(f"{self.best} cannot be read: {error.strerror}; make it readable, then resume") from error


def save_checkpoint(
    folder: Path,
    learner: Learner,
    progress: TrainingProgress,
    config: bytes,
    identity: str,
    best: bytes | None = None,
    before: Path | None = None,
) -> Checkpoint:
    """Write a checkpoint into `folder`, then remove all others except `before`.

    Args:
        folder: the run's checkpoints.
        learner: what to save.
        progress: how far the run has come; its step names the checkpoint.
        config: the content of the run's config.json.
        identity: the run's identity, written into the tensor files.
        best: the content of a file with the best weights; None if nothing has been evaluated.
        before: the last checkpoint that is known to be complete.

    Raises:
        SaveError: it could not be written; the older checkpoints are unchanged.
    """
    path = folder / _name_of(progress.step)
    if best is None:
        with learner.averaged():
            best = to_bytes(learner.model.stored_tensors(), identity)
    contents = {
        WEIGHTS: to_bytes(learner.model.stored_tensors(), identity),
        BEST: best,
        OPTIMIZER: to_bytes(_optimizer_tensors(learner), identity),
        STATE: to_bytes(_state_tensors(learner), identity),
        CONFIG: config,
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    state = CheckpointState(files=hashes, plan=learner.plan, progress=progress)
    contents[STATE_FILE] = (state.model_dump_json(indent=1) + "\n").encode()
    try:
        if not folder.exists():
            make_directory(folder)
        remove_temporary_files(folder)
        temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=folder))
        for name, content in contents.items():
            write_durably(temporary / name, content)
        sync_directory(temporary)
        _remove([path] if path.exists() else [])  # a damaged checkpoint of the same step
        temporary.rename(path)
        sync_directory(folder)
    except OSError as error:
        remove_temporary_files(folder)
        raise SaveError(
            f"the checkpoint {path} could not be written: {error.strerror or error}; free some space"
        ) from error
    with contextlib.suppress(OSError):  # the save is done; the next one tries to remove them again
        _remove([old for old in _by_step(folder) if old not in {path, before}])
    return Checkpoint(path, learner.plan, progress, ())


def _remove(paths: Iterable[Path]) -> None:
    """Rename each directory before deleting it, so that a half-deleted one does not look like a checkpoint."""
    for path in paths:
        aside = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
        path.rename(aside / path.name)
        shutil.rmtree(aside)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest complete checkpoint; None if there are no checkpoints.

    Raises:
        RunError: every checkpoint is damaged, or one cannot be read for now (without permission, for example).
    """
    damage: list[str] = []
    try:
        for path in reversed(_by_step(folder)):
            try:
                state = _verify(path)
                return Checkpoint(path, state.plan, state.progress, tuple(damage))
            except _DamageError as error:
                damage.append(str(error))
    except OSError as error:  # it may be complete, so do not skip it
        raise RunError(f"{error.filename} cannot be read: {error.strerror}; make it readable and try again") from error
    if damage:
        raise RunError(f"every checkpoint is damaged: {damage[0]}; restore one from a backup, or start a new run")
    return None


class _DamageError(Exception):
    """A checkpoint is damaged; the message says how."""


_DAMAGE_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ELOOP}
"""Errors that mean a missing or wrong file; any other may be temporary."""


def _verify(path: Path) -> CheckpointState:
    """Return the state of a checkpoint, after checking the hash of every file."""
    where = path / STATE_FILE
    try:
        state = CheckpointState.from_json(read_at_most(where, MAX_STATE_BYTES), str(where))
        if state.files.keys() != set(FILES):
            raise _DamageError(f"{where} does not name the files of a checkpoint")
        if path.name != _name_of(state.progress.step):
            raise _DamageError(f"{path} was renamed: it holds step {state.progress.step}")
        for name, expected in state.files.items():
            with open_regular_file(path / name) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise _DamageError(f"{path / name} does not have the content that was saved")
    except ConfigError as error:
        raise _DamageError(str(error)) from error
    except OSError as error:
        if error.errno not in _DAMAGE_ERRORS:
            raise
        raise _DamageError(f"{error.filename} cannot be read: {error.strerror}") from error
    return state


def _name_of(step: int) -> str:
    return f"step-{step:06d}"


def _by_step(folder: Path) -> list[Path]:
    """Return the directories with a checkpoint's name, the newest last."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def load_checkpoint(checkpoint: Checkpoint, learner: Learner, identity: str) -> None:
    """Restore a learner from a checkpoint of the run with this identity.

    Raises:
        RunError: a file is missing, damaged, or belongs to another run.
    """
    learner.plan = checkpoint.plan
    load_tensors(checkpoint.path / WEIGHTS, learner.model.stored_tensors(), run=identity)
    load_tensors(checkpoint.path / OPTIMIZER, _optimizer_tensors(learner), run=identity)
    state = _state_tensors(learner)
    load_tensors(checkpoint.path / STATE, state, run=identity, optional="random.")
    try:
        learner.random.load_state_dict(
            {name.removeprefix("random."): tensor for name, tensor in state.items() if name.startswith("random.")}
        )
    except RuntimeError as error:
        raise RunError(
            f"{checkpoint.path / STATE} does not hold a valid random state: {error}; restore it from a backup"
        ) from error


def publish_best(checkpoint: Checkpoint, weights: Path) -> bool:
    """Copy the best weights of `checkpoint` to the file `weights`; return False if it has them already.

    Raises:
        SaveError: it cannot be written.
    """
    best = checkpoint.read_best()
    try:
        if weights.is_file() and weights.stat().st_size == len(best) and weights.read_bytes() == best:
            return False
    except OSError as error:
        raise SaveError(f"{weights} cannot be read: {error.strerror}; restore its permissions") from error
    write_atomically(weights, best)
    return True


def _optimizer_tensors(learner: Learner) -> dict[str, Tensor]:
    """Return the optimizer's state and the averages by parameter name: `head.weight.exp_avg`, `head.weight.average`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in learner.model.named_parameters()}
    averages = {} if learner.average is None else learner.average.by_parameter
    return {
        **{
            f"{names[parameter]}.{key}": value
            for parameter, state in learner.optimizer.state.items()
            for key, value in state.items()
        },
        **{f"{names[parameter]}.average": average for parameter, average in averages.items()},
    }


def _state_tensors(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"random.{name}": tensor for name, tensor in learner.random.state_dict().items()}
    carried = {} if learner.carried is None else learner.carried.tensors()
    return tensors | {f"carried.{name}": tensor for name, tensor in carried.items()}

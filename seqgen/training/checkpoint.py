"""A checkpoint: all that training needs to go on exactly, in a directory that is whole or not there.

    checkpoints/step-000500/
      weights.safetensors     the model
      optimizer.safetensors   the optimizer's moments, by parameter
      state.safetensors       random states and the state carried through the text
      state.json              the step, the best evaluation so far, the length of metrics.jsonl, the clock

It is written beside its place and renamed into it, so the name appears with the content. state.json has the SHA-256 of
the other three: what does not match is not a checkpoint, whatever its name, and the one before it is taken.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.files import sync_directory, write_durably
from seqgen.models.weights import load_tensors, to_bytes, weights_of
from seqgen.settings import Settings
from seqgen.training.learner import Learner

KEPT = 2
FILES = ("weights.safetensors", "optimizer.safetensors", "state.safetensors")
STATE_FILE = "state.json"
TEMPORARY = ".tmp-"
_NAME = re.compile(r"step-(\d{6,18})")


class Progress(Settings):
    """How far a run is."""

    step: int
    seconds: float
    metrics_bytes: int
    best_step: int | None = None
    best_nats_per_token: float | None = None
    best_bits_per_byte: float | None = None
    best_bits_per_character: float | None = None
    evaluations_since_best: int = 0


class State(Settings):
    """What state.json holds: the progress, and the hashes of the other files."""

    format_version: Literal[1] = 1
    files: dict[str, str]
    progress: Progress


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk. `damaged` says what is wrong with those further on, which were passed over."""

    path: Path
    progress: Progress
    damaged: tuple[str, ...]


def save_checkpoint(folder: Path, learner: Learner, progress: Progress) -> Path:
    """Write a checkpoint into `folder` and remove those before the last `KEPT`.

    Raises:
        SaveError: it could not be written; the older ones are untouched.
    """
    path = folder / f"step-{progress.step:06d}"
    contents = {
        "weights.safetensors": to_bytes(weights_of(learner.model)),
        "optimizer.safetensors": to_bytes(_optimizer_tensors(learner)),
        "state.safetensors": to_bytes(_state_tensors(learner)),
    }
    state = State(files={name: _sha256(content) for name, content in contents.items()}, progress=progress)
    try:
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        temporary = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=folder))
        for name, content in contents.items():
            write_durably(temporary / name, content)
        write_durably(temporary / STATE_FILE, (state.model_dump_json(indent=1) + "\n").encode())
        sync_directory(temporary)
        if path.exists():  # of the same step, and so the same, unless it is damaged
            _remove(path)
        temporary.rename(path)
        sync_directory(folder)
        for old in _by_step(folder)[:-KEPT]:
            _remove(old)
    except OSError as error:
        _sweep(folder)
        raise SaveError(f"the checkpoint {path} could not be written: {error.strerror or error}") from error
    return path


def _remove(path: Path) -> None:
    """Take the name away first: what is half removed must not look like a checkpoint."""
    aside = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{path.name}-", dir=path.parent))
    path.rename(aside / path.name)
    shutil.rmtree(aside)


def _sweep(folder: Path) -> None:
    """Remove what a save that was killed left behind. Only one process writes a run."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint that is furthest on of those that are whole; None where there is none at all.

    Raises:
        RunError: there are some, and each is damaged.
    """
    damage: list[str] = []
    for path in reversed(_by_step(folder)):
        try:
            return Checkpoint(path, _verify(path), tuple(damage))
        except RunError as error:
            damage.append(str(error))
    if damage:
        raise RunError(f"no checkpoint is whole: {damage[0]}; restore one from a copy, or start anew")
    return None


def _verify(path: Path) -> Progress:
    """The progress of a checkpoint whose every file is as it was written."""
    where = path / STATE_FILE
    try:
        state = State.from_json(where.read_bytes(), str(where))
        if set(state.files) != set(FILES):
            raise RunError(f"{where} does not name the files of a checkpoint")
        for name, expected in state.files.items():
            if _sha256((path / name).read_bytes()) != expected:
                raise RunError(f"{path / name} is not as it was written")
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise RunError(str(error)) from error
    return state.progress


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _by_step(folder: Path) -> list[Path]:
    """The directories that have a checkpoint's name, the furthest on last."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def load_checkpoint(checkpoint: Checkpoint, learner: Learner) -> None:
    """Put a learner into the state that was saved.

    Raises:
        RunError: a file is missing, broken, or another run's.
    """
    load_tensors(checkpoint.path / "weights.safetensors", weights_of(learner.model))
    load_tensors(checkpoint.path / "optimizer.safetensors", _optimizer_tensors(learner))
    state = _state_tensors(learner)
    load_tensors(checkpoint.path / "state.safetensors", state, optional="random.")
    learner.random.load_state_dict(
        {name.removeprefix("random."): tensor for name, tensor in state.items() if name.startswith("random.")}
    )


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

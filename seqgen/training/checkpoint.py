"""A checkpoint: all that training needs to go on exactly, in a directory that is whole or not there.

    checkpoints/step-000500/
      weights.safetensors     the model
      optimizer.safetensors   the optimizer's moments, by parameter
      state.safetensors       random states and the state carried through the text
      state.json              the step, the best evaluation so far, the length of metrics.jsonl, the clock

It is written beside its place and renamed into it, so the name appears with the content. state.json is written last.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.files import sync_directory, write_durably
from seqgen.models.weights import load_tensors, to_bytes, weights_of
from seqgen.settings import Settings
from seqgen.training.learner import Learner

KEPT = 2
_NAME = re.compile(r"step-(\d{6,})")


class Progress(Settings):
    """How far a run is: what state.json holds."""

    format_version: Literal[1] = 1
    step: int
    seconds: float
    metrics_bytes: int
    best_step: int | None = None
    best_nats_per_token: float | None = None
    best_bits_per_byte: float | None = None
    best_bits_per_character: float | None = None
    evaluations_since_best: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    progress: Progress


def save_checkpoint(folder: Path, learner: Learner, progress: Progress) -> Path:
    """Write a checkpoint into `folder` and prune those before the last `KEPT`.

    Raises:
        SaveError: it could not be written; the older ones are untouched.
    """
    path = folder / f"step-{progress.step:06d}"
    temporary = folder / f".{path.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        write_durably(temporary / "weights.safetensors", to_bytes(weights_of(learner.model)))
        write_durably(temporary / "optimizer.safetensors", to_bytes(_optimizer_tensors(learner)))
        write_durably(temporary / "state.safetensors", to_bytes(_state_tensors(learner)))
        write_durably(temporary / "state.json", (progress.model_dump_json(indent=1) + "\n").encode())
        sync_directory(temporary)
        if path.exists():  # a run that was stopped right after a checkpoint, resumed, and stopped again
            shutil.rmtree(path)
        temporary.rename(path)
        sync_directory(folder)
        _prune(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise SaveError(f"the checkpoint {path} could not be written: {error.strerror or error}") from error
    return path


def _prune(folder: Path) -> None:
    for path in sorted(_complete(folder), key=_step_of)[:-KEPT]:
        shutil.rmtree(path)
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The complete checkpoint that is furthest on, or None."""
    found = sorted(_complete(folder), key=_step_of)
    if not found:
        return None
    path = found[-1]
    where = path / "state.json"
    try:
        return Checkpoint(path, Progress.from_json(where.read_bytes(), str(where)))
    except OSError as error:
        raise RunError(f"{where} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunError(f"{error}; move {path} away to go on from the checkpoint before it") from error


def _complete(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / "state.json").is_file()]


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match.group(1)) if match else -1


def load_checkpoint(checkpoint: Checkpoint, learner: Learner) -> None:
    """Put a learner into the state that was saved.

    Raises:
        RunError: a file is missing, broken, or another run's.
    """
    load_tensors(checkpoint.path / "weights.safetensors", weights_of(learner.model))
    _create_moments(learner)
    load_tensors(checkpoint.path / "optimizer.safetensors", _optimizer_tensors(learner))
    state = _state_tensors(learner)
    load_tensors(checkpoint.path / "state.safetensors", state)
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


def _create_moments(learner: Learner) -> None:
    """Give a fresh optimizer the moments that a checkpoint fills: AdamW makes them in its first step."""
    for group in learner.optimizer.param_groups:
        for parameter in group["params"]:
            learner.optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def _state_tensors(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"random.{name}": tensor for name, tensor in learner.random.state_dict().items()}
    return tensors | {f"carried.{index}": tensor for index, tensor in enumerate(learner.carried or ())}

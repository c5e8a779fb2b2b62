"""What happens in a run, as it happens: the same events that the screen draws and metrics.jsonl keeps.

Fields of the clock (`seconds`, `tokens_per_second`) vary from run to run; all others are the same for the same run.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True)
class Step:
    """An optimizer step was taken. `step` counts from 1; `nats_per_token` is the training loss of its batch."""

    step: int
    total_steps: int
    epoch: float
    nats_per_token: float
    bits_per_character: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """The loss or the gradient of a step's batch was no finite number, so the weights were left as they are."""

    step: int
    total_steps: int
    nats_per_token: float
    grad_norm: float
    in_a_row: int
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The validation part was scored, whole; `is_best`: these weights become model.safetensors, when saved."""

    step: int
    nats_per_token: float
    perplexity: float
    bits_per_character: float
    bits_per_byte: float
    is_best: bool
    seconds: float


@dataclass(frozen=True)
class Overfitting:
    """Training and validation have parted: the training loss went on falling while validation got worse. Said once.

    Losses are in nats a token; training's are means over the steps since the evaluation before.
    """

    step: int
    nats_per_token: float
    training_nats_per_token: float
    best_step: int
    best_nats_per_token: float
    best_training_nats_per_token: float


@dataclass(frozen=True)
class Sampled:
    """A fresh sample of the weights as they are, always from the same random numbers."""

    step: int
    text: str


@dataclass(frozen=True)
class Replanned:
    """The run turned out faster or slower than it was planned: it takes `total_steps` in all to end on time."""

    step: int
    total_steps: int
    eval_every: int
    threads: int
    seconds: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint is complete; `path` is relative to the run."""

    step: int
    path: str


@dataclass(frozen=True)
class SaveFailed:
    """A checkpoint could not be written: those before it are whole, and the next save tries again."""

    step: int
    reason: str


Reason: TypeAlias = Literal["complete", "patience", "stopped"]


@dataclass(frozen=True)
class Finished:
    """The run has ended: it was long enough, got no better (`patience`), or was asked to stop and can be resumed."""

    step: int
    total_steps: int
    reason: Reason
    best_step: int | None
    best_bits_per_byte: float | None
    best_bits_per_character: float | None
    skipped: int
    """Steps that changed nothing, because their numbers went wrong."""
    seconds: float


Event: TypeAlias = Step | Skipped | Evaluated | Overfitting | Sampled | Replanned | Saved | SaveFailed | Finished


def as_record(event: Event) -> dict[str, Any]:
    """The event as one line of metrics.jsonl holds it: its name, as in `save_failed`, then its fields."""
    fields = {name: _as_json(value) for name, value in asdict(event).items()}
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__)
    return {"event": name.lower(), **fields}


def _as_json(value: Any) -> Any:
    """JSON has no infinity: a perplexity past what a float holds is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The events of a training run: what the screen shows and metrics.jsonl records.

Measured times (`seconds`, `tokens_per_second`) vary between runs; all other fields are the same for the same run.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True)
class Step:
    """An optimizer step was taken. `step` counts from 1; `nats_per_token` is the training loss of its batch.

    Where targets are labels, a token is a label, and there are no bits.
    """

    step: int
    total_steps: int
    epoch: float
    nats_per_token: float
    bits_per_character: float | None
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """The loss or gradient of a step was NaN or infinite, so the step was skipped and the weights are unchanged."""

    step: int
    total_steps: int
    nats_per_token: float
    grad_norm: float
    in_a_row: int
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The validation part was scored with the averaged weights; if `is_best`, the next save publishes them.

    `accuracy` is the share of labels that are right; where targets are labels, a token is a label, and there are no
    bits.
    """

    step: int
    nats_per_token: float
    perplexity: float
    bits_per_character: float | None
    bits_per_byte: float | None
    is_best: bool
    seconds: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Fitted:
    """A model was fitted in one pass over the training part, which counts as one step.

    `sizes` are the numbers of its n-grams of each order, `notices` what the user should know, a sentence each.
    """

    step: int
    total_steps: int
    sizes: tuple[int, ...]
    notices: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class MemberStarted:
    """A member of a mixture is trained next: the events up to its `Finished` are of its run.

    `step` counts the steps of the members before it; `path` is relative to the mixture.
    """

    step: int
    name: str
    path: str


@dataclass(frozen=True)
class Mixed:
    """The weights of a mixture's members were set; the figures are those of the text that sets them.

    `members` has the weight, nats per token and bits per byte of each member by name. `step` counts the steps of all.
    """

    step: int
    total_steps: int
    members: dict[str, dict[str, float]]
    nats_per_token: float
    bits_per_character: float
    bits_per_byte: float
    seconds: float


@dataclass(frozen=True)
class NotMixed:
    """A mixture ends without weights, because the members called `missing` have none yet; resuming trains them."""

    step: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Overfitting:
    """The training loss kept falling while the validation loss rose. Reported once a run.

    Losses are in nats per token; a training loss is the mean over the steps since the evaluation before.
    """

    step: int
    nats_per_token: float
    training_nats_per_token: float
    best_step: int
    best_nats_per_token: float
    best_training_nats_per_token: float


@dataclass(frozen=True)
class Norms:
    """The gradient and the update of a step, by group of parameters: `embedding`, `layers.0`, `head`, ...

    Of recurrent layers the groups are `layers.0.input-hidden` and `layers.0.hidden-hidden`. Measured every
    `norms.MEASURED_EVERY` steps, and at each step before an evaluation.
    """

    step: int
    gradient: dict[str, float]
    """Norm of the gradient before clipping."""
    update: dict[str, float]
    """Norm of the change of the weights, divided by the norm of the weights."""


@dataclass(frozen=True)
class VanishingGradient:
    """The gradient of a layer is far below that of the head. Reported once a run."""

    step: int
    group: str
    """The layer, or the part of a layer."""
    gradient: float
    """Norm of its gradient."""
    head_gradient: float
    """Norm of the gradient of the head."""


@dataclass(frozen=True)
class ExplodingGradient:
    """The gradient is large, and the training loss far above that of guessing. Reported once a run."""

    step: int
    group: str
    """The group with the largest gradient."""
    gradient: float
    """Norm of its gradient before clipping."""
    grad_norm: float
    """Norm of the whole gradient before clipping."""
    nats_per_token: float
    """Training loss of the step."""
    guessing_nats_per_token: float
    """Loss of equal probabilities for all tokens or labels."""


@dataclass(frozen=True)
class Sampled:
    """A sample of the averaged weights, always from the same random numbers."""

    step: int
    text: str


@dataclass(frozen=True)
class Replanned:
    """The run is faster or slower than planned: with `total_steps` it ends on time."""

    step: int
    total_steps: int
    eval_every: int
    threads: int
    seconds: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint was saved; `path` is relative to the run."""

    step: int
    path: str


@dataclass(frozen=True)
class SaveFailed:
    """A checkpoint could not be saved: older ones are unchanged, and the next save tries again."""

    step: int
    reason: str


Reason: TypeAlias = Literal["complete", "patience", "stopped"]


@dataclass(frozen=True)
class Finished:
    """The run has ended: all steps taken, no improvement (`patience`), or stopped by the user and resumable."""

    step: int
    total_steps: int
    reason: Reason
    best_step: int | None
    best_bits_per_byte: float | None
    best_bits_per_character: float | None
    skipped: int
    """Skipped steps."""
    seconds: float
    best_accuracy: float | None = None


Event: TypeAlias = (
    Step
    | Skipped
    | Evaluated
    | Norms
    | VanishingGradient
    | ExplodingGradient
    | Overfitting
    | Sampled
    | Replanned
    | Saved
    | SaveFailed
    | Finished
    | Fitted
    | MemberStarted
    | Mixed
    | NotMixed
)


def as_record(event: Event) -> dict[str, Any]:
    """Return the event as metrics.jsonl records it: its name (`save_failed`), then its fields."""
    fields = {name: _as_json(value) for name, value in asdict(event).items()}
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__)
    return {"event": name.lower(), **fields}


def _as_json(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {name: _as_json(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

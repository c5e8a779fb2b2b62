"""The settings of training. No torch, no numpy."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from seqgen.config import BY_PRESET, RUN, TRAINING, Config, setting

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> Any:
    """Return seconds from `90`, `"90"`, `"90s"`, `"2m"` or `"1h30m"`; the field refuses anything else."""
    if isinstance(value, str):
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
        if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
            raise ValueError(f"{value!r} is not a duration; write 90s, 2m or 1h30m")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return value


Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
MOST_THREADS = 1024


class FitConfig(Config):
    """The settings that families have that are fitted in one pass over the text, which takes as long as it takes."""

    max_time: Duration | None = setting(
        None, "Training time: 90s, 5m, 1h.", TRAINING, shown="2m", metavar="TIME", accepts=float | str | None
    )
    seed: int = setting(0, "Random seed.", TRAINING, ge=0, lt=2**63)
    device: str = setting("auto", "Device: auto, cpu, cuda, cuda:1, ...", TRAINING, metavar="DEVICE")
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = setting(
        None, "CPU threads.", TRAINING, shown="all; with --max-time the fastest number"
    )


class TrainingConfig(FitConfig):
    """How a model is trained.

    The length of a run is `max_steps`, `max_epochs` or `max_time`, whichever is reached first; without any it is
    `DEFAULT_TIME`. What they come to, in steps, is the run's plan (`seqgen/training/plan.py`).
    """

    max_steps: Count | None = setting(None, "Maximum number of optimizer steps.", TRAINING)
    max_epochs: float | None = setting(None, "Maximum number of epochs.", TRAINING, gt=0.0)
    batch_size: Count = setting(32, "Sequences per batch.", TRAINING, shown=BY_PRESET)
    bptt: Count = setting(64, "Number of tokens to backpropagate through.", TRAINING, shown=BY_PRESET)
    grad_accum: Count = setting(1, "Gradient accumulation: batches per optimizer step.", TRAINING)
    optimizer: Literal["adamw", "muon"] = setting(
        "adamw",
        "Optimizer; muon updates the matrices between embedding and head, and AdamW the rest.",
        TRAINING,
        shown=BY_PRESET,
    )
    lr: float = setting(0.005, "Peak learning rate.", TRAINING, shown=BY_PRESET, gt=0.0)
    schedule: Literal["linear", "cosine", "constant"] = setting("linear", "Learning rate schedule.", TRAINING)
    warmup_steps: int | None = setting(
        None, "Warmup steps.", TRAINING, shown="a tenth of the run, at most 100", ge=0, lt=2**63
    )
    weight_decay: float = setting(
        0.01, "Weight decay of the matrices between embedding and head.", TRAINING, shown=BY_PRESET, ge=0.0
    )
    average: Share = setting(
        0.3,
        "Average the weights that are evaluated and kept over this share of the steps so far; the average gets shorter "
        "as the learning rate decays. 0 is off.",
        TRAINING,
    )
    adam_betas: tuple[Share, Share] = (0.9, 0.99)
    """Decay rates of AdamW's moments."""
    adam_epsilon: float = Field(1e-8, gt=0.0)
    muon_momentum: Share = 0.95
    """Nesterov momentum of Muon."""
    label_smoothing: Share = setting(
        0.0, "Share of each target's probability that is spread over all tokens while learning.", TRAINING
    )
    clip_grad_norm: float = setting(1.0, "Clip gradients to this norm.", TRAINING, gt=0.0)
    eval_every: Count | None = setting(None, "Steps between evaluations.", TRAINING, shown="a tenth of the run")
    patience: int = setting(0, "Stop after this many evaluations without improvement.", TRAINING, shown="never", ge=0)
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Precision; auto uses bf16 where the hardware supports it.", TRAINING
    )
    save_every: Duration = setting(
        600.0, "Maximum time between checkpoints.", RUN, shown="10m", metavar="TIME", accepts=float | str
    )
    on_save_error: Literal["retry", "stop"] = setting(
        "retry", "If a checkpoint cannot be written: retry at the next one, or stop.", RUN
    )

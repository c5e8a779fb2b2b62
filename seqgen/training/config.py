"""How a model is trained. No torch, no numpy."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from seqgen.config import Config

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> Any:
    """Seconds from `90`, `"90"`, `"90s"`, `"2m"`, `"1h30m"`; anything else is left for the field to refuse."""
    if isinstance(value, str):
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
        if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
            raise ValueError(f"{value!r} is no duration; write 90s, 2m or 1h30m")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return value


Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
MOST_THREADS = 1024


class TrainingConfig(Config):
    """How a model is trained.

    The length of a run is `max_steps`, `max_epochs` or `max_time`, whichever is reached first; without any it is
    `DEFAULT_TIME`. What they come to, in steps, is the run's plan (`seqgen/training/plan.py`).
    """

    batch_size: Count = 32
    bptt: Count | None = None
    """Tokens after which gradients are cut (recurrent cells); a transformer's windows are its `block_size`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon learns the matrices between embedding and head; what it does not learn is AdamW's."""
    lr: float = Field(default=0.005, gt=0.0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int | None = Field(default=None, ge=0, lt=2**63)
    """Steps to reach `lr`; None is a tenth of the run, at most 100."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    clip_grad_norm: float = Field(default=1.0, gt=0.0)
    grad_accum: Count = 1
    max_steps: Count | None = None
    max_epochs: float | None = Field(default=None, gt=0.0)
    max_time: Duration | None = None
    eval_every: Count | None = None
    """Steps between evaluations; None is a tenth of the run."""
    save_every: Duration = 600.0
    """Time between checkpoints at most; each evaluation is followed by one too."""
    on_save_error: Literal["retry", "stop"] = "retry"
    """When a checkpoint cannot be written: go on and try at the next one, or stop."""
    patience: int = Field(default=0, ge=0)
    """Evaluations without improvement after which training ends; 0 never."""
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    """Of torch on a CPU; None is torch's own number, or with `max_time` the fastest of it, its half ... 1."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)

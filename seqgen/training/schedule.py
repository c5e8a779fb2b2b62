"""The learning rate, a pure function of the step and the plan."""

from __future__ import annotations

import math

from seqgen.training.config import TrainingConfig
from seqgen.training.plan import PlanStage


def learning_rate(step: int, stage: PlanStage, config: TrainingConfig) -> float:
    """Return the rate of step `step` (from 0): linear warm-up, then decay to 0 at the end, or constant."""
    if step < stage.warmup_end:
        return config.lr * stage.warmup_at(step)
    progress = stage.progress_at(step)
    match config.schedule:
        case "linear":
            return config.lr * (1.0 - progress)
        case "cosine":
            return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "constant":
            return config.lr

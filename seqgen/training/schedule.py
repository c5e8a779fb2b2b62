"""The learning rate as a pure function of the step and the plan."""

from __future__ import annotations

import math

from seqgen.training.config import TrainingConfig
from seqgen.training.plan import Stretch


def learning_rate(step: int, stretch: Stretch, config: TrainingConfig) -> float:
    """Return the rate of step `step` (from 0): a linear warm-up, then the decay, if any, to 0 at the end."""
    if step < stretch.warmup_end:
        return config.lr * stretch.warmup_at(step)
    progress = stretch.progress_at(step)
    match config.schedule:
        case "linear":
            return config.lr * (1.0 - progress)
        case "cosine":
            return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "constant":
            return config.lr

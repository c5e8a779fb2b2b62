"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from seqgen.training.config import TrainingConfig


def learning_rate(step: int, total_steps: int, config: TrainingConfig) -> float:
    """The rate of step `step` (from 0) of `total_steps`: a linear warm-up, then the decay, if any, to 0 at the end."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    progress = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    match config.schedule:
        case "linear":
            return config.lr * (1.0 - progress)
        case "cosine":
            return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "constant":
            return config.lr

"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from seqgen.training.config import TrainingConfig

LONGEST_WARMUP = 100
"""With 20, a GRU over bytes saturated in its first steps and ended 0.1 nats behind the same with 100."""


def learning_rate(step: int, total_steps: int, config: TrainingConfig) -> float:
    """The rate of step `step` (from 0) of `total_steps`: a linear warm-up, then the decay, if any, to 0 at the end."""
    warmup = warmup_steps(total_steps, config)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    match config.schedule:
        case "linear":
            return config.lr * (1.0 - progress)
        case "cosine":
            return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "constant":
            return config.lr


def warmup_steps(total_steps: int, config: TrainingConfig) -> int:
    """Where the warm-up is not set, a tenth of the run, at most `LONGEST_WARMUP` steps."""
    return min(LONGEST_WARMUP, total_steps // 10) if config.warmup_steps is None else config.warmup_steps

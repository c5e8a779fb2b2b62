"""From a time to a number of steps: probe what a step, an evaluation and a save take here, on copies."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from seqgen.models.weights import save_weights
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner

IN_HAND = 0.1  # of the time: a probe mispredicts a run by up to that
EVALUATIONS = 10
EVALUATION_SHARE = 0.15  # of the time, at most
WARM_UP_STEPS = 3
PROBE_STEPS = 8
PROBE_SECONDS = 1.5


def steps_for(config: TrainingConfig, tokens_per_epoch: int, tokens_per_step: int) -> int | None:
    """The steps that `max_steps` and `max_epochs` allow; None where neither is set."""
    limits = [] if config.max_steps is None else [config.max_steps]
    if config.max_epochs is not None:
        limits.append(max(1, round(config.max_epochs * tokens_per_epoch / tokens_per_step)))
    return min(limits, default=None)


def steps_within(seconds: float, learner: Learner, evaluate: Callable[[], object] | None) -> tuple[int, int]:
    """How many steps fit into `seconds`, and after how many of them to evaluate.

    Args:
        seconds: for steps, evaluations and saves together; a tenth of it is kept in hand.
        learner: is left as it was: the probe works on a copy.
        evaluate: one evaluation of the validation part, if there is one.
    """
    began = time.perf_counter()
    step = _time_steps(copy.deepcopy(learner))
    pause = _time_pause(learner, evaluate)
    left = seconds * (1 - IN_HAND) - (time.perf_counter() - began)
    evaluations = max(1, min(EVALUATIONS, int(seconds * EVALUATION_SHARE / pause)))
    steps = max(1, int((left - evaluations * pause) / step))
    return steps, -(-steps // evaluations)


def _time_steps(learner: Learner) -> float:
    """The mean time of a step in a few, after a warm-up."""
    for step in range(WARM_UP_STEPS):
        learner.step(step)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < PROBE_STEPS or time.perf_counter() - began < PROBE_SECONDS:
        start = time.perf_counter()
        learner.step(WARM_UP_STEPS + len(times))
        times.append(time.perf_counter() - start)
        if len(times) >= 2 and time.perf_counter() - began > 4 * PROBE_SECONDS:  # steps of seconds: two will do
            break
    return sum(times) / len(times)


def _time_pause(learner: Learner, evaluate: Callable[[], object] | None) -> float:
    """The time between two stretches of steps: an evaluation, and the weights, moments and copies that are saved."""
    began = time.perf_counter()
    if evaluate is not None:
        evaluate()
    with tempfile.TemporaryDirectory() as folder:
        save_weights(learner.model, Path(folder) / "weights.safetensors")
    saved = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        save_weights(learner.model, Path(folder) / "weights.safetensors")
    return (saved - began) + 3 * (time.perf_counter() - saved)

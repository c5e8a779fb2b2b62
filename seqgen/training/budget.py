"""From a time to a number of steps: probe what a step, an evaluation and a save take here, on copies."""

from __future__ import annotations

import copy
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from seqgen.data.batches import BatchStream
from seqgen.files import write_atomically
from seqgen.models.weights import to_bytes, weights_of
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner

IN_HAND = 0.1  # of the time: a probe mispredicts a run by up to that
EVALUATIONS = 10
EVALUATION_SHARE = 0.15  # of the time, at most
FILES_OF_WEIGHTS = (
    5  # that a save writes: the weights, the optimizer's moments, the best weights, and those once more outside
)
WARM_UP_STEPS = 5
SLOW_SECONDS = 1.0
"""Of warming up, at least, after which that is the probe: where steps take so long, the time counts more."""
PROBE_STEPS = 8
PROBE_SHARE = 0.05  # of the time, and at most PROBE_SECONDS: the longer, the less a hiccup of the machine counts
PROBE_SECONDS = 5.0


def steps_for(config: TrainingConfig, stream: BatchStream) -> int | None:
    """The steps that `max_steps` and `max_epochs` allow; None where neither is set."""
    limits = [] if config.max_steps is None else [config.max_steps]
    if config.max_epochs is not None:
        limits.append(max(1, math.ceil(config.max_epochs * stream.batches_per_epoch / config.accumulate)))
    return min(limits, default=None)


def steps_within(
    seconds: float, learner: Learner, pause: Callable[[], object], eval_every: int | None
) -> tuple[int, int]:
    """How many steps fit into `seconds`, and after how many of them to evaluate.

    Args:
        seconds: for steps, evaluations and saves together; a tenth of it is kept in hand.
        learner: is left as it was: the probe works on a copy.
        pause: what comes between two stretches of steps: evaluating and sampling.
        eval_every: how long such a stretch is, where that is fixed.
    """
    began = time.perf_counter()
    step = _time_steps(learner, min(PROBE_SECONDS, PROBE_SHARE * seconds))
    between = _time_pause(learner, pause)
    left = seconds * (1 - IN_HAND) - (time.perf_counter() - began)
    if eval_every is not None:
        return max(1, int(left / (step + between / eval_every))), eval_every
    evaluations = max(1, min(EVALUATIONS, int(seconds * EVALUATION_SHARE / between)))
    steps = max(1, int((left - evaluations * between) / step))
    return steps, -(-steps // evaluations)


def _time_steps(learner: Learner, seconds: float) -> float:
    """The median time of a step of a copy, in about `seconds` of them after a warm-up."""
    probe = Learner(copy.deepcopy(learner.model), learner.stream, learner.config, learner.precision)
    probe.total_steps = 10**9  # so that the rate stays what a run begins with, and the weights what weights are
    began = time.perf_counter()
    for step in range(WARM_UP_STEPS):
        probe.step(step)
        if (took := time.perf_counter() - began) > max(SLOW_SECONDS, 2 * seconds):
            return took / (step + 1)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < PROBE_STEPS or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        probe.step(WARM_UP_STEPS + len(times))
        times.append(time.perf_counter() - start)
        if len(times) >= 2 and time.perf_counter() - began > 2 * seconds:  # steps of seconds: two will do
            break
    return statistics.median(times)


def _time_pause(learner: Learner, pause: Callable[[], object]) -> float:
    """The time between two stretches of steps, with the weights, moments and copies that are saved."""
    began = time.perf_counter()
    pause()
    paused = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "weights.safetensors", to_bytes(weights_of(learner.model), ""))
    return (paused - began) + FILES_OF_WEIGHTS * (time.perf_counter() - paused)

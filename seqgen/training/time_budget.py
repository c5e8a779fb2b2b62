"""Fit a run into a time limit: benchmark some steps for the first plan, then replan from measured times.

A benchmark of some seconds mispredicts a run on a busy machine, so the plan is revised at evaluations, from the times
measured since it was made. Each benchmark also compares numbers of threads: on a busy machine two threads wait for each
other, and a small model gains nothing from many. Benchmarks work on a copy of the model.
"""

from __future__ import annotations

import copy
import itertools
import math
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from seqgen.config import Config
from seqgen.data.batches import BatchStream
from seqgen.device import torch_threads
from seqgen.models.weights import to_bytes
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.plan import DEFAULT_EVALUATIONS, Plan
from seqgen.utils.files import write_atomically

Clock = Callable[[], float]
"""Returns seconds that only increase, from any origin."""

EVALUATION_SHARE = 0.15
"""Largest share of the time for evaluations, samples and saves."""
MAX_STEPS = 2.0**53
"""Most steps of a plan, however long the time or large the epochs."""
LATE_SHARE = 0.05
"""Share of the time that a late run still gets, so that its learning rate can decay."""
REPLAN_THRESHOLD = 0.03
"""Smallest change of the steps left, as a share, that makes a new plan."""
FILES_PER_SAVE = 6
"""Files as large as the weights that a save writes: weights, two moments, average, and the best weights twice."""
WARM_UP_STEPS = 5
SLOW_SECONDS = 1.0
"""If the warm-up takes longer than this, it is the benchmark: with such slow steps the time matters more."""
MIN_ROUNDS, MAX_ROUNDS = 6, 200
BENCHMARK_SHARE, BENCHMARK_SECONDS = 0.04, 5.0
"""Share of the time limit, and most seconds, for the first benchmark."""
REPLAN_BENCHMARK_SHARE, REPLAN_BENCHMARK_SECONDS = 0.05, 2.0
"""Share of the time left, and most seconds, for a benchmark at a replan."""
CHANGED_SPEED = 0.3
"""Numbers of threads are compared again if a step takes longer or shorter than under the plan before by this share. A
comparison takes seconds, and on a quiet machine the means of two plans differ by up to a quarter."""
CLEARLY_FASTER = 0.95
"""Other threads replace the current ones if their step takes less than this share of the time."""
PAUSE_SECONDS, PAUSE_FACTOR = 10.0, 20.0
"""What takes more than these seconds, and more than this many times as long as usual, is a pause: Ctrl-Z, a closed lid.
"""


class Timings(Config):
    """Measured times of a run. Checkpoints hold them."""

    steps: int = 0
    """Steps since the plan was made."""
    step_seconds: float = 0.0
    """Their total duration."""
    seconds_before: float = 0.0
    """Seconds per step of the plan before; 0 if there was none."""
    evaluation_seconds: float = 0.0
    """Duration of the last evaluation and its sample."""
    save_seconds: float = 0.0
    """Duration of the last save."""

    def replace(self, **changes: Any) -> Self:
        """Return the timings with some fields changed."""
        return self.model_copy(update=changes)

    def after_step(self, seconds: float) -> Self:
        """Return the timings after one more step."""
        return self.replace(steps=self.steps + 1, step_seconds=self.step_seconds + seconds)

    def without_steps(self) -> Self:
        """Return the timings for a new plan."""
        before = self.step_seconds / self.steps if self.steps else self.seconds_before
        return self.replace(steps=0, step_seconds=0.0, seconds_before=before)


class RunTimer:
    """Measures the time of a run over all its sessions, without pauses.

    Args:
        seconds: time of the sessions before.
        clock: the clock to read.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock, self._last = clock, clock()
        self._recent: dict[str, deque[float]] = {}

    def record(self, activity: str = "rest") -> float:
        """Add the time since the last call, and return it.

        Args:
            activity: what the time was spent on; if it usually takes much less, the rest was a pause and is left out.
        """
        now = self._clock()
        seconds, self._last = now - self._last, now
        recent = self._recent.setdefault(activity, deque(maxlen=21))
        usual = statistics.median(recent) if recent else math.inf
        recent.append(seconds)  # pauses too: if they last, they become usual
        if seconds > max(PAUSE_SECONDS, PAUSE_FACTOR * usual):
            seconds = usual
        self.seconds += seconds
        return seconds


def steps_for(config: TrainingConfig, stream: BatchStream) -> int | None:
    """Return the steps that `max_steps` and `max_epochs` allow; None if neither is set."""
    limits = [] if config.max_steps is None else [config.max_steps]
    if config.max_epochs is not None:
        steps_per_epoch = stream.batches_per_epoch / config.grad_accum
        limits.append(max(1, math.ceil(min(config.max_epochs * steps_per_epoch, MAX_STEPS))))
    return min(limits, default=None)


def first_plan(
    learner: Learner, evaluate: Callable[[], object], spent: float, clock: Clock = time.perf_counter
) -> tuple[Plan, Timings]:
    """Make the plan of a new run, and measure its first timings.

    Args:
        learner: not changed.
        evaluate: evaluates and samples once.
        spent: seconds of the time limit that have passed.
        clock: measures the benchmark.
    """
    config = learner.config
    limit = steps_for(config, learner.stream)
    threads = config.threads or torch.get_num_threads()
    if config.max_time is None:
        if limit is None:
            raise ValueError("a run needs steps, epochs or a time")
        plan = Plan.first(limit, eval_every=config.eval_every, warmup_steps=config.warmup_steps, threads=threads)
        return plan, Timings()
    started = clock()
    threads, step_seconds = _fastest_threads(learner, threads, clock)
    timings = _time_evaluation(learner, evaluate, threads, clock)
    left = config.max_time - spent - (clock() - started)
    steps, eval_every = _allocate(left, step_seconds, timings, config, limit)
    # The first plan relies on a benchmark: check it at half of the first interval.
    eval_every = config.eval_every or -(-eval_every // 2)
    return Plan.first(steps, eval_every=eval_every, warmup_steps=config.warmup_steps, threads=threads), timings


def extend_plan(
    learner: Learner, step: int, seconds: float, timings: Timings, clock: Clock = time.perf_counter
) -> Plan:
    """Return the plan of a run that gets more steps or time than planned, from `step` on.

    The progress of the schedule becomes that of a run with this length from the start, if that is less: a run that has
    ended has a learning rate of 0.
    """
    config, plan = learner.config, learner.plan
    limit, threads = steps_for(config, learner.stream), config.threads or plan.current.threads
    if config.max_time is None:
        total = limit or plan.total_steps
        eval_every = -(-total // DEFAULT_EVALUATIONS)
    else:
        threads, step_seconds = _fastest_threads(learner, threads, clock)
        most = None if limit is None else limit - step
        steps, eval_every = _allocate(config.max_time - seconds, step_seconds, timings, config, most)
        total = step + steps
    current = plan.current
    from_start = (step - current.warmup_end) / max(1, total - current.warmup_end)
    progress = min(current.progress_at(step), max(0.0, from_start))
    return plan.replanned(
        step, total, eval_every=eval_every, threads=threads, warmup_steps=config.warmup_steps, progress=progress
    )


def replan(
    learner: Learner, step: int, seconds: float, timings: Timings, clock: Clock = time.perf_counter
) -> Plan | None:
    """Return a new plan from `step` on if the run is faster or slower than planned; else None.

    Args:
        learner: has taken `step` steps by `learner.plan`.
        step: the step of an evaluation.
        seconds: time of the run so far.
        timings: measured since the plan was made.
        clock: measures the benchmark of threads.
    """
    config, current = learner.config, learner.plan.current
    if config.max_time is None or step >= current.total_steps or not timings.steps:
        return None
    step_seconds = timings.step_seconds / timings.steps
    left = config.max_time - seconds - timings.save_seconds
    limit = steps_for(config, learner.stream)
    most, planned = None if limit is None else limit - step, current.total_steps - step
    from_benchmark = len(learner.plan.stages) == 1  # such a plan also evaluates early
    steps, _ = _allocate(left, step_seconds, timings, config, most)
    if not from_benchmark and abs(steps - planned) < REPLAN_THRESHOLD * planned:
        return None
    threads, before = current.threads, timings.seconds_before
    may_change = config.threads is None and learner.model.device.type == "cpu"
    if may_change and abs(step_seconds - before) >= CHANGED_SPEED * before:  # always where there was no plan before
        started = clock()
        threads, step_seconds = _compare_threads(learner, step_seconds, left, clock)
        left -= clock() - started
    steps, eval_every = _allocate(left, step_seconds, timings, config, most)
    return learner.plan.replanned(
        step, step + steps, eval_every=eval_every, threads=threads, warmup_steps=config.warmup_steps
    )


def _allocate(
    left: float, step_seconds: float, timings: Timings, config: TrainingConfig, most: int | None
) -> tuple[int, int]:
    """Return the steps, at most `most`, that fit into the seconds `left`, and the steps between evaluations."""
    max_time = config.max_time or 0.0
    minimum = LATE_SHARE * max_time
    step_seconds, overhead = max(step_seconds, 1e-9), max(timings.evaluation_seconds + timings.save_seconds, 1e-9)
    if config.eval_every is not None:
        per_step = step_seconds + overhead / config.eval_every
        steps = max(1, int(min(max(left - overhead, minimum) / per_step, MAX_STEPS)))
        return min(steps, most or steps), config.eval_every
    left = max(left, minimum)
    # Evaluations are spread over the whole time, so a run that speeds up late has time to notice it.
    in_time = math.ceil(DEFAULT_EVALUATIONS * min(1.0, left / max_time))
    evaluations = max(1, int(min(in_time, left * EVALUATION_SHARE / overhead)))
    steps = max(1, int(min(max(left - evaluations * overhead, minimum) / step_seconds, MAX_STEPS)))
    steps = min(steps, most or steps)
    return steps, -(-steps // evaluations)


def _fastest_threads(learner: Learner, threads: int, clock: Clock) -> tuple[int, float]:
    """Compare `threads`, half of it ... 1, on a CPU; return the smallest near the fastest, and seconds per step."""
    candidates = [threads]
    if learner.config.threads is None and learner.model.device.type == "cpu":
        candidates = [threads >> shift for shift in range(threads.bit_length())]
    seconds = min(BENCHMARK_SECONDS, BENCHMARK_SHARE * (learner.config.max_time or 0.0))
    times = time_steps(learner, candidates, seconds, clock)
    fastest = min(times.values())
    threads = min(number for number, taken in times.items() if CLEARLY_FASTER * taken <= fastest)
    return threads, times[threads]


def _compare_threads(learner: Learner, step_seconds: float, left: float, clock: Clock) -> tuple[int, float]:
    """Compare the current threads with half and twice as many; return the best number, and its seconds per step.

    Args:
        learner: not changed.
        step_seconds: of the current number of threads.
        left: seconds left of the run.
        clock: measures the benchmark.
    """
    current, available = learner.plan.current.threads, torch.get_num_threads()
    others = [number for number in (current // 2, 2 * current) if 1 <= number <= available]
    seconds = min(REPLAN_BENCHMARK_SECONDS, REPLAN_BENCHMARK_SHARE * left)
    if not others or seconds < (1 + len(others)) * step_seconds:  # too little time left for it to pay
        return current, step_seconds
    times = time_steps(learner, [current, *others], seconds, clock)
    best = min(times, key=times.__getitem__)
    if times[best] >= CLEARLY_FASTER * times[current]:
        return current, step_seconds
    return best, step_seconds * times[best] / times[current]


def time_steps(
    learner: Learner, candidates: Sequence[int], seconds: float, clock: Clock = time.perf_counter
) -> dict[int, float]:
    """Return the mean seconds per step by number of threads; the candidates take turns.

    The mean, not the median: if other programs use the cores, some steps on two threads take many times as long, and
    those make a run late.

    Args:
        learner: not changed: a copy takes the steps.
        candidates: numbers of threads; the first one warms up.
        seconds: about how long to measure after the warm-up.
        clock: measures the steps.
    """
    trial = Learner(copy.deepcopy(learner.model), learner.stream, learner.config, learner.precision)
    trial.plan = Plan.first(
        int(MAX_STEPS), warmup_steps=learner.config.warmup_steps
    )  # the learning rate of a run's first steps
    steps = itertools.count()

    def timed(threads: int) -> float:
        start = clock()
        with torch_threads(threads):
            trial.step(next(steps))
        return clock() - start

    first, *others = candidates
    started = clock()
    for number in range(1, WARM_UP_STEPS + 1):
        timed(first)
        elapsed = clock() - started
        if elapsed > max(SLOW_SECONDS, seconds):
            slow = {first: elapsed / number}
            for threads in others:
                slow[threads] = timed(threads)
                if slow[threads] > min(slow.values()):
                    break
            return slow
        if number > 1 and elapsed > seconds / 2:
            break
    times = {first: [timed(first)]}
    for threads in others:
        start = timed(threads)  # includes starting the threads; if it is far slower even so, it is not repeated
        times[threads] = [start if start > 3 * times[first][0] else timed(threads)]
    started = clock()
    for number in range(1, MAX_ROUNDS + 1):
        fastest = min(map(statistics.median, times.values()))
        for threads, taken in times.items():
            if statistics.median(taken) <= 2 * fastest:
                taken.append(timed(threads))
        elapsed = clock() - started
        if elapsed > 2 * seconds or (number >= MIN_ROUNDS and elapsed >= seconds):
            break
    return {threads: statistics.fmean(taken) for threads, taken in times.items()}


def _time_evaluation(learner: Learner, evaluate: Callable[[], object], threads: int, clock: Clock) -> Timings:
    """Time an evaluation, and estimate a save from writing the weights once."""
    started = clock()
    with torch_threads(threads):
        evaluate()
    evaluated = clock()
    with tempfile.TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "weights.safetensors", to_bytes(learner.model.stored_tensors(), ""))
    return Timings(evaluation_seconds=evaluated - started, save_seconds=FILES_PER_SAVE * (clock() - evaluated))

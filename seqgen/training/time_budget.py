"""From a time to a plan: a probe before the first step, what steps really take from then on.

A probe of some seconds mispredicts a run on a machine that does other work too, so the plan is made anew at
evaluations, by what was measured since it was made. Each probe is also a race between numbers of threads: with other
work on the cores two threads wait for each other, and a small model gains nothing from many. Probes work on copies.
"""

from __future__ import annotations

import copy
import math
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from seqgen.config import Config
from seqgen.data.batches import BatchStream
from seqgen.device import torch_threads
from seqgen.models.weights import to_bytes, weights_of
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.plan import EVALUATIONS, Plan
from seqgen.utils.files import write_atomically

Clock = Callable[[], float]
"""Seconds that only grow, from any beginning."""

EVALUATION_SHARE = 0.15
"""Of the time, at most, for evaluations, samples and saves."""
MOST_STEPS = 2.0**53
"""That a length comes to, however long the time or how many the epochs asked for."""
GRACE = 0.05
"""Of the time: what a run that is late still gets, so that the learning rate can decay."""
LEAST_CHANGE = 0.03
"""Of the steps left: a smaller change is noise, and makes no new plan."""
FILES_OF_WEIGHTS = 5
"""That a save writes: weights, two moments, the best weights, and those once more outside."""
WARM_UP_STEPS = 5
SLOW_SECONDS = 1.0
"""Of warming up, at least, after which that is the probe: where steps take so long, the time counts more."""
PROBE_ROUNDS, MOST_ROUNDS = 6, 200
PROBE_SHARE, PROBE_SECONDS = 0.04, 5.0
"""Of the time, and at most: the longer the first probe, the less a hiccup of the machine counts."""
RACE_SHARE, RACE_SECONDS = 0.05, 2.0
"""The same for the race at a replan, of the time left."""
CLEARLY_FASTER = 0.95
"""Of the time of a step: other threads than those in use have to be below it."""
PAUSE_SECONDS, PAUSE_FACTOR = 10.0, 20.0
"""What takes longer than both (the latter times as long as usual) is not training: Ctrl-Z, a closed lid."""


class Pace(Config):
    """What steps have taken since the plan was made, and what lay between them the last time. Kept in checkpoints."""

    steps: int = 0
    step_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    """Of the last evaluation, with its sample."""
    save_seconds: float = 0.0
    """Of the last save."""

    def after_step(self, seconds: float) -> Pace:
        """Add a step."""
        return self.model_copy(update={"steps": self.steps + 1, "step_seconds": self.step_seconds + seconds})

    def anew(self) -> Pace:
        """Forget the steps: another plan holds from here on."""
        return self.model_copy(update={"steps": 0, "step_seconds": 0.0})


class Stopwatch:
    """The time that a run has taken, over all its sessions, without pauses.

    Args:
        seconds: of the sessions before.
        clock: what it reads.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock, self._last = clock, clock()
        self._recent: dict[str, deque[float]] = {}

    def lap(self, what: str = "rest") -> float:
        """Return the seconds since the lap before, and add them.

        Args:
            what: they were spent on; where that took much less before, a pause is left out.
        """
        now = self._clock()
        seconds, self._last = now - self._last, now
        recent = self._recent.setdefault(what, deque(maxlen=21))
        usual = statistics.median(recent) if recent else math.inf
        recent.append(seconds)  # a pause too: where it lasts, it is the usual thing
        if seconds > max(PAUSE_SECONDS, PAUSE_FACTOR * usual):
            seconds = usual
        self.seconds += seconds
        return seconds


def steps_for(config: TrainingConfig, stream: BatchStream) -> int | None:
    """Return the steps that `max_steps` and `max_epochs` allow; None where neither is set."""
    limits = [] if config.max_steps is None else [config.max_steps]
    if config.max_epochs is not None:
        epoch = stream.batches_per_epoch / config.grad_accum
        limits.append(max(1, math.ceil(min(config.max_epochs * epoch, MOST_STEPS))))
    return min(limits, default=None)


def first_plan(
    learner: Learner, evaluate: Callable[[], object], spent: float, clock: Clock = time.perf_counter
) -> tuple[Plan, Pace]:
    """Make the plan that a new run begins with, and its first pace.

    Args:
        learner: is left as it was.
        evaluate: what lies between two stretches of steps: evaluate and sample.
        spent: seconds of the run's time that have gone by.
        clock: what measures.
    """
    config = learner.config
    limit = steps_for(config, learner.stream)
    threads = config.threads or torch.get_num_threads()
    if config.max_time is None:
        if limit is None:
            raise ValueError("a run needs steps, epochs or a time")
        plan = Plan.first(limit, eval_every=config.eval_every, warmup=config.warmup_steps, threads=threads)
        return plan, Pace()
    began = clock()
    threads, step = _fastest(learner, _first_candidates(learner, threads), _probe_seconds(config.max_time), clock)
    pace = _time_evaluation(learner, evaluate, threads, clock)
    left = config.max_time - spent - (clock() - began)
    steps, eval_every = _share_out(left, step, pace, config, limit)
    # The first plan rests on a probe: look at it again after half a stretch.
    eval_every = config.eval_every or -(-eval_every // 2)
    return Plan.first(steps, eval_every=eval_every, warmup=config.warmup_steps, threads=threads), pace


def extended(learner: Learner, step: int, seconds: float, pace: Pace, clock: Clock = time.perf_counter) -> Plan:
    """Return the plan of a run that gets more steps or time than it was planned for, from `step` on.

    The progress of the schedule becomes that of a run planned so from the start, where that is less: a run that has
    ended has a rate of 0, and would not learn.
    """
    config, plan = learner.config, learner.plan
    limit, threads = steps_for(config, learner.stream), config.threads or plan.now.threads
    if config.max_time is None:
        total, eval_every = limit or plan.total_steps, -(-(limit or plan.total_steps) // EVALUATIONS)
    else:
        threads, seconds_each = _fastest(
            learner, _first_candidates(learner, threads), _probe_seconds(config.max_time), clock
        )
        most = None if limit is None else limit - step
        steps, eval_every = _share_out(config.max_time - seconds, seconds_each, pace, config, most)
        total = step + steps
    now = plan.now
    progress = min(now.progress_at(step), max(0.0, (step - now.warmup_end) / max(1, total - now.warmup_end)))
    return plan.replanned(
        step, total, eval_every=eval_every, threads=threads, warmup=config.warmup_steps, progress=progress
    )


def replan(learner: Learner, step: int, seconds: float, pace: Pace, clock: Clock = time.perf_counter) -> Plan | None:
    """Return another plan from `step` on, where the run turned out faster or slower than it was planned; else None.

    Args:
        learner: has taken `step` steps by `learner.plan`.
        step: after an evaluation.
        seconds: of the run's time that have gone by.
        pace: since the plan was made.
        clock: what measures the race.
    """
    config, now = learner.config, learner.plan.now
    if config.max_time is None or step >= now.last_step or not pace.steps:
        return None
    each = pace.step_seconds / pace.steps
    left = config.max_time - seconds - pace.save_seconds
    limit = steps_for(config, learner.stream)
    most, planned = None if limit is None else limit - step, now.last_step - step
    first = len(learner.plan.stretches) == 1  # which rests on a probe, and evaluates early
    steps, _ = _share_out(left, each, pace, config, most)
    if not first and abs(steps - planned) < LEAST_CHANGE * planned:
        return None
    threads = now.threads
    if config.threads is None and learner.model.device.type == "cpu":
        began = clock()
        threads, each = _race(learner, each, left, clock)
        left -= clock() - began
    steps, eval_every = _share_out(left, each, pace, config, most)
    return learner.plan.replanned(
        step, step + steps, eval_every=eval_every, threads=threads, warmup=config.warmup_steps
    )


def _share_out(left: float, step: float, pace: Pace, config: TrainingConfig, most: int | None) -> tuple[int, int]:
    """Return how many steps, `most` at most, fit into the seconds that are `left`, and how many between evaluations."""
    time_asked = config.max_time or 0.0
    grace = GRACE * time_asked
    step, between = max(step, 1e-9), max(pace.evaluation_seconds + pace.save_seconds, 1e-9)
    if config.eval_every is not None:
        each = step + between / config.eval_every
        steps = max(1, int(min(max(left - between, grace) / each, MOST_STEPS)))
        return min(steps, most or steps), config.eval_every
    left = max(left, grace)
    # Ten in the whole time: what is left of them is in proportion to it, so that a run which speeds up late notices.
    in_time = math.ceil(EVALUATIONS * min(1.0, left / time_asked))
    evaluations = max(1, int(min(in_time, left * EVALUATION_SHARE / between)))
    steps = max(1, int(min(max(left - evaluations * between, grace) / step, MOST_STEPS)))
    steps = min(steps, most or steps)
    return steps, -(-steps // evaluations)


def _probe_seconds(max_time: float) -> float:
    return min(PROBE_SECONDS, PROBE_SHARE * max_time)


def _first_candidates(learner: Learner, threads: int) -> list[int]:
    """Return the numbers of threads that a first race is between: `threads`, half of it ... 1."""
    if learner.config.threads is not None or learner.model.device.type != "cpu":
        return [threads]
    return [threads >> shift for shift in range(threads.bit_length())]


def _race(learner: Learner, each: float, left: float, clock: Clock) -> tuple[int, float]:
    """Return the number of threads to continue with, and the seconds of a step: now `each`."""
    now, most = learner.plan.now.threads, torch.get_num_threads()
    candidates = [now, *([now // 2] if now > 1 else []), *([2 * now] if 2 * now <= most else [])]
    seconds = min(RACE_SECONDS, RACE_SHARE * left)
    if len(candidates) == 1 or seconds < len(candidates) * each:  # so little time is left that it would not pay
        return now, each
    times = time_steps(learner, candidates, seconds, clock)
    best = min(times, key=times.__getitem__)
    if times[best] >= CLEARLY_FASTER * times[now]:
        return now, each
    return best, each * times[best] / times[now]


def _fastest(learner: Learner, candidates: Sequence[int], seconds: float, clock: Clock) -> tuple[int, float]:
    """Return the smallest number of threads that is as good as the fastest, and the seconds of its step."""
    times = time_steps(learner, candidates, seconds, clock)
    fastest = min(times.values())
    threads = min(number for number, taken in times.items() if CLEARLY_FASTER * taken <= fastest)
    return threads, times[threads]


def time_steps(
    learner: Learner, candidates: Sequence[int], seconds: float, clock: Clock = time.perf_counter
) -> dict[int, float]:
    """Return the mean seconds of a step by number of threads, the candidates taking turns.

    The mean, not the median: where other programs want the cores some steps on two threads take many times as long,
    and it is these that make a run late.

    Args:
        learner: is left as it was: a copy takes the steps.
        candidates: numbers of threads; the first one warms up.
        seconds: about how long to measure, after a warm-up.
        clock: what measures.
    """
    probe = Learner(copy.deepcopy(learner.model), learner.stream, learner.config, learner.precision)
    probe.plan = Plan.first(10**9, warmup=learner.config.warmup_steps)  # the rate that a run begins with
    steps = iter(range(10**9))

    def timed(threads: int) -> float:
        start = clock()
        with torch_threads(threads):
            probe.step(next(steps))
        return clock() - start

    warm, *others = candidates
    began = clock()
    for number in range(1, WARM_UP_STEPS + 1):
        timed(warm)
        if (took := clock() - began) > max(SLOW_SECONDS, seconds):
            slow = {warm: took / number}
            for threads in others:
                slow[threads] = timed(threads)
                if slow[threads] > min(slow.values()):
                    break
            return slow
        if number > 1 and took > seconds / 2:
            break
    times = {warm: [timed(warm)]}
    for threads in others:
        first = timed(threads)  # which starts the threads; what is far behind even so is not tried again
        times[threads] = [first if first > 3 * times[warm][0] else timed(threads)]
    began = clock()
    for number in range(1, MOST_ROUNDS + 1):
        fastest = min(map(statistics.median, times.values()))
        for threads, taken in times.items():
            if statistics.median(taken) <= 2 * fastest:  # else it is out of the race
                taken.append(timed(threads))
        took = clock() - began
        if took > 2 * seconds or (number >= PROBE_ROUNDS and took >= seconds):
            break
    return {threads: statistics.fmean(taken) for threads, taken in times.items()}


def _time_evaluation(learner: Learner, evaluate: Callable[[], object], threads: int, clock: Clock) -> Pace:
    """Measure what lies between two stretches of steps: an evaluation, and a save by writing the weights once."""
    began = clock()
    with torch_threads(threads):
        evaluate()
    evaluated = clock()
    with tempfile.TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "weights.safetensors", to_bytes(weights_of(learner.model), ""))
    return Pace(evaluation_seconds=evaluated - began, save_seconds=FILES_OF_WEIGHTS * (clock() - evaluated))

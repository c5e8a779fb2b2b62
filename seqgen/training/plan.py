"""The plan of a run: how many steps it takes, when it evaluates, on how many threads. No torch.

A plan is a list of stretches, each from one of the run's steps on. A run of fixed steps or epochs has one, made before
the first step. A run with a time gets another where its speed turned out otherwise: at an evaluation, just before its
checkpoint, which holds the whole plan. So every step of a checkpoint, and those after it up to the next replan, follow
from config, seed and plan.

The schedule of the learning rate is a function of the progress u from 0 to 1: after the warm-up each step adds
(1 - u) / (steps left). A replan changes the steps left and nothing else, so the rate has no jumps.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seqgen.config import Config

LONGEST_WARMUP = 100
"""With 20, a GRU over bytes saturated in its first steps and ended 0.1 nats behind the same with 100."""
EVALUATIONS = 10
"""In a run, where the user does not say how often."""

Step = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Stretch(Config):
    """How the run continues from step `first_step` (from 0) on."""

    first_step: Step
    last_step: Count
    """Steps of the whole run, by this plan."""
    eval_every: Count
    """Steps between evaluations, counted from `first_step`."""
    threads: Count
    """Of torch on a CPU. The number changes how sums round, so it is part of the plan, for evaluations too."""
    warmup_end: Step
    """The step from which on the rate is no longer warming up."""
    warmup: Share
    """Share of the highest rate that the step before `first_step` had, while warming up."""
    progress: Share
    """Of the schedule, at `first_step`."""

    def warmup_at(self, step: int) -> float:
        """Return the share of the highest rate that the warm-up allows `step`."""
        if step >= self.warmup_end:
            return 1.0
        before = self.first_step - 1
        return self.warmup + (1.0 - self.warmup) * (step - before) / (self.warmup_end - before)

    def progress_at(self, step: int) -> float:
        """Return the progress of the schedule at `step`: 0 during the warm-up, 1 at the end."""
        start = max(self.first_step, self.warmup_end)
        if step <= start:
            return self.progress
        return min(1.0, self.progress + (1.0 - self.progress) * (step - start) / max(1, self.last_step - start))


class Plan(Config):
    """The stretches of a run, in order; the last one holds."""

    stretches: tuple[Stretch, ...] = Field(min_length=1)

    @classmethod
    def first(
        cls, last_step: int, *, eval_every: int | None = None, warmup: int | None = None, threads: int = 1
    ) -> Plan:
        """Make the plan that a run of `last_step` steps begins with.

        Args:
            last_step: steps of the run.
            eval_every: steps between evaluations; None is a tenth of the run.
            warmup: steps of the warm-up; None is a tenth of the run, at most `LONGEST_WARMUP`.
            threads: of torch.
        """
        stretch = Stretch(
            first_step=0,
            last_step=last_step,
            eval_every=eval_every or -(-last_step // EVALUATIONS),
            threads=threads,
            warmup_end=_usual_warmup(last_step) if warmup is None else warmup,
            warmup=0.0,
            progress=0.0,
        )
        return cls(stretches=(stretch,))

    @property
    def now(self) -> Stretch:
        """The stretch that holds."""
        return self.stretches[-1]

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.now.last_step

    def evaluates_after(self, step: int, eval_every: int | None) -> bool:
        """Whether an evaluation follows when `step` steps are taken; an `eval_every` of the user's never changes."""
        every, since = (eval_every, 0) if eval_every is not None else (self.now.eval_every, self.now.first_step)
        return step >= self.total_steps or (step - since) % every == 0

    def replanned(
        self,
        step: int,
        last_step: int,
        *,
        eval_every: int | None = None,
        threads: int | None = None,
        warmup: int | None = None,
        progress: float | None = None,
    ) -> Plan:
        """Return the plan with a stretch from `step` on: the learning rate goes on from where it is.

        Args:
            step: steps that were taken.
            last_step: steps of the whole run from now on.
            eval_every: steps between evaluations; None is as before.
            threads: None is as before.
            warmup: the warm-up that the user asked for, which does not move; None moves one that is under way.
            progress: of the schedule at `step`; None continues it.
        """
        now, warmup_end = self.now, self.now.warmup_end
        if step < warmup_end and warmup is None:
            warmup_end = max(step + 1, _usual_warmup(last_step))
        stretch = Stretch(
            first_step=step,
            last_step=last_step,
            eval_every=eval_every or now.eval_every,
            threads=threads or now.threads,
            warmup_end=warmup_end,
            warmup=now.warmup_at(step - 1) if step else 0.0,
            progress=now.progress_at(step) if progress is None else progress,
        )
        kept = tuple(one for one in self.stretches if one.first_step < step)
        return Plan(stretches=(*kept, stretch))


def _usual_warmup(steps: int) -> int:
    return min(LONGEST_WARMUP, steps // 10)

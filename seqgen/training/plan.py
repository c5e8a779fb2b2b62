"""The plan of a run: how many steps it takes, when it evaluates, on how many threads. No torch.

A plan is a list of stages, each of which starts at a step. A run of fixed steps or epochs has one stage, made before
the first step. A run with a time limit gets a new stage when its speed differs from the plan: at an evaluation, just
before the checkpoint, which holds the whole plan. So every step of a checkpoint, and those after it up to the next
replan, follow from config, seed and plan.

The learning rate is a function of the progress u from 0 to 1: after the warm-up each step adds (1 - u) / (steps left).
A replan changes only the steps left, so the rate has no jumps.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seqgen.config import Config

MAX_DEFAULT_WARMUP = 100
"""With 20, a GRU over bytes saturated in its first steps and ended 0.1 nats worse than with 100."""
DEFAULT_EVALUATIONS = 10
"""Evaluations of a run, unless the user sets an interval."""

Step = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PlanStage(Config):
    """How the run continues from step `first_step` (counted from 0)."""

    first_step: Step
    total_steps: Count
    """Steps of the whole run."""
    eval_every: Count
    """Steps between evaluations, counted from `first_step`."""
    threads: Count
    """torch's threads on a CPU. Their number changes how sums round, so it is part of the plan."""
    warmup_end: Step
    """The first step after the warm-up."""
    warmup_share: Share
    """Share of the peak rate at the step before `first_step`, during the warm-up."""
    progress: Share
    """Progress of the schedule at `first_step`."""

    def warmup_at(self, step: int) -> float:
        """Return the share of the peak rate that the warm-up allows at `step`."""
        if step >= self.warmup_end:
            return 1.0
        before = self.first_step - 1
        return self.warmup_share + (1.0 - self.warmup_share) * (step - before) / (self.warmup_end - before)

    def progress_at(self, step: int) -> float:
        """Return the progress of the schedule at `step`: 0 during the warm-up, 1 at the end."""
        start = max(self.first_step, self.warmup_end)
        if step <= start:
            return self.progress
        return min(1.0, self.progress + (1.0 - self.progress) * (step - start) / max(1, self.total_steps - start))


class Plan(Config):
    """The stages of a run, in order; the last one is current."""

    stages: tuple[PlanStage, ...] = Field(min_length=1)

    @classmethod
    def first(
        cls, total_steps: int, *, eval_every: int | None = None, warmup_steps: int | None = None, threads: int = 1
    ) -> Plan:
        """Make the first plan of a run of `total_steps` steps.

        Args:
            total_steps: steps of the run.
            eval_every: steps between evaluations; None is a tenth of the run.
            warmup_steps: steps of the warm-up; None is a tenth of the run, at most `MAX_DEFAULT_WARMUP`.
            threads: torch's threads.
        """
        stage = PlanStage(
            first_step=0,
            total_steps=total_steps,
            eval_every=eval_every or -(-total_steps // DEFAULT_EVALUATIONS),
            threads=threads,
            warmup_end=_default_warmup(total_steps) if warmup_steps is None else warmup_steps,
            warmup_share=0.0,
            progress=0.0,
        )
        return cls(stages=(stage,))

    @property
    def current(self) -> PlanStage:
        """The current stage."""
        return self.stages[-1]

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.current.total_steps

    def evaluates_after(self, step: int, eval_every: int | None) -> bool:
        """Whether an evaluation follows after `step` steps; the user's `eval_every` overrides the plan's."""
        every, since = (eval_every, 0) if eval_every is not None else (self.current.eval_every, self.current.first_step)
        return step >= self.total_steps or (step - since) % every == 0

    def replanned(
        self,
        step: int,
        total_steps: int,
        *,
        eval_every: int | None = None,
        threads: int | None = None,
        warmup_steps: int | None = None,
        progress: float | None = None,
    ) -> Plan:
        """Return the plan with a new stage from `step` on, in which the learning rate continues from its value.

        Args:
            step: steps that were taken.
            total_steps: new number of steps of the whole run.
            eval_every: steps between evaluations; None keeps it.
            threads: torch's threads; None keeps them.
            warmup_steps: the user's warm-up, whose end is kept; None moves the end of an unfinished warm-up.
            progress: of the schedule at `step`; None continues it.
        """
        current, warmup_end = self.current, self.current.warmup_end
        if step < warmup_end and warmup_steps is None:
            warmup_end = max(step + 1, _default_warmup(total_steps))
        new = PlanStage(
            first_step=step,
            total_steps=total_steps,
            eval_every=eval_every or current.eval_every,
            threads=threads or current.threads,
            warmup_end=warmup_end,
            warmup_share=current.warmup_at(step - 1) if step else 0.0,
            progress=current.progress_at(step) if progress is None else progress,
        )
        kept = tuple(stage for stage in self.stages if stage.first_step < step)
        return Plan(stages=(*kept, new))


def _default_warmup(steps: int) -> int:
    return min(MAX_DEFAULT_WARMUP, steps // 10)

"""Whether other programs keep the threads of a training run from working."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

SHARE = 0.7
"""Share of the time that the threads of a run have to get; below it, other programs keep them waiting."""
STEPS, SECONDS = 30, 3.0
"""How many steps and seconds are measured at least."""
PAUSED_SECONDS = 10.0
"""A longer gap between two steps is a pause (Ctrl-Z), not a wait for a processor."""


class CpuContention:
    """Notices, once, that other programs keep the threads of a run from working."""

    def __init__(self, threads: int, run: Path) -> None:
        self._threads, self._run, self._reported = threads, run, threads == 1
        self._before: tuple[int, float, float] | None = None
        self._steps, self._seconds, self._used = 0, 0.0, 0.0

    def interrupt(self) -> None:
        """Leave out the time up to the next step, in which other things were done."""
        self._before = None

    def after_step(self, step: int) -> str | None:
        """Count the time since the previous step; return the notice, if there is one."""
        now = (step, time.perf_counter(), time.process_time())
        if self._before is not None and now[1] - self._before[1] < PAUSED_SECONDS and not self._reported:
            self._steps += 1
            self._seconds += now[1] - self._before[1]
            self._used += now[2] - self._before[2]
        self._before = now
        share = self._used / max(self._seconds * self._threads, 1e-9)
        if self._reported or self._steps < STEPS or self._seconds < SECONDS:
            return None
        self._reported = True
        if share >= SHARE:
            return None
        run = shlex.quote(str(self._run))
        return (
            f"other programs are using the CPU: {self._threads} threads ran {share:.0%} of the time; one thread may "
            f"be faster: press Ctrl-C, then seqgen train --resume --out {run} --threads 1"
        )

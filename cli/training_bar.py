"""The live part of the training screen: a bar, its figures, and the curve of the loss."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text
from seqgen.cli.output import clock

from seqgen.errors import RunError
from seqgen.sources.config import LABELING_TASKS

if TYPE_CHECKING:
    from seqgen.runs.training_run import TrainingRun
    from seqgen.training.events import Evaluated, Step

CURVE_WIDTH = 40
SMOOTHING = 0.95  # of the loss and the speed: about the last 20 steps
_BLOCKS = "▁▂▃▄▅▆▇█"


def loss_of(event: Step | Evaluated) -> float:
    """Return the loss that the screen shows: bits per character, or of labels nats per label."""
    return event.nats_per_token if event.bits_per_character is None else event.bits_per_character


class TrainingBar:
    """The progress bar, its figures, and the curve of the training loss."""

    def __init__(self) -> None:
        self.best: float | None = None
        """The loss of the validation part, in `unit`."""
        self.latest: Step | None = None
        self.loss = self.speed = math.nan
        self.unit, self.counted = "bits/char", "tokens"
        self._curve: list[float] = []
        self._bar = Progress(
            BarColumn(bar_width=None), TaskProgressColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
            expand=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", left="")
        self._first: tuple[int, float] | None = None
        self._max_time: float | None = None
        self._shown = self._losses = 0

    def start(self, run: TrainingRun) -> None:
        """Show a run before its first step."""
        self._bar.update(self._task, total=run.total_steps, completed=run.first_step)
        self._max_time = run.config.training.max_time
        if run.config.data.task in LABELING_TASKS:
            self.unit, self.counted = "nats/label", "labels"
        if run.first_step:
            with contextlib.suppress(RunError, KeyError):  # a damaged line: use those before it
                self._recall(run)

    def _recall(self, run: TrainingRun) -> None:
        """Read the losses of the earlier steps from metrics.jsonl."""
        from seqgen.runs.directory import RunDirectory
        from seqgen.training.metrics import read_metrics

        figure = "nats_per_token" if run.config.data.task in LABELING_TASKS else "bits_per_character"
        for event in read_metrics(RunDirectory(run.path).metrics):
            if event["step"] > run.first_step:
                break
            kind, bits = event["event"], event.get(figure)
            if not isinstance(bits, float) or not math.isfinite(bits):
                continue
            if kind == "step":
                self._add_loss(bits, event["step"], run.total_steps)
            elif kind == "evaluated" and event["is_best"]:
                self.best = bits

    def _add_loss(self, bits: float, step: int, total_steps: int) -> None:
        self._losses += 1
        self.loss = _smooth(self.loss, bits, self._losses)
        if len(self._curve) * total_steps < step * CURVE_WIDTH:
            self._curve.append(self.loss)

    def step(self, event: Step) -> None:
        """Show a step."""
        if self._first is None:
            self._first = (event.step, event.seconds)
        self.latest = event
        self._shown += 1
        self._add_loss(loss_of(event), event.step, event.total_steps)
        self.speed = _smooth(self.speed, event.tokens_per_second, self._shown)
        self._bar.update(
            self._task, total=event.total_steps, completed=event.step, left=f"{clock(self._left(event))} left"
        )

    @property
    def is_timed(self) -> bool:
        """Whether the run has a time limit, so that its number of steps is an estimate."""
        return self._max_time is not None

    def _left(self, event: Step) -> float:
        """Return the seconds to the end, by the speed so far and at most to the time limit."""
        step, seconds = self._first or (event.step, event.seconds)
        if event.step > step:
            each = (event.seconds - seconds) / (event.step - step)
        else:  # the first step: by its own time
            each = event.tokens / event.step / event.tokens_per_second
        left = each * (event.total_steps - event.step)
        return left if self._max_time is None else max(0.0, min(left, self._max_time - event.seconds))

    def __rich__(self) -> Group:
        event = self.latest
        if event is None:
            return Group(self._bar)
        figures = (
            f"loss {self.loss:.3f} {self.unit}  {self.speed:,.0f} {self.counted}/s  lr {event.lr:.1e}  "
            f"gradient {event.grad_norm:.2f}  epoch {event.epoch:.2f}"
        )
        best = "" if self.best is None else f"  best validation {self.best:.3f}"
        curve = f"{sparkline(self._curve)}  {self._curve[0]:.2f} → {self.loss:.2f}{best}"
        return Group(self._bar, *(Text(line, overflow="ellipsis", no_wrap=True) for line in (figures, curve)))


def _smooth(average: float, value: float, count: int) -> float:
    """Return the mean of the first `count` values, and of many an exponential moving average."""
    weight = max(1 - SMOOTHING, 1 / count)
    return value if count == 1 else (1 - weight) * average + weight * value


def sparkline(values: list[float]) -> str:
    """Draw a curve one character high: a block for each value, the tallest for the largest."""
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)

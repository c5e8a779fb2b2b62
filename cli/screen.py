"""What training looks like: on a terminal a live bar with its figures, elsewhere plain lines. On stderr, all of it.

What stays on the screen is one line and one sample an evaluation; what moves is below: the bar, the figures, the curve.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text
from seqgen.cli.output import print_line, printable, printable_bytes, stderr, tokenizer_name
from seqgen.cli.progress import Preparing

from seqgen.errors import RunError
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.train import TrainingRun
    from seqgen.training.events import Evaluated, Event, Finished, Overfitting, Sampled, Step

CURVE_WIDTH = 40
SAMPLE_LINES = 4
WAITING_STEPS, WAITING_SECONDS, WAITING_SHARE = 30, 3.0, 0.7
"""After so many steps and seconds, so little of the threads' time on a processor means that they wait for others."""
PAUSED_SECONDS = 10.0
"""A longer gap between two steps is a pause (Ctrl-Z), not a wait for a processor."""
SMOOTHING = 0.95  # of the loss and the speed: about the last 20 steps
_BLOCKS = "▁▂▃▄▅▆▇█"


class TrainingScreen:
    """Draws a training run from its events. With `quiet` it draws nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = stderr()
        self._preparing = Preparing(self._console)
        self._live: Live | None = None
        self._figures = _Figures()
        self._evaluated = 0
        self._waiting: _Waiting | None = None
        self._raw = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._preparing.stop()
        if self._live is not None:
            self._live.stop()

    def prepare(self, message: str, done: int = 0, total: int = 0) -> None:
        """Say what is being done before the first step; of long work, how far it is."""
        if not self._quiet:
            self._preparing.show(message, done, total)

    def begin(self, run: TrainingRun) -> None:
        """Say what is about to be trained on what."""
        self._preparing.stop()
        self._raw = run.config.data.is_raw
        if self._quiet:
            return
        for line in describe_run(run):
            print_line(self._console, Text(printable(line)))
        for message in run.notices:
            self._notice(message)
        self._figures.start(run)
        if run.config.training.max_time is None and run.config.environment["device"] == "cpu":
            self._waiting = _Waiting(run.plan.current.threads, run.path)
        if self._console.is_terminal:
            self._live = Live(self._figures, console=self._console, transient=True, refresh_per_second=8)
            self._live.start()

    def show(self, event: Event) -> None:
        """Draw one event."""
        from seqgen.training.events import Evaluated, Finished, Overfitting, Sampled, SaveFailed, Skipped, Step

        if self._quiet and not isinstance(event, SaveFailed):  # which is an error, if not yet the end
            return
        if self._waiting is not None and not isinstance(event, Step):
            self._waiting.interrupt()
        match event:
            case Step():
                self._figures.step(event)
                if self._waiting is not None and (message := self._waiting.after_step(event.step)) is not None:
                    self._notice(message)
            case Evaluated():
                self._evaluated = event.step
                self._figures.best = event.bits_per_character if event.is_best else self._figures.best
                print_line(self._console, evaluation_line(event, self._figures))
            case Overfitting():
                self._notice(overfitting_line(event))
            case Sampled():
                if self._evaluated != event.step:  # nothing is validated: the training loss is all there is to say
                    self._console.print(step_of(event.step, self._figures))
                self._console.print(sample_text(event, self._console.width, raw=self._raw))
            case Skipped():
                self._notice(
                    f"step {event.step:,}: the loss is {event.nats_per_token:g}, the gradient's norm "
                    f"{event.grad_norm:g}; the step is skipped"
                )
            case SaveFailed():
                self._notice(f"step {event.step:,}: {event.reason}; training goes on, and tries again at the next save")
            case Finished():
                if self._live is not None:
                    self._live.stop()
                print_line(self._console, Text(finished_line(event), style="bold"))

    def _notice(self, message: str) -> None:
        print_line(self._console, Text(f"note: {printable(message)}", style="yellow"))


class _Waiting:
    """Finds out whether other programs keep the threads of a run of fixed steps from working. Said once."""

    def __init__(self, threads: int, run: Path) -> None:
        self._threads, self._run, self._said = threads, run, threads == 1
        self._before: tuple[int, float, float] | None = None
        self._steps, self._seconds, self._used = 0, 0.0, 0.0

    def interrupt(self) -> None:
        """Leave out the time up to the next step, which is not a step's alone."""
        self._before = None

    def after_step(self, step: int) -> str | None:
        """Count the time since the step before; return what to say, if anything."""
        now = (step, time.perf_counter(), time.process_time())
        if self._before is not None and now[1] - self._before[1] < PAUSED_SECONDS and not self._said:
            self._steps += 1
            self._seconds += now[1] - self._before[1]
            self._used += now[2] - self._before[2]
        self._before = now
        share = self._used / max(self._seconds * self._threads, 1e-9)
        if self._said or self._steps < WAITING_STEPS or self._seconds < WAITING_SECONDS:
            return None
        self._said = True
        if share >= WAITING_SHARE:
            return None
        run = shlex.quote(str(self._run))
        return (
            f"other programs keep the processors busy: {self._threads} threads got {share:.0%} of their time; one "
            f"thread may be faster: end this run by Ctrl-C, then seqgen train --resume --out {run} --threads 1"
        )


class _Figures:
    """The moving part: a bar, its figures, and the curve of the loss."""

    def __init__(self) -> None:
        self.best: float | None = None
        """Bits a character of the validation part."""
        self.latest: Step | None = None
        self.loss = self.speed = math.nan
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
        self._bar.update(self._task, total=run.total_steps, completed=run.first_step)
        self._max_time = run.config.training.max_time
        if run.first_step:
            with contextlib.suppress(RunError, KeyError):  # lines that training does not write: as far as they go
                self._recall(run)

    def _recall(self, run: TrainingRun) -> None:
        """Begin with what metrics.jsonl has of the steps before, as if they had been drawn here."""
        from seqgen.runs.directory import RunDirectory
        from seqgen.training.metrics import read_metrics

        for event in read_metrics(RunDirectory(run.path).metrics):
            if event["step"] > run.first_step:
                break
            kind, bits = event["event"], event.get("bits_per_character")
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
        if self._first is None:
            self._first = (event.step, event.seconds)
        self.latest = event
        self._shown += 1
        self._add_loss(event.bits_per_character, event.step, event.total_steps)
        self.speed = _smooth(self.speed, event.tokens_per_second, self._shown)
        self._bar.update(
            self._task, total=event.total_steps, completed=event.step, left=f"{clock(self._left(event))} left"
        )

    @property
    def is_timed(self) -> bool:
        """Whether the run has a time, so that its number of steps is an estimate."""
        return self._max_time is not None

    def _left(self, event: Step) -> float:
        """Seconds to the end: of the time that was asked for, or of so many steps at the speed so far."""
        step, seconds = self._first or (event.step, event.seconds)
        if event.step > step:
            each = (event.seconds - seconds) / (event.step - step)
        else:  # the first step, by the time that it took itself
            each = event.tokens / event.step / event.tokens_per_second
        left = each * (event.total_steps - event.step)
        return left if self._max_time is None else max(0.0, min(left, self._max_time - event.seconds))

    def __rich__(self) -> Group:
        event = self.latest
        if event is None:
            return Group(self._bar)
        figures = (
            f"loss {self.loss:.3f} bits/char  {self.speed:,.0f} tokens/s  lr {event.lr:.1e}  "
            f"gradient {event.grad_norm:.2f}  epoch {event.epoch:.2f}"
        )
        best = "" if self.best is None else f"  best validation {self.best:.3f}"
        curve = f"{sparkline(self._curve)}  {self._curve[0]:.2f} → {self.loss:.2f}{best}"
        return Group(self._bar, *(Text(line, overflow="ellipsis", no_wrap=True) for line in (figures, curve)))


def _smooth(average: float, value: float, count: int) -> float:
    """The mean of the first `count` values, later one that forgets the old."""
    weight = max(1 - SMOOTHING, 1 / count)
    return value if count == 1 else (1 - weight) * average + weight * value


def describe_run(run: TrainingRun) -> list[str]:
    """The run in two lines: what is trained, and on what."""
    from seqgen.models.base import parameter_count

    config = run.config
    model, text, environment = config.model, config.text, config.environment
    what = (
        f"{run.path}: {model.cell} {model.layers}x{model.hidden_size}, "
        f"{plural(parameter_count(run.model), 'parameter')}, "
        f"{tokenizer_name(config.tokenizer.kind, config.tokenizer.normalization)} vocabulary of "
        f"{config.tokenizer.vocab_size:,}"
    )
    steps, max_time = plural(run.total_steps, "step"), config.training.max_time
    on_what = (
        f"{plural(text.train_tokens, 'token')} to learn from, {text.valid_tokens:,} withheld; "
        f"{steps if max_time is None else f'about {steps} in {clock(max_time)}'} by {config.training.optimizer} on "
        f"{environment['device']} in {environment['precision']}, {plural(run.plan.current.threads, 'thread')}"
    )
    return [what, on_what] + ([f"going on from step {run.first_step:,}"] if run.first_step else [])


def step_of(step: int, figures: _Figures) -> Text:
    """How far the run is, and its training loss in bits a character."""
    total = figures.latest.total_steps if figures.latest is not None else step
    about = "~" if figures.is_timed and step < total else ""
    return Text(f"step {step:,}/{about}{total:,}".ljust(18) + f"loss {figures.loss:.3f}  ")


def evaluation_line(event: Evaluated, figures: _Figures) -> Text:
    """One line an evaluation."""
    line = step_of(event.step, figures)
    line.append(f"validation {event.bits_per_character:.3f} bits/char", style="bold green" if event.is_best else "")
    line.append(f"  {event.bits_per_byte:.3f} bits/byte  {clock(event.seconds)}")
    return line


def overfitting_line(event: Overfitting) -> str:
    """That training and validation have parted, by how much, and what to do."""
    rise = event.nats_per_token / event.best_nats_per_token - 1
    fall = 1 - event.training_nats_per_token / event.best_training_nats_per_token
    return (
        f"the model begins to learn the text by heart: validation was best at step {event.best_step:,} and is "
        f"{rise:.1%} worse, while the training loss fell by {fall:.1%}; the best weights are kept, and a new run may "
        "want more --dropout, a smaller --hidden-size, or --patience 2"
    )


def sample_text(event: Sampled, width: int, *, raw: bool = False) -> Text:
    """The first lines of a sample, each cut to the screen's width; of raw text each character is a byte."""
    text = printable_bytes(event.text) if raw else printable(event.text)
    lines = [line for line in text.split("\n") if line.strip()][:SAMPLE_LINES]
    return Text("\n").join(Text("  │ ", style="dim") + _cut(Text(line, style="dim"), width - 4) for line in lines)


def _cut(line: Text, width: int) -> Text:
    line.expand_tabs(4)  # by cells, of which a Hangul syllable takes two
    line.truncate(width, overflow="ellipsis")
    return line


def finished_line(event: Finished) -> str:
    """How the run ended."""
    total = plural(event.total_steps, "step")
    ended = {
        "complete": f"done: {plural(event.step, 'step')} in {clock(event.seconds)}",
        "patience": f"no better for a while: ended after {event.step:,} of {total}",
        "stopped": f"stopped after {event.step:,} of {total}, and saved",
    }[event.reason]
    if event.skipped:
        ended += f", {event.skipped:,} of them skipped"
    if event.best_step is None or event.best_bits_per_byte is None:
        return ended
    return f"{ended}; best at step {event.best_step:,}: {event.best_bits_per_byte:.3f} bits/byte"


def sparkline(values: list[float]) -> str:
    """A curve one character high: each value a block, the largest the tallest."""
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)


def clock(seconds: float) -> str:
    """1:05, or 1:01:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

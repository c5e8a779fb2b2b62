"""`seqgen embed train`: train word vectors on a text."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from seqgen.cli.options import QuietOption, TrainingTextsArgument, with_settings
from seqgen.cli.output import clock, notice, print_line, printable, stderr
from seqgen.cli.signals import Interrupts, exit_on_signal

from seqgen.runs.embeddings.config import embedding_settings
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.runs.embeddings.train import EmbeddingTraining
    from seqgen.training.events import Event, Finished, Step

MAIN = ("method", "vector_size", "window", "negative", "min_count", "epochs", "max_time", "threads", "out", "resume")
"""The options that people use most."""
LINE_SECONDS = 10.0
"""Seconds between two lines where stderr is not a terminal."""


@with_settings(embedding_settings(), main=MAIN)
def train(
    text: TrainingTextsArgument = None,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Train word vectors (word2vec) on a text.

    Ctrl-C saves the vectors; [bold]seqgen embed train --resume[/bold] continues.
    On one thread and without --max-time, the same command makes the same vectors, interrupted or not.
    """
    started = time.perf_counter()
    stop = Interrupts()
    with VectorScreen(quiet=quiet) as screen:
        with exit_on_signal("no step was taken"):
            from seqgen.runs.embeddings.train import train_embeddings
            from seqgen.training.events import Finished

        run = train_embeddings(text or None, stop=stop, report=screen.prepare, started=started, **settings)
        with stop:
            screen.begin(run)
            for event in run:
                screen.show(event)
    if stop.exit_code is not None and isinstance(event, Finished) and event.reason == "stopped":
        notice(f"continue it: seqgen embed train --resume --out {run.path}", quiet=quiet)
        sys.exit(stop.exit_code)
    notice(f"use it: seqgen embed nearest WORD --run {run.path}", quiet=quiet)


class VectorScreen:
    """Draws the training of word vectors from its events: on a terminal a bar, elsewhere a line every ten seconds."""

    def __init__(self, *, quiet: bool) -> None:
        from seqgen.cli.bars import PhaseBar

        self._quiet = quiet
        self._console: Console = stderr()
        self._phases = PhaseBar(self._console)
        self._bar: Any = None
        self._words, self._working = 0, 0.0
        self._said = time.monotonic()

    def __enter__(self) -> VectorScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._phases.stop()
        self._stop()

    def prepare(self, message: str, done: int = 0, total: int = 0) -> None:
        """Show a phase of the preparation."""
        if not self._quiet:
            self._phases.show(message, done, total)

    def begin(self, run: EmbeddingTraining) -> None:
        """Show the run before its first step."""
        self._phases.stop()
        self._run = run
        if self._quiet:
            return
        for line in describe(run):
            print_line(self._console, printable(line))
        for message in run.notices:
            notice(message)
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            figures = TextColumn("{task.fields[figures]}", markup=False)
            self._bar = Progress(
                BarColumn(), TaskProgressColumn(), figures, TimeRemainingColumn(), console=self._console, transient=True
            )
            self._bar.add_task("", total=None, figures="")
            self._bar.start()

    def show(self, event: Event) -> None:
        """Draw one event."""
        from seqgen.training.events import Finished, SaveFailed, Step

        match event:
            case Step() if not self._quiet:
                self._words += event.tokens
                self._working += event.tokens / max(event.tokens_per_second, 1e-9)
                self._show_step(event)
            case SaveFailed():
                notice(f"{event.reason}; training continues, and saves again later")
            case Finished() if not self._quiet:
                self._stop()
                print_line(self._console, self._describe_end(event))
            case _:
                pass

    def _show_step(self, event: Step) -> None:
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=event.step, total=event.total_steps, figures=_figures(event))
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            print_line(self._console, f"{event.step / event.total_steps:.0%}  {_figures(event)}")

    def _describe_end(self, event: Finished) -> str:
        how = "done" if event.reason == "complete" else "stopped, and saved"
        planned = self._run.config.training.total_epochs
        epochs = "epochs" if planned is None else f"of {plural(planned, 'epoch')}"
        speed = f", {self._words / self._working:,.0f} words/s" if self._working else ""
        return f"{how}: {self._run.epochs(event.step):.2f} {epochs} in {clock(event.seconds)}{speed}"

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _figures(event: Step) -> str:
    return f"epoch {event.epoch:.2f}  {event.tokens_per_second:,.0f} words/s  loss {event.nats_per_token:.3f} nats"


def describe(run: EmbeddingTraining) -> list[str]:
    """Describe a run in two lines: what is trained, and on what for how long."""
    config = run.config
    model, training, text = config.model, config.training, config.text
    noise = plural(model.negative, "noise word") if model.loss == "negative" else "softmax over all words"
    epochs = "" if training.total_epochs is None else plural(training.total_epochs, "epoch")
    time = "" if training.max_time is None else f"{'at most ' if epochs else ''}{clock(training.max_time)}"
    length = ", ".join(part for part in (epochs, time) if part)
    words = f"{plural(text.vocabulary, 'word')} of {plural(model.vector_size, 'dimension')}"
    on = f"{config.environment['engine']} on {plural(training.threads, 'thread')}"
    lines = [
        f"{run.path}: {model.method}, {words}, window {model.window}, {noise}",
        f"{text.words:,} of {plural(text.tokens, 'token')} are these words; {length} with {on}",
    ]
    return lines + ([f"continuing from epoch {run.epochs(run.first_step):.2f}"] if run.first_step else [])

"""`seqgen train`: train a model on a text."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from seqgen.cli.options import QuietOption, TrainingTextsArgument, with_settings
from seqgen.cli.output import notice
from seqgen.cli.signals import Interrupts, exit_on_signal

from seqgen.runs.config import train_settings
from seqgen.sources.config import Task

if TYPE_CHECKING:
    from seqgen.runs.training_run import TrainingRun

MAIN = ("task", "cell", "hidden_size", "layers", "tokenizer", "valid", "max_time", "lr", "seed", "out", "resume")
"""The options that people use most."""
USED_BY: dict[Task, str] = {
    "generate": "seqgen sample",
    "translate": "seqgen translate TEXT",
    "classify": "seqgen predict TEXT",
    "tag": "seqgen predict TEXT",
}
"""The command that uses a run of each task."""


@with_settings(train_settings(), main=MAIN)
def train(
    text: TrainingTextsArgument = None,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Train a model on a text.

    Ctrl-C saves a checkpoint; [bold]seqgen train --resume[/bold] continues from it.
    """
    run = run_training(quiet=quiet, stop=Interrupts(), text=text or None, **settings)
    notice(f"use it: {USED_BY[run.config.data.task]} --run {run.path}", quiet=quiet)


def run_training(*, quiet: bool, stop: Interrupts, **settings: Any) -> TrainingRun:
    """Prepare and train, drawn on the screen; an interrupted run ends the program with its exit code."""
    from seqgen.cli.training_screen import TrainingScreen

    started = time.perf_counter()
    untouched = "no step was taken, " + ("the run is as it was" if settings.get("resume") else "nothing was saved")
    with TrainingScreen(quiet=quiet) as screen:
        screen.prepare("loading torch")
        with exit_on_signal(untouched):
            from seqgen.runs.train import train as prepare
            from seqgen.training.events import Finished

        try:
            run = prepare(stop=stop, report=screen.prepare, started=started, **settings)
        except KeyboardInterrupt as error:
            raise type(error)(untouched) from None
        with stop:
            screen.begin(run)
            for event in run:
                screen.show(event)
    # A signal after the last step has nothing left to stop.
    if stop.exit_code is not None and isinstance(event, Finished) and event.reason == "stopped":
        notice(f"continue it: seqgen train --resume --out {run.path}", quiet=quiet)
        sys.exit(stop.exit_code)
    return run

"""The stages of a demonstration: say which command is run, and train."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from seqgen.cli.output import stderr
from seqgen.cli.signals import Interrupts

if TYPE_CHECKING:
    from seqgen.runs.run import Run


def say(message: str, *, quiet: bool) -> None:
    """Print the heading of a stage on stderr."""
    if not quiet:
        stderr().print(f"\n{message}", style="bold cyan")


def train(corpus: str, time: str, *, quiet: bool, **settings: Any) -> Run:
    """Train on a corpus of the catalog, and load the run; a signal ends the program."""
    from seqgen.cli.commands.train import run_training

    stop = Interrupts()
    trained = run_training(text=corpus, max_time=time, quiet=quiet, stop=stop, **settings)
    if stop.exit_code is not None:  # a signal after the last step: the run is complete, the rest is not wanted
        sys.exit(stop.exit_code)

    from seqgen.runs.load import load

    return load(trained.path)

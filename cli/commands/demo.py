"""`seqgen demo`: train, sample and evaluate once, in about a minute, on a text that comes with Python."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Annotated

import typer
from seqgen.cli.options import QuietOption
from seqgen.cli.output import notice, stderr, write_stream, write_text
from seqgen.cli.signals import Interrupts

CORPUS = "corpus:pydoc"
TRAINING_TIME = "45s"
PROMPT = "The "


def demo(
    time: Annotated[str, typer.Option("--max-time", metavar="TIME", help="Training time.")] = TRAINING_TIME,
    quiet: QuietOption = False,
) -> None:
    """Train on the embedded corpus, sample, and evaluate, in about a minute."""
    from seqgen.cli.commands.evaluate import measure, print_rows
    from seqgen.cli.commands.train import run_training

    def say(message: str) -> None:
        if not quiet:
            stderr().print(f"\n{message}", style="bold cyan")

    say(f"1. Train: seqgen train {CORPUS} --max-time {time}")
    stop = Interrupts()
    trained = run_training(text=CORPUS, max_time=time, quiet=quiet, stop=stop)
    if stop.exit_code is not None:  # a signal after the last step: the run is complete, the rest is not wanted
        sys.exit(stop.exit_code)

    from seqgen.runs.load import load

    run = load(trained.path)
    say(f"2. Sample: seqgen sample --prompt '{PROMPT}' --max-new-tokens 400")
    write_stream(chain([PROMPT], run.generate(PROMPT, stream=True, max_new_tokens=400)))
    write_text("\n")

    say("3. Measure, on the validation part of the text: seqgen eval")
    print_rows([measure(run, "validation part", run.validation_texts(), quiet=quiet)], run)
    notice(
        "next: your own text with `seqgen train my.txt`, another cell with `--cell gru`, more time with "
        "`--max-time 5m`, every run with `seqgen runs`",
        quiet=quiet,
    )

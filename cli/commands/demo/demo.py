"""`seqgen demo`: train, sample and evaluate once, in about a minute, on a text that comes with Python."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from seqgen.cli.options import QuietOption
from seqgen.cli.output import notice, stderr, write_stream, write_text
from seqgen.cli.signals import Interrupts

if TYPE_CHECKING:
    from seqgen.runs.run import Run

CORPUS = "corpus:pydoc"
TRAINING_TIME, TRANSLATING_TIME = "45s", "40s"
PROMPT = "The "
PAIRS = "corpus:dates-iso"
TEST = f"{PAIRS}:test"
DATES = ("Saturday 21 November 2026", "11/21/2026", "21.11.26")


def demo(
    task: Annotated[
        Literal["generate", "translate"], typer.Option(help="generate: a text; translate: dates in many forms to ISO.")
    ] = "generate",
    time: Annotated[
        str | None,
        typer.Option("--max-time", metavar="TIME", help="Training time.", show_default="45s; translate: 40s"),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train on a text that needs no download, use the model, and evaluate it, in about a minute."""
    if task == "translate":
        _translate(time or TRANSLATING_TIME, quiet=quiet)
    else:
        _generate(time or TRAINING_TIME, quiet=quiet)


def _generate(time: str, *, quiet: bool) -> None:
    """Train on the embedded corpus, sample, and evaluate."""
    from seqgen.cli.commands.evaluate import measure, print_rows

    from seqgen.runs.text import TextRun

    run = _train(CORPUS, time, quiet=quiet).expect(TextRun)
    _say(f"2. Sample: seqgen sample --prompt '{PROMPT}' --max-new-tokens 400", quiet=quiet)
    write_stream(chain([PROMPT], run.generate(PROMPT, stream=True, max_new_tokens=400)))
    write_text("\n")

    _say("3. Measure, on the validation part of the text: seqgen eval", quiet=quiet)
    print_rows([measure(run, "validation part", run.validation_texts(), quiet=quiet)], run)
    notice(
        "next: your own text with `seqgen train my.txt`, another cell with `--cell gru`, more time with "
        "`--max-time 5m`, every run with `seqgen runs`",
        quiet=quiet,
    )


def _translate(time: str, *, quiet: bool) -> None:
    """Train on dates, translate some, evaluate on days that were withheld, and show the attention."""
    from seqgen.cli.commands.pairs.evaluate import print_evaluation
    from seqgen.cli.commands.pairs.translate import print_map

    from seqgen.pages.attention import AttentionExample
    from seqgen.runs.pairs.translator import TranslatorRun
    from seqgen.sources.source import load_documents

    run = _train(PAIRS, time, quiet=quiet).expect(TranslatorRun)
    _say(f'2. Translate: seqgen translate "{DATES[0]}"', quiet=quiet)
    for source in DATES:
        write_text(f"{source} -> {run.translate(source)}\n")

    _say(f"3. Measure, on days that are not in the training part: seqgen eval {TEST}", quiet=quiet)
    print_evaluation(run.evaluate_pairs(load_documents([TEST], run.reading())), run, TEST, quiet=quiet)

    _say(f'4. What each character looked at: seqgen translate "{DATES[0]}" --attention -', quiet=quiet)
    print_map(AttentionExample(*run.attention(DATES[0])))
    notice(
        "next: your own pairs, a source, a tab and a target in each line, with `seqgen train pairs.tsv --task "
        "translate`; without attention with `--attention none`",
        quiet=quiet,
    )


def _train(corpus: str, time: str, *, quiet: bool) -> Run:
    """Train on a corpus of the catalog, and load the run; a signal ends the program."""
    from seqgen.cli.commands.train import run_training

    _say(f"1. Train: seqgen train {corpus} --max-time {time}", quiet=quiet)
    stop = Interrupts()
    trained = run_training(text=corpus, max_time=time, quiet=quiet, stop=stop)
    if stop.exit_code is not None:  # a signal after the last step: the run is complete, the rest is not wanted
        sys.exit(stop.exit_code)

    from seqgen.runs.load import load

    return load(trained.path)


def _say(message: str, *, quiet: bool) -> None:
    if not quiet:
        stderr().print(f"\n{message}", style="bold cyan")

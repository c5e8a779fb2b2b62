"""`seqgen demo`: train, sample and evaluate once, on texts that come with Python or are made by seqgen."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Literal

import typer
from seqgen.cli.commands.demo.memory import TRAINING_TIME as MEMORY_TIME
from seqgen.cli.commands.demo.memory import demonstrate_memory
from seqgen.cli.commands.demo.stages import say, train
from seqgen.cli.options import QuietOption
from seqgen.cli.output import check_out, notice, write_stream, write_text

from seqgen.errors import ConfigError
from seqgen.pages.chart_file import CHART_SUFFIXES

CORPUS = "corpus:pydoc"
TRAINING_TIME, TRANSLATING_TIME = "45s", "40s"
PROMPT = "The "
PAIRS = "corpus:dates-iso"
TEST = f"{PAIRS}:test"
DATES = ("Saturday 21 November 2026", "11/21/2026", "21.11.26")


def demo(
    task: Annotated[
        Literal["generate", "translate", "memory"],
        typer.Option(
            help="generate: a text; translate: dates to ISO; memory: how long rnn, gru and lstm keep three letters."
        ),
    ] = "generate",
    time: Annotated[
        str | None,
        typer.Option(
            "--max-time",
            metavar="TIME",
            help="Training time; for --task memory, of each of its three models.",
            show_default=f"{TRAINING_TIME}; translate: {TRANSLATING_TIME}; memory: {MEMORY_TIME}",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Only for --task memory: write the chart to this file, a page (.html) or a picture (.png, .svg).",
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train on a text that needs no download, use the model, and evaluate it, in a minute or two."""
    path = check_out(out, CHART_SUFFIXES)
    if path is not None and task != "memory":
        raise ConfigError("out: it applies to --task memory; leave it out")
    if task == "memory":
        demonstrate_memory(time or MEMORY_TIME, path, quiet=quiet)
    elif task == "translate":
        _translate(time or TRANSLATING_TIME, quiet=quiet)
    else:
        _generate(time or TRAINING_TIME, quiet=quiet)


def _generate(time: str, *, quiet: bool) -> None:
    """Train on the embedded corpus, sample, and evaluate."""
    from seqgen.cli.commands.evaluate.evaluate import measure, print_rows

    from seqgen.runs.text import TextRun

    say(f"1. Train: seqgen train {CORPUS} --max-time {time}", quiet=quiet)
    run = train(CORPUS, time, quiet=quiet).expect(TextRun)
    say(f"2. Sample: seqgen sample --prompt '{PROMPT}' --max-new-tokens 400", quiet=quiet)
    write_stream(chain([PROMPT], run.generate(PROMPT, stream=True, max_new_tokens=400)))
    write_text("\n")

    say("3. Measure, on the validation part of the text: seqgen eval", quiet=quiet)
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

    say(f"1. Train: seqgen train {PAIRS} --max-time {time}", quiet=quiet)
    run = train(PAIRS, time, quiet=quiet).expect(TranslatorRun)
    say(f'2. Translate: seqgen translate "{DATES[0]}"', quiet=quiet)
    for source in DATES:
        write_text(f"{source} -> {run.translate(source)}\n")

    say(f"3. Measure, on days that are not in the training part: seqgen eval {TEST}", quiet=quiet)
    print_evaluation(run.evaluate_pairs(load_documents([TEST], run.reading())), run, TEST, quiet=quiet)

    say(f'4. What each character looked at: seqgen translate "{DATES[0]}" --attention -', quiet=quiet)
    print_map(AttentionExample(*run.attention(DATES[0])))
    notice(
        "next: your own pairs, a source, a tab and a target in each line, with `seqgen train pairs.tsv --task "
        "translate`; without attention with `--attention none`",
        quiet=quiet,
    )

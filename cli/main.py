"""The `seqgen` program: its table of commands."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, NoReturn

import typer
from seqgen.cli.commands import (
    cache,
    compare,
    compress,
    export,
    info,
    mix,
    report,
    runs,
    tokenizer,
    train,
)
from seqgen.cli.commands.corpus import catalog, encode, stats
from seqgen.cli.commands.demo import demo
from seqgen.cli.commands.embed import analogy, nearest, plot, similarity
from seqgen.cli.commands.embed import evaluate as evaluate_vectors
from seqgen.cli.commands.embed import export as export_vectors
from seqgen.cli.commands.embed import train as train_vectors
from seqgen.cli.commands.evaluate import evaluate
from seqgen.cli.commands.inspect import attention, context, gates, gradients, step, units
from seqgen.cli.commands.pairs import predict, translate
from seqgen.cli.commands.sample import sample
from seqgen.cli.errors import handle_errors
from seqgen.cli.openmp import let_idle_threads_sleep
from seqgen.cli.parser import Command, Group, Program
from seqgen.cli.signals import handle_signals

from seqgen._version import __version__

app = typer.Typer(
    name="seqgen",
    cls=Program,
    help="Train small language models on your own text, sample from them, and measure them, on a laptop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
tokenizers = typer.Typer(
    cls=Group, help="Build a tokenizer, encode and decode with it, show its vocabulary.", no_args_is_help=True
)
corpora = typer.Typer(
    cls=Group, help="List and download corpora, check a text, encode it before training.", no_args_is_help=True
)
embeddings = typer.Typer(cls=Group, help="Train word vectors, and look at them.", no_args_is_help=True)
caches = typer.Typer(
    cls=Group, help="List and prune the cached texts, vocabularies, ids and downloads.", no_args_is_help=True
)
inspections = typer.Typer(
    cls=Group,
    help="Look inside a trained model: units, gates, gradients, context, attention.",
    no_args_is_help=True,
)

app.command("demo", cls=Command)(demo.demo)
app.command("train", cls=Command)(train.train)
app.command("sample", cls=Command)(sample.sample)
app.command("translate", cls=Command)(translate.translate)
app.command("predict", cls=Command)(predict.predict)
app.command("eval", cls=Command)(evaluate.evaluate)
app.command("compare", cls=Command)(compare.compare)
app.command("mix", cls=Command)(mix.mix)
app.command("compress", cls=Command)(compress.compress)
app.command("decompress", cls=Command)(compress.decompress)
app.command("export", cls=Command)(export.export)
app.command("runs", cls=Command)(runs.runs)
app.command("info", cls=Command)(info.info)
app.command("report", cls=Command)(report.report)
app.add_typer(tokenizers, name="tokenizer")
tokenizers.command("build", cls=Command)(tokenizer.build)
tokenizers.command("encode", cls=Command)(tokenizer.encode)
tokenizers.command("decode", cls=Command)(tokenizer.decode)
tokenizers.command("show", cls=Command)(tokenizer.show)
app.add_typer(corpora, name="corpus")
corpora.command("list", cls=Command)(catalog.list_corpora)
corpora.command("fetch", cls=Command)(catalog.fetch)
corpora.command("stats", cls=Command)(stats.stats)
corpora.command("encode", cls=Command)(encode.encode)
app.add_typer(embeddings, name="embed")
embeddings.command("train", cls=Command)(train_vectors.train)
embeddings.command("nearest", cls=Command)(nearest.nearest)
embeddings.command("analogy", cls=Command)(analogy.analogy)
embeddings.command("similarity", cls=Command)(similarity.similarity)
embeddings.command("evaluate", cls=Command)(evaluate_vectors.evaluate)
embeddings.command("export", cls=Command)(export_vectors.export)
embeddings.command("plot", cls=Command)(plot.plot)
app.add_typer(inspections, name="inspect")
inspections.command("units", cls=Command)(units.units)
inspections.command("gates", cls=Command)(gates.gates)
inspections.command("step", cls=Command)(step.step)
inspections.command("gradients", cls=Command)(gradients.gradients)
inspections.command("context", cls=Command)(context.context)
inspections.command("attention", cls=Command)(attention.attention)
app.add_typer(caches, name="cache")
caches.command("list", cls=Command)(cache.list_entries)
caches.command("prune", cls=Command)(cache.prune)


def _print_version(wanted: bool) -> None:
    if wanted:
        with handle_errors():
            typer.echo(f"seqgen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train small language models on your own text, sample from them, and measure them, on a laptop."""


def main() -> NoReturn:
    """Run the program. Output is UTF-8 with newlines as they are, in every locale."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            # No other file may get its number. Writing to stdout fails, as the output would be lost; notices may be.
            mode = os.O_RDONLY if name == "stdout" else os.O_WRONLY
            setattr(sys, name, open(os.open(os.devnull, mode), "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(encoding="utf-8", errors="replace", newline="\n")
    handle_signals()
    let_idle_threads_sleep()
    try:
        with handle_errors():
            app(prog_name="seqgen")
    except SystemExit as end:  # typer ends a command so, always with a number
        _end(int(end.code or 0))
    _end(0)


def _end(code: int) -> NoReturn:
    """Exit without the half second that Python takes to unload torch."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the error has been reported
            stream.flush()
    os._exit(code)

"""`seqgen`: the table of commands."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, NoReturn

import typer
from seqgen.cli.commands import (
    cache,
    corpus,
    corpus_encode,
    corpus_stats,
    demo,
    evaluate,
    info,
    runs,
    sample,
    tokenizer,
    train,
)
from seqgen.cli.errors import handle_errors
from seqgen.cli.parser import Command, Program
from seqgen.cli.signals import handle_signals

from seqgen._version import __version__

app = typer.Typer(
    name="seqgen",
    cls=Program,
    help="From a text to a language model to new text, on the machine at hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
tokenizers = typer.Typer(help="Build a tokenizer, and look at what it does.", no_args_is_help=True)
corpora = typer.Typer(help="Texts to learn from: the catalog, what a text is made of, its ids.", no_args_is_help=True)
caches = typer.Typer(help="What is kept of texts, vocabularies, ids and downloads.", no_args_is_help=True)

app.command("demo", cls=Command)(demo.demo)
app.command("train", cls=Command)(train.train)
app.command("sample", cls=Command)(sample.sample)
app.command("eval", cls=Command)(evaluate.evaluate)
app.command("runs", cls=Command)(runs.runs)
app.command("info", cls=Command)(info.info)
app.add_typer(tokenizers, name="tokenizer")
tokenizers.command("build", cls=Command)(tokenizer.build)
tokenizers.command("encode", cls=Command)(tokenizer.encode)
tokenizers.command("decode", cls=Command)(tokenizer.decode)
tokenizers.command("show", cls=Command)(tokenizer.show)
app.add_typer(corpora, name="corpus")
corpora.command("list", cls=Command)(corpus.list_corpora)
corpora.command("fetch", cls=Command)(corpus.fetch)
corpora.command("stats", cls=Command)(corpus_stats.stats)
corpora.command("encode", cls=Command)(corpus_encode.encode)
app.add_typer(caches, name="cache")
caches.command("list", cls=Command)(cache.list_entries)
caches.command("prune", cls=Command)(cache.prune)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seqgen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """From a text to a language model to new text, on the machine at hand."""


SPIN_COUNT = "10000"
"""How often an idle OpenMP thread looks for work before it sleeps. The default, to spin on, is as fast on a quiet
machine, and up to 60 times slower where other programs want the cores: a thread that waits keeps one from working.
"""


def _let_idle_threads_sleep() -> None:
    """Set the spin count of GNU OpenMP, which is read when torch is loaded, unless the user has set how it waits."""
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}.isdisjoint(os.environ):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT


def main() -> NoReturn:
    """The console script. Signals end it in good order; output is UTF-8 with newlines as they are, in every locale."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this: what is said goes nowhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(encoding="utf-8", errors="replace", newline="\n")
    handle_signals()
    _let_idle_threads_sleep()
    try:
        with handle_errors():
            app(prog_name="seqgen")
    except SystemExit as end:  # which is how typer ends a command, always with a number
        _end(int(end.code or 0))
    _end(0)


def _end(code: int) -> NoReturn:
    """Leave without the half second that Python takes to unload torch."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # what could not be written has been said already
            stream.flush()
    os._exit(code)

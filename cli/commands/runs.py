"""`seqgen runs`: list the runs, one line each, or draw their curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.options import JsonOption
from seqgen.cli.output import (
    check_out,
    clock,
    fit_table,
    notice,
    notice_written,
    printable,
    stdout,
    tokenizer_name,
    write_json,
)

from seqgen.errors import ConfigError, RunError
from seqgen.pages.chart_file import CHART_SUFFIXES, write_charts
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.pages.chart import Chart, Curve
    from seqgen.runs.config import RunConfig
    from seqgen.runs.directory import RunDirectory
    from seqgen.runs.embeddings.config import EmbeddingRunConfig
    from seqgen.runs.summary import Summary

FIGURES = ("parameters", "bits/byte", "accuracy", "steps", "time", "state")
COLUMNS = ("run", "task", "model", "vocabulary", "text", *FIGURES)
RESULTS = ("bits/byte", "accuracy")
"""The columns of results: of texts and targets, and of labels and tags. One without any result is not shown."""
LEFT_OUT_FIRST = ("vocabulary", "parameters", "text", "time", "task", "steps", "model")
"""The columns that a narrow terminal drops, in this order."""
SORT_KEYS: dict[str, Callable[[Summary], Any]] = {
    "created": lambda run: run.created,
    "name": lambda run: run.run,
    "bits": lambda run: math.inf if run.best_bits_per_byte is None else run.best_bits_per_byte,
    "time": lambda run: run.seconds,
    "parameters": lambda run: math.inf if run.parameters is None else run.parameters,
}
TERMINAL = "-"
"""The value of --plot that draws in the terminal."""

Found = tuple["RunDirectory", "RunConfig | EmbeddingRunConfig", "Summary"]


def runs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Directories of runs.", show_default="all under runs/")
    ] = None,
    sort: Annotated[
        Literal["created", "name", "bits", "time", "parameters"],
        typer.Option("--sort", help="Order of the runs, the least first: of bits, the best."),
    ] = "created",
    task: Annotated[
        Literal["generate", "translate", "classify", "tag", "embed"] | None,
        typer.Option("--task", help="Only runs of this task; embed is of word vectors."),
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="NAME", help="Only runs of this cell: lstm, lstm+ngram, cbow, ...")
    ] = None,
    state: Annotated[
        Literal["running", "complete", "patience", "stopped", "unfinished", "empty"] | None,
        typer.Option("--state", help="Only runs in this state."),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            metavar="[FILE]",
            help="Draw the validation loss of the runs: in the terminal, or in a file, .html, .png or .svg.",
        ),
    ] = None,
    against: Annotated[
        Literal["steps", "time"] | None,
        typer.Option("--against", help="The horizontal axis of --plot.", show_default="steps"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the runs under runs/: model, text, size, result, time. With --plot, draw their curves."""
    if plot is None and against is not None:
        raise ConfigError("against: it has no effect without --plot; add that, or leave it out")
    if plot is not None and json:
        raise ConfigError("plot: it cannot be combined with --json; choose one")
    path = None if plot == TERMINAL else check_out(plot, CHART_SUFFIXES, "plot")
    note = cache(notice)  # metrics.jsonl of a run is read twice, and its damaged lines are noted once
    found, broken = _find(names, note)
    for message in broken:
        notice(message)
    if not found and not broken and not json:
        notice("no runs under runs/ yet; train one with `seqgen train FILE`, or try `seqgen demo`")
    chosen = [
        one
        for one in sorted(found, key=lambda one: SORT_KEYS[sort](one[2]))
        if task in {None, one[2].task} and cell in {None, one[2].cell} and state in {None, one[2].state}
    ]
    if found and not chosen and not json:
        notice(f"--task, --cell and --state leave none of {plural(len(found), 'run')}; leave one of them out")
    if plot is not None:
        _plot(chosen, path, against, note)
    elif json:
        write_json([summary.model_dump() for *_, summary in chosen])
    elif chosen:
        _print_table([_cells(summary.model_dump()) for *_, summary in chosen])


def _find(names: Sequence[str] | None, note: Callable[[str], None]) -> tuple[list[Found], list[str]]:
    """Return the runs that are named, or all under runs/, and what is wrong with others under runs/.

    `note` receives a sentence about damaged lines of metrics.jsonl.

    Raises:
        RunError: a run that is named cannot be read.
    """
    from seqgen.runs.directory import RunDirectory, find_runs
    from seqgen.runs.summary import summarize

    if names:
        read = [(RunDirectory(Path(name)), RunDirectory(Path(name)).read_any_config()) for name in dict.fromkeys(names)]
        return [(directory, config, summarize(directory, config, note)) for directory, config in read], []
    rows, broken = [], []
    for directory, config in find_runs():
        try:
            if isinstance(config, RunError):
                raise config
            rows.append((directory, config, summarize(directory, config, note)))
        except RunError as error:
            broken.append(str(error))
    return rows, broken


def _print_table(rows: Sequence[dict[str, str]]) -> None:
    """Print a line per run; on a narrow terminal with fewer columns, so that no cell is cut."""
    console = stdout()
    shown = {name for name in RESULTS if any(row[name] != "-" for row in rows)} or {RESULTS[0]}
    if len({row["task"] for row in rows}) > 1:
        shown.add("task")
    columns = [name for name in COLUMNS if name not in {*RESULTS, "task"} or name in shown]
    fitted = fit_table(console, columns, rows, figures=FIGURES, left_out_first=LEFT_OUT_FIRST)
    if fitted.fits:
        console.print(fitted.table)
    else:  # a name as long as the line has a line to itself
        for row in rows:
            console.print(row["run"], soft_wrap=True)
            result = f"{row['bits/byte']} bits/byte" if row["accuracy"] == "-" else f"{row['accuracy']} accuracy"
            console.print(f"  {result}, {row['state']}", soft_wrap=True)
    if fitted.left_out:
        notice(f"not shown at this width: {', '.join(fitted.left_out)}; `seqgen runs --json` has everything")


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a run."""
    best, accuracy = row["best_bits_per_byte"], row["best_accuracy"]
    return {
        "run": printable(row["run"]),
        "task": row["task"],
        "model": f"{row['cell']} {row['shape']}",
        "vocabulary": f"{tokenizer_name(row['tokenizer'], row['normalization'])} {row['vocab_size']:,}",
        "text": printable(row["text"]),
        "parameters": "-" if row["parameters"] is None else f"{row['parameters']:,}",
        "bits/byte": "-" if best is None else f"{best:.3f}",
        "accuracy": "-" if accuracy is None else f"{accuracy:.1%}",
        "steps": f"{row['steps']:,}/{row['total_steps']:,}",
        "time": clock(row["seconds"]),
        "state": row["state"],
    }


def _plot(found: Sequence[Found], path: Path | None, against: str | None, note: Callable[[str], None]) -> None:
    """Draw the validation loss of runs in a file, or without one in the terminal.

    Raises:
        RunError: none of them has one.
    """
    curves = [curve for number, one in enumerate(found) for curve in _curves(one, number, against, note)]
    if not curves:
        raise RunError("no run to plot has a validation loss in bits per byte yet; train one, or name others")
    chart = _chart(curves, against)
    if path is not None:
        write_charts([chart], "Runs", path)
        notice_written(path)
        return
    from seqgen.cli.chart import print_chart

    print_chart(stdout(), chart)


def _chart(curves: Sequence[Curve], against: str | None) -> Chart:
    from seqgen.pages.chart import Chart

    x_label = "training time, s" if against == "time" else "step"
    return Chart("Validation loss", x_label, "bits per byte", curves)


def _curves(found: Found, number: int, against: str | None, note: Callable[[str], None]) -> list[Curve]:
    """Return the curve of a run, and of a mixture a dashed one of each member, all of one color."""
    from seqgen.pages.chart import Curve
    from seqgen.runs.history import read_histories

    directory, config, summary = found
    made = []
    histories = read_histories(directory, config, every_step=False, note=note)
    for member, history in reversed(histories.items()):
        name = f"{summary.run}, {member}" if member else summary.run
        steps, seconds, bits = history.validation_curve
        if len(bits):
            made.append(Curve(name, seconds if against == "time" else steps, bits, dashed=bool(member), color=number))
    if not made:
        note(f"{summary.run} has no validation loss in bits per byte, and is left out of the plot")
    return made

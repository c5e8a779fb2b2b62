"""`seqgen report`: one page about a run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import JsonOption, QuietOption, RunArgument
from seqgen.cli.output import check_out, notice, printable, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.pages.chart_file import PAGE_SUFFIX

PAGE = "report.html"
"""The name of the page in the run's directory."""


def report(
    run: RunArgument = None,
    out: Annotated[
        str | None, typer.Option(metavar="OUT.html", help="The page to write.", show_default=f"RUN/{PAGE}")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a page about a run: result, settings, curves, samples, surprisal, calibration, context, units, gradients.

    It works for every kind of run but word vectors, also while it is trained. The page needs no network.
    """
    from seqgen.runs.directory import find_run

    directory = find_run(run, trained=False)
    directory.read_config()
    place = directory.path / PAGE if out is None else Path(out)
    is_written = not json or out is not None
    if is_written:
        check_out(str(place), (PAGE_SUFFIX,))
    with exit_on_signal():
        from seqgen.pages.report.make import WORK, make_report, report_page
    from seqgen.utils.files import write_atomically

    with ExitStack() as stack:
        bars = {name: stack.enter_context(WorkBar(name, quiet=quiet, unit=unit)) for name, unit in WORK.items()}
        made = make_report(directory, progress=lambda name, done, total: bars[name].show(done, total))
    for title, reason in made.left_out.items():
        notice(f"left out: {title}: {reason}", quiet=quiet)
    if is_written:
        write_atomically(place, report_page(made).encode())
    if json:
        write_json({"run": str(directory.path), **asdict(made)})
    else:
        typer.echo(printable(str(place)))

"""`seqgen report`: one page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import notice, printable, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError

PAGE = "report.html"
"""The name of the page in the run's directory."""


def report(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Directory of the run.", show_default="the newest under runs/")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="OUT.html", help="The page to write.", show_default=f"RUN/{PAGE}")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a page about a run: result, settings, curves, samples, and the hardest lines of the withheld part.

    It works for every kind of run, also while it is trained. The page needs no network.
    """
    from seqgen.runs.directory import find_run

    directory = find_run(run, trained=False)
    directory.read_config()
    place = Path(out) if out is not None else directory.path / PAGE
    if not json or out is not None:
        _check(place, is_named=out is not None)
    with exit_on_signal():
        from seqgen.pages.report import make_report, report_page
    from seqgen.utils.files import write_atomically

    with WorkBar("scoring the withheld part", quiet=quiet, unit="character") as bar:
        made = make_report(directory, progress=bar.show)
    for title, reason in made.left_out.items():
        notice(f"left out: {title}: {reason}", quiet=quiet)
    if not json or out is not None:
        write_atomically(place, report_page(made).encode())
    if json:
        from dataclasses import asdict

        write_json({"run": str(directory.path), **asdict(made)})
    else:
        typer.echo(printable(str(place)))


def _check(place: Path, *, is_named: bool) -> None:
    """Refuse a place where no page can be written, before the work.

    Raises:
        ConfigError: its name has another ending, it is a folder, or its folder is missing or not writable.
    """
    import os

    if is_named and place.suffix.lower() not in {".html", ".htm"}:
        raise ConfigError(f"out: {place} does not end in .html; name a page such as report.html")
    if place.is_dir():
        raise ConfigError(f"out: {place} is a folder; name a page in it such as {place / PAGE}")
    if not place.parent.is_dir():
        raise ConfigError(f"out: the folder {place.parent} is missing; make it, or name another place")
    if not os.access(place.parent, os.W_OK):
        raise ConfigError(f"out: the folder {place.parent} is not writable; name another place with --out")

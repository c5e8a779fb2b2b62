"""The arguments that the commands about a trained model share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from seqgen.cli.output import notice, notice_pipes

from seqgen.errors import ConfigError

if TYPE_CHECKING:
    from seqgen.runs.text import TextRun

RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Directory of the run.", show_default="the newest under runs/")
]
TextArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="A file, a folder, corpus:NAME, or - for stdin.",
        show_default="the validation part of the run's own text",
    ),
]
MemberOption = Annotated[
    str | None,
    typer.Option(
        "--member", metavar="NAME", help="Member of a mixture.", show_default="the only one trained by gradients"
    ),
]
PAGE_SUFFIX = ".html"
PICTURE_SUFFIXES = (".png", ".svg")


def check_out(out: str | None, suffixes: Sequence[str], setting: str = "out") -> Path | None:
    """Return the path of --out, or of another setting, before the work for it.

    Raises:
        ConfigError: its ending is not one of `suffixes`, its folder is missing, or matplotlib, which draws pictures, is
            not installed.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{setting}: {out} does not end in {' or '.join(suffixes)}; change its name")
    if not path.parent.is_dir():
        raise ConfigError(
            f"{setting}: {out} cannot be written, because the folder {path.parent} is missing; make it first"
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        from seqgen.pages.chart_picture import check_picture

        check_picture(path)
    return path


def run_and_text(run: str | None, text: str | None) -> tuple[str | None, str | None]:
    """Return the arguments of a command whose TEXT may be the text itself.

    A single one is the text of the newest run, unless it is a directory, or could be one that is missing.
    """
    if run is None or text is not None:
        return run, text
    parent = os.path.dirname(run)  # noqa: PTH120 (a long text is not an error)
    is_missing = bool(parent) and os.path.isdir(parent) and not os.path.isfile(run)  # noqa: PTH112, PTH113
    return (run, None) if is_missing or os.path.isdir(run) else (None, run)  # noqa: PTH112


def read_documents(run: TextRun, text: str | None, most: int, *, quiet: bool) -> list[str]:
    """Return the documents of a text, or of the run's validation part, up to `most` characters; note what is left out.

    Raises:
        TextError: the text cannot be read, or is empty.
        RunError: the run has no validation part.
    """
    from seqgen.sources.source import load_documents

    if text is None:
        name, documents = "the validation part", run.validation_texts()
    else:
        notice_pipes([text], quiet=quiet)
        name, documents = text, load_documents([text], run.reading(), lambda message: notice(message, quiet=quiet))
    total = sum(map(len, documents))
    if total <= most:
        return list(documents)
    notice(f"{name}: the first {most:,} of {total:,} characters", quiet=quiet)
    kept, left = [], most
    for document in documents:
        kept.append(document[:left])
        left -= len(kept[-1])
        if not left:
            break
    return kept

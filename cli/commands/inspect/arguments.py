"""The arguments that the commands about a trained model share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import as_text, is_text
from seqgen.cli.output import notice, notice_pipes
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, SaveError
from seqgen.pages.chart_file import PAGE_SUFFIX, PICTURE_SUFFIXES
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.text import TextRun
    from seqgen.sources.source import LoadedDocuments

RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Directory of the run.", show_default="the newest under runs/")
]
RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN", help="Directories of runs.", show_default="the newest under runs/"),
]
TextArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="A file, a folder, corpus:NAME, or - for stdin.",
        show_default="the validation part of the run's own text",
    ),
]
SharedTextOption = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="TEXT",
        help="A file, a folder, corpus:NAME, or - for stdin.",
        show_default="the validation part of the runs' own text",
    ),
]
"""The text that a command reads with several runs."""
MemberOption = Annotated[
    str | None,
    typer.Option(
        "--member", metavar="NAME", help="Member of a mixture.", show_default="the only one trained by gradients"
    ),
]
CHART_SUFFIXES = (PAGE_SUFFIX, *PICTURE_SUFFIXES)


def check_out(out: str | None, suffixes: Sequence[str], setting: str = "out") -> Path | None:
    """Return the path of --out, or of another setting, before the work for it.

    Raises:
        ConfigError: its ending is not one of `suffixes`, or matplotlib, which draws pictures, is not installed.
        SaveError: its folder is missing or not writable, or it is a folder itself.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{setting}: {out or 'the name'} does not end in {_endings(suffixes)}; change it")
    if not path.parent.is_dir():
        raise SaveError(f"{out} cannot be written: the folder {path.parent} is missing; make it, or change the name")
    if path.is_dir():
        raise SaveError(f"{out} cannot be written: it is a folder; change the name")
    if not os.access(path.parent, os.W_OK):
        raise SaveError(f"{out} cannot be written: the folder {path.parent} is not writable; change the name")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        from seqgen.pages.picture import check_picture

        check_picture(path)
    return path


def _endings(suffixes: Sequence[str]) -> str:
    *first, last = suffixes
    return f"{', '.join(first)} or {last}" if first else last


def run_and_text(run: str | None, text: str | None) -> tuple[str | None, str | None]:
    """Return the arguments of a command whose TEXT may be the text itself.

    A single argument is the text of the newest run, unless it names a directory, existing or missing.
    """
    if run is None or text is not None:
        return run, text
    parent = os.path.dirname(run)  # noqa: PTH120 (a long text is not an error)
    is_missing = bool(parent) and os.path.isdir(parent) and not os.path.isfile(run)  # noqa: PTH112, PTH113
    return (run, None) if is_missing or os.path.isdir(run) else (None, run)  # noqa: PTH112


def require_different(runs: Sequence[str]) -> None:
    """Refuse a run that is named twice.

    Raises:
        ConfigError: the message names it.
    """
    named: set[Path] = set()
    for run in runs:
        path = Path(run).resolve()
        if path in named:
            raise ConfigError(f"{run} is named twice; leave one out")
        named.add(path)


def load_runs(runs: Sequence[str] | None, **settings: Any) -> list[TextRun]:
    """Load the runs, or the newest one if none is named; `settings` are as of `seqgen.load`.

    Raises:
        RunError: a run is missing, or has no weights.
        ConfigError: a run is named twice, or was trained for another task.
    """
    require_different(runs or ())
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    names: Sequence[str | None] = runs or [None]
    return [load(name, **settings).expect(TextRun) for name in names]


def load_text(run: TextRun, text: str, *, quiet: bool) -> LoadedDocuments:
    """Return the documents of a file, a folder, a text of the catalog or stdin, as the run reads texts.

    Raises:
        TextError: the text cannot be read, or is empty.
    """
    from seqgen.sources.source import load_documents

    notice_pipes([text], quiet=quiet)
    return load_documents([text], run.reading(), lambda message: notice(message, quiet=quiet))


def read_documents(run: TextRun, text: str | None, most: int, *, quiet: bool) -> LoadedDocuments:
    """Return the documents of a text, or of the run's validation part, up to `most` characters; note what is left out.

    Raises:
        TextError: the text cannot be read, or is empty.
        RunError: the run has no validation part.
    """
    name = "the validation part" if text is None else text
    documents = run.validation_texts() if text is None else load_text(run, text, quiet=quiet)
    if (total := sum(map(len, documents))) > most:
        notice(f"{name}: the first {most:,} of {total:,} characters", quiet=quiet)
    return documents.first(most)


def read_passage(run: TextRun, text: str, *, quiet: bool) -> str:
    """Return the text itself, or the first document of a file or of stdin.

    Raises:
        TextError: it is empty, not valid UTF-8, or cannot be read.
    """
    from seqgen.sources.content import bytes_as_characters

    if is_text(text, "the text", quiet=quiet):
        return bytes_as_characters(text) if run.config.data.is_raw else as_text(text, "the text")
    documents = load_text(run, text, quiet=quiet)
    if len(documents) > 1:
        notice(f"{text}: the first of {plural(len(documents), 'document')}", quiet=quiet)
    return documents[0]

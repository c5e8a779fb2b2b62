"""What the commands of `seqgen inspect` share: arguments and options, and how they load runs and read texts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import (
    FOR_FILES_ONLY,
    NEEDS_A_TEXT,
    as_text,
    is_text,
    machine_settings,
    reading_settings,
    refuse_reading,
)
from seqgen.cli.output import notice, notice_pipes
from seqgen.cli.prompt import note_unknown
from seqgen.cli.signals import exit_on_signal

from seqgen.config import EVALUATION
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.text import TextRun
    from seqgen.sources.source import LoadedDocuments

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
ChartsOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write charts: a page, OUT.html, or a picture, .png or .svg.")
]
MACHINE = ("device", "threads")
SETTINGS = {**reading_settings(), **machine_settings(EVALUATION)}
"""How a text is read, and where the model computes."""
CPU_SETTINGS = {name: setting for name, setting in SETTINGS.items() if name != "device"}
"""The same where all is computed in fp64 on the CPU."""


def text_name(text: str | None) -> str:
    """Return what --json calls a text: the name that was given, or `validation part`."""
    return "validation part" if text is None else text


def run_and_text(run: str | None, text: str | None) -> tuple[str | None, str | None]:
    """Return the arguments of a command whose TEXT may be the text itself.

    A single argument is the text of the newest run, unless it names a directory, existing or missing.
    """
    if run is None or text is not None:
        return run, text
    parent = os.path.dirname(run)  # noqa: PTH120 (a long text is not an error)
    is_missing = bool(parent) and os.path.isdir(parent) and not os.path.isfile(run)  # noqa: PTH112, PTH113
    return (run, None) if is_missing or os.path.isdir(run) else (None, run)  # noqa: PTH112


def load_runs(runs: Sequence[str] | None, **settings: Any) -> list[TextRun]:
    """Load the runs, or the newest one if none is named; `settings` are as of `seqgen.load`.

    Raises:
        RunError: a run is missing, or has no weights.
        ConfigError: a run is named twice, or was trained for another task.
    """
    with exit_on_signal():
        from seqgen.inspection.comparison import require_different
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    require_different(runs or ())
    names: Sequence[str | None] = runs or [None]
    return [load(name, **settings).expect(TextRun) for name in names]


def read_documents(
    run: TextRun, text: str | None, reading: Mapping[str, Any], most: int | None = None, *, quiet: bool
) -> LoadedDocuments:
    """Return the documents of a text as a run reads texts, or of its validation part; note what is left out.

    Args:
        run: any run that continues texts.
        text: a file, a folder, a text of the catalog or stdin; None is the validation part.
        reading: the fields of `Reading` that were given.
        most: how many characters to return at most; None is all.
        quiet: whether to leave out notices.

    Raises:
        ConfigError: a setting of reading has no effect.
        TextError: the text cannot be read, or is empty.
        RunError: the run has no validation part.
    """
    if text is None:
        refuse_reading(reading, NEEDS_A_TEXT)
        documents = run.validation_texts()
    else:
        from seqgen.sources.source import load_documents

        notice_pipes([text], quiet=quiet)
        documents = load_documents([text], run.reading(**reading), lambda message: notice(message, quiet=quiet))
    if most is None or (total := sum(map(len, documents))) <= most:
        return documents
    name = "the validation part" if text is None else text
    notice(f"{name}: the first {most:,} of {plural(total, 'character')}", quiet=quiet)
    return documents.first(most)


def note_unknown_tokens(runs: Sequence[TextRun], documents: Sequence[str], text: str | None, *, quiet: bool) -> None:
    """Note, for each run, that many tokens of what it reads of a text are `<unk>`."""
    name = "the validation part" if text is None else text
    for run in runs:
        unknown = sum(run.tokenizer.unknown(document).total() for document in documents)
        tokens = sum(len(run.tokenizer.encode(document)) for document in documents) if unknown else 0
        note_unknown(name, unknown, tokens, run, quiet=quiet)


def read_passage(run: TextRun, text: str | None, reading: Mapping[str, Any], *, quiet: bool) -> str:
    """Return the text itself, or the first document of a file or of stdin; without a text, of the validation part.

    Raises:
        ConfigError: a setting of reading has no effect.
        TextError: it is empty, not valid UTF-8, or cannot be read.
    """
    from seqgen.sources.content import bytes_as_characters

    if text is not None and is_text(text, "the text", quiet=quiet):
        refuse_reading(reading, FOR_FILES_ONLY)
        return bytes_as_characters(text) if run.config.data.is_raw else as_text(text, "the text")
    documents = read_documents(run, text, reading, quiet=quiet)
    if text is not None and len(documents) > 1:
        notice(f"{text}: the first of {plural(len(documents), 'document')}", quiet=quiet)
    return documents[0]

"""What `seqgen eval` shows inside a text: the cost of each token, line and document, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.output import check_out, notice, notice_written, print_table, printable, stdout, write_json

from seqgen.errors import ConfigError
from seqgen.pages.chart_file import CHART_SUFFIXES, PAGE_SUFFIX, write_charts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from seqgen.evaluation.calibration import Calibration
    from seqgen.evaluation.surprisal.measure import Surprisal
    from seqgen.runs.run import Run
    from seqgen.runs.text import TextRun
    from seqgen.sources.source import LoadedDocuments

PANEL = "Inside the text"
Unit = Literal["token", "line", "document"]
TABLES = (".tsv", ".jsonl")
SHOWN = 20
"""Rows in the terminal, without --top."""
LONGEST_TEXT = 80
"""Columns of a line's text in a pipe; in a terminal, as many as it has."""

SurprisalOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Write what each token cost, its rank and what was expected: .html, .tsv or .jsonl.",
        rich_help_panel=PANEL,
    ),
]
ByOption = Annotated[
    Unit | None,
    typer.Option(
        help="Show the strangest lines, documents or tokens, the worst first; --surprisal writes them too.",
        rich_help_panel=PANEL,
    ),
]
TopOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="How many of them to show or write.",
        show_default=f"{SHOWN}; in files all",
        rich_help_panel=PANEL,
    ),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Another run, whose difference the page of --surprisal shows too.", rich_help_panel=PANEL
    ),
]
CalibrationOption = Annotated[
    bool,
    typer.Option(
        "--calibration", help="Compare how sure the model is with how often it is right.", rich_help_panel=PANEL
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Draw the diagram of --calibration: .html, .png or .svg.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Request:
    """What to show inside a text."""

    file: str | None = None
    by: Unit | None = None
    top: int | None = None
    against: str | None = None
    calibration: bool = False
    out: str | None = None

    def __bool__(self) -> bool:
        return self.file is not None or self.by is not None or self.calibration

    @property
    def keeps_tokens(self) -> bool:
        """Whether every token is needed."""
        by_token = self.by == "token" or (self.file is not None and self.by is None)
        return by_token or (self.file is not None and _suffix(self.file) == PAGE_SUFFIX)

    @property
    def named(self) -> str:
        """The option that asked for something inside the text."""
        return "surprisal" if self.file is not None else "by" if self.by is not None else "calibration"

    def refuse_pairs(self, run: Run) -> None:
        """Refuse to look inside the text for a run that has learned from pairs.

        Raises:
            ConfigError: something inside the text was asked for.
        """
        if not self:
            return
        figures = "the figures of this run"
        if run.config.data.task == "classify":
            figures = "the calibration error of a classifier"
        raise ConfigError(
            f"{self.named}: it is for runs that continue texts, and {run.path} was trained with --task "
            f"{run.config.data.task}; leave it out: seqgen eval without it prints {figures}"
        )

    def check_other(self, run: TextRun, *, on_validation: bool) -> None:
        """Refuse a run of --against that cannot be compared with `run`, by the rule of `seqgen compare`.

        Args:
            run: the run that is measured.
            on_validation: whether it is measured on its validation part, and not on a text that is named.

        Raises:
            ConfigError: the runs cannot be compared.
            RunError: the other run is missing, or has no weights.
        """
        if self.against is not None:
            from seqgen.inspection.comparison import read_comparable

            read_comparable([run.path, self.against], on_validation=on_validation, option="against")

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse what cannot be shown, before the work for it.

        Raises:
            ConfigError: the options do not fit together, or a file has an unknown ending.
            SaveError: a file could not be written.
        """
        check_out(self.file, (PAGE_SUFFIX, *TABLES), "surprisal")
        check_out(self.out, CHART_SUFFIXES)
        if self.against is not None and (self.file is None or _suffix(self.file) != PAGE_SUFFIX):
            raise ConfigError("against: it needs a page, --surprisal FILE.html; add it, or leave --against out")
        if self.out is not None and not self.calibration:
            raise ConfigError("out: it draws the diagram of --calibration; add it, or leave --out out")
        if self.top is not None and self.by is None and self.file is None:
            raise ConfigError("top: it needs --by or --surprisal; add one of them, or leave --top out")
        if self and (adapts := {"dynamic", "cache"} & settings.keys()):
            name = max(adapts)
            raise ConfigError(f"{name}: surprisal and calibration are of a model that does not change; leave it out")


def show_surprisal(
    model: TextRun,
    measured: Sequence[tuple[str, LoadedDocuments]],
    request: Request,
    settings: Mapping[str, Any],
    *,
    header: Callable[[Surprisal], str],
    json: bool,
    quiet: bool,
) -> None:
    """Measure surprisal and calibration of texts; print what was asked for, and write the files."""
    documents, names = _join([texts for _, texts in measured]), [name for name, _ in measured]
    runs = {str(model.path): model}
    if request.against is not None:
        runs |= _load_other(model, request.against, documents, ", ".join(names))
    found = {}
    for name, run in runs.items():
        with WorkBar(f"surprisal under {name}" if len(runs) > 1 else "surprisal", quiet=quiet) as bar:
            found[name] = run.surprisal(
                documents,
                tokens=request.keeps_tokens,
                calibration=request.calibration,
                progress=bar.show,
                **settings,
            )
    surprisal = found[str(model.path)]
    if request.file is not None:
        _write(found, request, f"Surprisal of {', '.join(names)}", quiet=quiet)
    if request.out is not None:
        from seqgen.pages.charts.calibration import reliability_diagram

        chart = reliability_diagram({name: one.calibration for name, one in found.items() if one.calibration})
        write_charts([chart], chart.title, Path(request.out))
        notice_written(request.out, quiet=quiet)
    if json:
        write_json(_as_record(found, names, request))
        return
    console = stdout()
    console.print(printable(header(surprisal)), soft_wrap=True)
    for line in _figures(found):
        console.print(printable(line), soft_wrap=True)
    if request.by is not None:
        count = request.top or SHOWN  # a file may have many, which are not all shown
        shown = count if request.file is None else min(count, SHOWN)
        longest = None if request.by == "token" else LONGEST_TEXT
        print_table(console, _strangest(surprisal, request.by, shown), longest)
    if surprisal.calibration is not None:
        _print_calibration(console, surprisal.calibration)


def _figures(found: Mapping[str, Surprisal]) -> list[str]:
    """Return the figures of the text, of two runs by their names, and which of the two is better."""
    from seqgen.pages.surprisal import describe_difference, describe_total

    if len(found) == 1:
        return [describe_total(one) for one in found.values()]
    return [*(f"{name}: {describe_total(one)}" for name, one in found.items()), describe_difference(found)]


def _suffix(file: str) -> str:
    return Path(file).suffix.lower()


def _join(texts: Sequence[LoadedDocuments]) -> LoadedDocuments:
    """Return the documents of all texts in their order."""
    from seqgen.sources.source import LoadedDocuments

    if len(texts) == 1:
        return texts[0]
    figures = ([*chain.from_iterable(getattr(one, name) for one in texts)] for name in ("end_sizes", "ends", "places"))
    return LoadedDocuments.of(chain.from_iterable(texts), *figures)


def _load_other(model: TextRun, path: str, documents: LoadedDocuments, name: str) -> dict[str, TextRun]:
    """Return the run to compare with, by its name.

    Raises:
        ConfigError: it reads other bytes or characters of the documents, which are called `name`.
    """
    from seqgen.inspection.comparison import bytes_read, require_same_bytes
    from seqgen.runs.load import load
    from seqgen.runs.text import TextRun

    other = load(path, device=str(model.model.device)).expect(TextRun)
    if other.tokenizer.text_encoding != model.tokenizer.text_encoding:
        raise ConfigError(f"against: only one of {model.path} and {path} is a model of bytes; name another run")
    runs = {str(run.path): bytes_read(run, documents) for run in (model, other)}
    require_same_bytes(name, runs, "against")
    return {str(other.path): other}


def _write(found: Mapping[str, Surprisal], request: Request, title: str, *, quiet: bool) -> None:
    """Write the page or the table, and note what it shows."""
    from seqgen.evaluation.surprisal.records import as_json_lines, as_tsv, records
    from seqgen.pages.surprisal import surprisal_page
    from seqgen.utils.files import write_atomically

    path, by = Path(request.file or ""), request.by or "token"
    if _suffix(path.name) != PAGE_SUFFIX:
        write = as_tsv if _suffix(path.name) == ".tsv" else as_json_lines
        write_atomically(path, write(records(next(iter(found.values())), by, request.top)))
        notice_written(path, quiet=quiet)
        return
    page = surprisal_page(found, title, by, request.top)
    write_atomically(path, page.html.encode())
    notice_written(path, quiet=quiet)
    if page.notice is not None:
        notice(f"{path}: {page.notice}", quiet=quiet)


def _as_record(found: Mapping[str, Surprisal], names: Sequence[str], request: Request) -> dict[str, Any]:
    """Return what was asked for as --json prints it."""
    from seqgen.evaluation.surprisal.records import records

    first, *others = found
    surprisal = found[first]
    calibration = surprisal.calibration
    record: dict[str, Any] = {"run": first, "texts": list(names), **_figure_record(surprisal)}
    for other in others:
        record["against"] = {"run": other, **_figure_record(found[other])}
    if request.by is not None:
        strangest = list(records(surprisal, request.by, request.top or SHOWN))
        record |= {"by": request.by, "strangest": strangest}
    if calibration is not None:
        record["calibration"] = {
            "error": calibration.error,
            "accuracy": calibration.accuracy,
            "confidence": calibration.confidence,
            "bins": [vars(one) for one in calibration.rows()],
        }
    return record


def _strangest(surprisal: Surprisal, by: Unit, count: int) -> Table:
    """Return the strangest tokens, lines or documents as a table, the worst first."""
    from rich.table import Table
    from rich.text import Text

    from seqgen.evaluation.surprisal.records import records
    from seqgen.pages.visible import show_invisible

    several = len(set(surprisal.texts.places)) > 1
    table = Table(box=None, pad_edge=False)
    heads = ["document"] * several + ["line"] * (by != "document")
    heads += ["nats", "rank"] if by == "token" else ["nats", "bits per byte", "strangeness"]
    for head in heads:
        table.add_column(head, justify="right")
    for head in ["token", "expected"] if by == "token" else ["text"]:
        table.add_column(head, no_wrap=by != "token", overflow="ellipsis")
    for record in records(surprisal, by, count):
        place = record["place"].removeprefix("the document on ") or f"{record['document']:,}"
        cells = [place] * several + [f"{record.get('line', 1):,}"] * (by != "document")
        if by == "token":
            cells += [f"{record['nats'] + record['spelling_nats']:.2f}", f"{record['rank']:,}"]
            best = [f"{show_invisible(one['token'])} {one['probability']:.1%}" for one in record["alternatives"][:3]]
            cells += [show_invisible(record["text"] or record["token"]), "  ".join(best)]
        else:
            cells += [f"{record['nats']:.2f}", f"{record['bits_per_byte']:.3f}", f"{record['strangeness']:.2f}"]
            cells += [record["text"].replace("\t", " ")]
        table.add_row(*(Text(printable(cell).replace("\n", "⏎")) for cell in cells))
    return table


def _figure_record(surprisal: Surprisal) -> dict[str, Any]:
    names = ("tokens", "nats_per_token", "bits_per_byte", "bits_per_character")
    return {name: getattr(surprisal.evaluation, name) for name in names}


def _print_calibration(console: Console, calibration: Calibration) -> None:
    """Print the calibration error and the bins."""
    from rich.table import Table

    figures = f"mean confidence {calibration.confidence:.4f}, accuracy {calibration.accuracy:.4f}"
    console.print(f"calibration error {calibration.error:.4f}: {figures}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for head in ("confidence", "tokens", "mean", "right", "difference"):
        table.add_column(head, justify="right")
    for one in calibration.rows():
        table.add_row(
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.count:,}",
            f"{one.confidence:.4f}",
            f"{one.accuracy:.4f}",
            f"{one.accuracy - one.confidence:+.4f}",
        )
    console.print(table)

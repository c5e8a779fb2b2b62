"""`seqgen eval` of classifiers and taggers: how many labels or tags are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from seqgen.cli.bars import WorkBar
from seqgen.cli.output import notice, printable, stdout, write_json

from seqgen.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from seqgen.evaluation.tasks.counts import Counts
    from seqgen.evaluation.tasks.labels import LabelReport
    from seqgen.evaluation.tasks.tags import TagReport
    from seqgen.runs.pairs.labeler import LabelerRun
    from seqgen.sources.config import Reading


def evaluate_labeler(model: LabelerRun, texts: Sequence[str], reading: Reading, *, json: bool, quiet: bool) -> None:
    """Measure how a run labels a file, or the withheld pairs, and print the report."""
    if len(texts) > 1:
        raise ConfigError("text: a classifier or tagger is measured on one file at a time; name one")
    path = next(iter(texts), None)
    name = path or "validation part"
    with WorkBar(f"labeling {name}", quiet=quiet) as bar:
        report = model.evaluate_pairs(
            path, reading, note=lambda message: notice(message, quiet=quiet), progress=bar.show
        )
    if json:
        write_json({"text": name, "run": str(model.path), **report.as_record()})
    else:
        print_report(report, model, name)


def print_report(report: LabelReport | TagReport, model: LabelerRun, name: str) -> None:
    """Print the figures of a classifier or a tagger as tables."""
    from seqgen.evaluation.tasks.labels import LabelReport

    console = stdout()
    config = model.config
    console.print(printable(f"{model.path}: {config.model.name}, {config.tokenizer.kind}; {name}"), soft_wrap=True)
    if isinstance(report, LabelReport):
        console.print(figures_table(_label_figures(report)))
        console.print(_counts("label", report.counts))
        if report.confusion is not None:
            console.print(confusion_table(list(report.counts), report.confusion))
        return
    console.print(figures_table(_tag_figures(report)))
    console.print(_counts("tag", report.tags) if report.spans is None else _counts("span", report.spans))


def _label_figures(report: LabelReport) -> list[tuple[str, str]]:
    before = (f"before the temperature of {report.temperature:.3g}", f"{report.uncalibrated_error:.4f}")
    return [
        ("accuracy", f"{report.accuracy:.2%}"),
        (f"always {report.majority!r}", f"{report.majority_share:.2%}"),
        ("macro-F1", f"{report.macro_f1:.4f}"),
        ("nats per label", f"{report.nats:.4f}"),
        ("calibration error", f"{report.calibration_error:.4f}"),
        *([before] if report.temperature != 1 else []),
        ("texts", f"{report.documents:,}"),
    ]


def _tag_figures(report: TagReport) -> list[tuple[str, str]]:
    spans = report.all_spans
    figures = [("accuracy of tags", f"{report.accuracy:.2%}")]
    if spans is None:
        figures.append(("macro-F1", f"{report.macro_f1:.4f}"))
    else:
        figures += [
            ("F1 of spans", f"{spans.f1:.4f}"),
            ("precision", f"{spans.precision:.4f}"),
            ("recall", f"{spans.recall:.4f}"),
        ]
    return [*figures, ("sentences", f"{report.sentences:,}"), ("words", f"{report.words:,}")]


def figures_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of figures with their names."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for label, figure in rows:
        table.add_row(printable(label), figure)
    return table


def _counts(kind: str, counts: Mapping[str, Counts]) -> Table:
    """Return a table of classes: how often each is in the reference and the output, precision, recall and F1."""
    from rich.table import Table

    headers = ("true", "predicted", "precision", "recall", "F1")
    table = Table(kind, *headers, box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in counts.items():
        shares = (f"{share:.3f}" for share in (one.precision, one.recall, one.f1))
        table.add_row(printable(name), f"{one.reference:,}", f"{one.output:,}", *shares)
    return table


def confusion_table(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    """Return how many texts of each label, a row, were given each label, a column."""
    from rich.table import Table

    table = Table("true / predicted", *map(printable, labels), box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, row in zip(labels, confusion, strict=True):
        table.add_row(printable(label), *(f"{count:,}" for count in row))
    return table

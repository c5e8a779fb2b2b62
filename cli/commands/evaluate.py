"""`seqgen eval`: what held-out texts cost under a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.options import (
    BadLineOption,
    DeviceOption,
    ErrorsOption,
    ExcludeOption,
    FieldOption,
    GlobOption,
    JsonOption,
    OfTheModelOption,
    QuietOption,
    RunOption,
    ThreadsOption,
    drop_none,
)
from seqgen.cli.output import notice, notice_pipes, printable, stderr, stdout, tokenizer_name, write_json
from seqgen.cli.signals import leaving_at_once

from seqgen.errors import ConfigError
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from seqgen.evaluation.report import Evaluation
    from seqgen.runs.load import Run
    from seqgen.sources.catalog.corpus import PublishedResult

MUCH_UNKNOWN = 0.05
"""The share of a text's tokens that are `<unk>` from which its perplexity misleads."""


@dataclass(frozen=True)
class Row:
    """A text's figures, and what other codes need for it, in bits per byte."""

    name: str
    evaluation: Evaluation
    xz: float | None
    order0: float
    published: tuple[PublishedResult, ...] = ()
    """What others reached on this part of the catalog, or the true entropy of a synthetic text."""


def evaluate(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Held-out texts.", show_default="what the run itself withheld"),
    ] = None,
    run: RunOption = None,
    context_window: Annotated[
        int | None, typer.Option(help="Score windows of this many tokens instead of one continuous stream.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Tokens between the starts of windows.", show_default="the window")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Score as one stream, not in parallel lanes; slower.")
    ] = False,
    precision: Annotated[
        Literal["fp32", "bf16", "int8"] | None,
        typer.Option(help="Precision of matrix products; int8 as for sample.", show_default="fp32"),
    ] = None,
    encoding: OfTheModelOption = None,
    errors: ErrorsOption = "strict",
    glob: GlobOption = None,
    exclude: ExcludeOption = None,
    field: FieldOption = None,
    on_bad_line: BadLineOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a model on texts it has not seen: perplexity, bits per character, bits per byte."""
    from dataclasses import replace

    from seqgen.sources.catalog.corpus import published_results
    from seqgen.sources.source import load_documents, reject_unused_settings

    options = drop_none(encoding=encoding, glob=glob, exclude=exclude, field=field, on_bad_line=on_bad_line)
    idle = [*options, *(["errors"] if errors != "strict" else [])]
    if idle and not texts:
        raise ConfigError(
            f"{idle[0]}: it is about reading a text, and without a text what the run withheld is scored; "
            "name a text, or leave it out"
        )
    with leaving_at_once():
        from seqgen.runs.load import load

    model = load(run, device=device, threads=threads)
    settings = drop_none(
        context_window=context_window, stride=stride, sequential=sequential or None, precision=precision
    )
    named: list[tuple[str, Sequence[str]]]
    reading = model.reading(errors=errors, **options)
    notice_pipes(texts or [], quiet=quiet)
    if texts:
        reject_unused_settings(texts, reading)

    def note(message: str) -> None:
        notice(message, quiet=quiet)

    named = [(text, load_documents([text], reading, note)) for text in texts or []] or [
        ("withheld", model.validation_texts())
    ]
    data = model.config.data
    withheld = data.valid or (data.text[0] if len(data.text) == 1 else "")
    rows = [
        replace(
            measure(model, name, documents, quiet=quiet, **settings),
            published=published_results(name if texts else withheld),
        )
        for name, documents in named
    ]
    for name, documents in named if texts else []:
        if len(documents) == 1 and model.has_training_texts(documents[0]):
            notice(
                f"{name} is the text that this run learnt from: the figures say how well it is remembered; "
                "`seqgen eval` without a text scores what was withheld of it",
                quiet=quiet,
            )
    total = sum_rows(rows) if len(rows) > 1 else None
    if json:
        records = [as_record(row, model) for row in rows]
        write_json(records[0] if total is None else {"files": records, "total": as_record(total, model)})
    else:
        print_rows([*rows, total] if total is not None else rows, model)


def measure(model: Run, name: str, documents: Sequence[str], *, quiet: bool, **settings: Any) -> Row:
    """Score a text, with a bar on a terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from seqgen.evaluation.report import order0_bits_per_byte, xz_bits_per_byte

    console = stderr()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(printable(name), total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        evaluation = model.evaluate_text(*documents, progress=show, **settings)
    if evaluation.size.changed:
        notice(
            f"{name}: {evaluation.size.changed:,} of its {plural(evaluation.size.characters, 'character')} "
            f"{singular_or_plural(evaluation.size.changed, 'is', 'are')} not in NFC, as which this model's tokenizer "
            "gives them back: the bits are what the normalized text costs",
            quiet=quiet,
        )
    if evaluation.unknown_share >= MUCH_UNKNOWN:
        notice(
            f"{name}: {evaluation.unknown_share:.0%} of its {plural(evaluation.tokens, 'token')} are <unk>, not in "
            "this model's vocabulary; perplexity counts each as one token, whatever its spelling: compare bits per "
            "byte, which pay for it",
            quiet=quiet,
        )
    whole = "".join(documents)
    encoding = model.tokenizer.text_encoding
    return Row(name, evaluation, xz_bits_per_byte(whole, encoding), order0_bits_per_byte(whole, encoding))


def sum_rows(rows: Sequence[Row]) -> Row:
    """All texts as one: totals are added, and the other codes' figures weighed by bytes."""
    from seqgen.evaluation.report import combine

    evaluation = combine([row.evaluation for row in rows])
    weights = [row.evaluation.size.bytes / evaluation.size.bytes for row in rows]
    xz = [row.xz * weight for row, weight in zip(rows, weights, strict=True) if row.xz is not None]
    order0 = sum(row.order0 * weight for row, weight in zip(rows, weights, strict=True))
    return Row("total", evaluation, sum(xz) if len(xz) == len(rows) else None, order0)


def as_record(row: Row, model: Run) -> dict[str, Any]:
    """What --json prints of a text."""
    evaluation = row.evaluation
    return {
        "text": row.name,
        "nats_per_token": evaluation.nats_per_token,
        "perplexity": evaluation.perplexity if math.isfinite(evaluation.perplexity) else None,
        "bits_per_byte": evaluation.bits_per_byte,
        "bits_per_character": evaluation.bits_per_character,
        "tokens": evaluation.tokens,
        "characters": evaluation.size.characters,
        "bytes": evaluation.size.bytes,
        "unknown_characters": evaluation.size.unknown,
        "unknown_share": evaluation.unknown_share,
        "changed_characters": evaluation.size.changed,
        "context": evaluation.context,
        "run": str(model.path),
        "xz_bits_per_byte": row.xz,
        "order0_bits_per_byte": row.order0,
        "published": [figure.model_dump() for figure in row.published],
    }


def print_rows(rows: Sequence[Row], model: Run) -> None:
    """The figures as a table, a column a text."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=len(rows) > 1)
    table.add_column("")
    for row in rows:
        table.add_column(printable(row.name), justify="right")
    reports = [row.evaluation for row in rows]
    figures = [
        ("nats per token", [f"{report.nats_per_token:.4f}" for report in reports]),
        ("perplexity", [f"{report.perplexity:,.3f}" for report in reports]),
        ("bits per character", [f"{report.bits_per_character:.4f}" for report in reports]),
        ("bits per byte", [f"{report.bits_per_byte:.4f}" for report in reports]),
        ("  xz -9 needs", ["-" if row.xz is None else f"{row.xz:.4f}" for row in rows]),
        ("  order-0 entropy", [f"{row.order0:.4f}" for row in rows]),
        ("tokens", [f"{report.tokens:,}" for report in reports]),
        ("characters", [f"{report.size.characters:,}" for report in reports]),
        ("bytes", [f"{report.size.bytes:,}" for report in reports]),
    ]
    if any(report.size.unknown for report in reports):
        figures.append(("unknown pieces (spelling in the bits)", [f"{report.size.unknown:,}" for report in reports]))
    if any(report.size.changed for report in reports):
        figures.append(("characters not in NFC", [f"{report.size.changed:,}" for report in reports]))
    for name, cells in figures:
        table.add_row(name, *cells)
    config, console = model.config, stdout()
    kind = tokenizer_name(config.tokenizer.kind, config.tokenizer.normalization)
    context = reports[-1].context  # of several texts the total's, which has them all
    console.print(printable(f"{model.path}: {config.model.cell}, {kind}; state {context}"), soft_wrap=True)
    console.print(table)
    for row in rows:
        for figure in row.published:
            line = f"{row.name}: {figure.value:.6g} {figure.unit}, {figure.model} ({figure.citation})"
            console.print(printable(line), soft_wrap=True)

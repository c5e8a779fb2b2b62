"""`seqgen eval`: measure a model on held-out texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import TokenBar
from seqgen.cli.options import TEXTS, JsonOption, QuietOption, RunOption, pick, with_settings
from seqgen.cli.output import notice, notice_pipes, printable, stdout, tokenizer_name, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.config import EVALUATION, settings_of
from seqgen.errors import ConfigError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.sources.config import Reading
from seqgen.training.config import TrainingConfig
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from seqgen.evaluation.report import Context, Evaluation
    from seqgen.runs.load import Run
    from seqgen.sources.catalog.corpus import PublishedResult
    from seqgen.sources.source import LoadedDocuments

MUCH_UNKNOWN = 0.05
"""Share of `<unk>` among the tokens from which perplexity misleads."""


@dataclass(frozen=True)
class Row:
    """The figures of a text, and what xz and an order-0 code need for it, in bits per byte."""

    name: str
    evaluation: Evaluation
    xz: float | None
    order0: float
    documents: int
    published: tuple[PublishedResult, ...] = ()
    """Published results on this part of the catalog, or the true entropy of a synthetic text."""


_MACHINE = settings_of(TrainingConfig)
SETTINGS = {
    **settings_of(EvaluationConfig, Reading),
    "device": _MACHINE["device"]._replace(group=EVALUATION),
    "threads": _MACHINE["threads"]._replace(group=EVALUATION, shown="all"),
}
SETTINGS["documents"] = SETTINGS["documents"]._replace(shown="as the run")
SETTINGS["encoding"] = SETTINGS["encoding"]._replace(shown="utf-8; bytes as trained")


@with_settings(SETTINGS, main=[name for name, setting in SETTINGS.items() if setting.group == EVALUATION])
def evaluate(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help=TEXTS, show_default="the validation part of the run's own text"),
    ] = None,
    run: RunOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Measure a model on texts that it was not trained on: perplexity, bits per character, bits per byte."""
    reading = pick(settings, *Reading.model_fields)
    if reading and not texts:
        raise ConfigError(
            f"{next(iter(reading))}: it has no effect without a text: the validation part of the run is scored; "
            "name a text, or leave it out"
        )
    with exit_on_signal():
        from seqgen.runs.load import load

    model = load(run, **pick(settings, "device", "threads"))
    notice_pipes(texts or [], quiet=quiet)
    if texts:
        rows = _measure_texts(model, texts, model.reading(**reading), settings, quiet=quiet)
    else:
        data = model.config.data
        name = data.valid or (data.text[0] if len(data.text) == 1 else "")
        rows = [measure(model, "validation part", model.validation_texts(), part=name, quiet=quiet, **settings)]
    total = sum_rows(rows) if len(rows) > 1 else None
    if json:
        records = [as_record(row, model) for row in rows]
        write_json(records[0] if total is None else {"files": records, "total": as_record(total, model)})
    else:
        print_rows([*rows, total] if total is not None else rows, model)


def _measure_texts(
    model: Run, texts: Sequence[str], reading: Reading, settings: dict[str, Any], *, quiet: bool
) -> list[Row]:
    """Read and score each of `texts`; note which of them the run was trained on."""
    from seqgen.sources.source import load_documents, reject_unused_settings

    reject_unused_settings(texts, reading)

    def note(message: str) -> None:
        notice(message, quiet=quiet)

    named = [(text, load_documents([text], reading, note)) for text in texts]
    rows = [measure(model, name, documents, part=name, quiet=quiet, **settings) for name, documents in named]
    for name, documents in named:
        if len(documents) == 1 and model.is_training_text(documents[0]):
            note(
                f"{name} is the text that this run was trained on, so the figures show how well it was memorized; "
                "`seqgen eval` without a text scores its validation part"
            )
    return rows


def measure(model: Run, name: str, documents: LoadedDocuments, *, part: str = "", quiet: bool, **settings: Any) -> Row:
    """Score a text, with a bar on a terminal; `part` names the part of the catalog that it may be."""
    from seqgen.evaluation.report import order0_bits_per_byte, xz_bits_per_byte
    from seqgen.sources.catalog.corpus import published_results

    with TokenBar(name, quiet=quiet) as bar:
        evaluation = model.evaluate_documents(documents, progress=bar.show, **settings)
    if evaluation.size.changed:
        notice(
            f"{name}: {evaluation.size.changed:,} of its {plural(evaluation.size.characters, 'character')} "
            f"{singular_or_plural(evaluation.size.changed, 'is', 'are')} not in NFC, to which the tokenizer of this "
            "model normalizes; the bits are those of the normalized text",
            quiet=quiet,
        )
    if evaluation.unknown_share >= MUCH_UNKNOWN:
        notice(
            f"{name}: {evaluation.unknown_share:.0%} of its {plural(evaluation.tokens, 'token')} are <unk>, because "
            "they are not in the vocabulary; compare bits per byte, which include their spelling, not perplexity",
            quiet=quiet,
        )
    whole = model.scored_documents(documents).in_file
    encoding = model.tokenizer.text_encoding
    xz, order0 = xz_bits_per_byte(whole, encoding), order0_bits_per_byte(whole, encoding)
    return Row(name, evaluation, xz, order0, len(documents), published_results(part))


def sum_rows(rows: Sequence[Row]) -> Row:
    """Combine texts into one row: totals are added, and the figures of other codes weighted by bytes."""
    from seqgen.evaluation.report import combine

    evaluation = combine([row.evaluation for row in rows])
    weights = [row.evaluation.size.bytes / evaluation.size.bytes for row in rows]
    xz = [row.xz * weight for row, weight in zip(rows, weights, strict=True) if row.xz is not None]
    order0 = sum(row.order0 * weight for row, weight in zip(rows, weights, strict=True))
    documents = sum(row.documents for row in rows)
    return Row("total", evaluation, sum(xz) if len(xz) == len(rows) else None, order0, documents)


def as_record(row: Row, model: Run) -> dict[str, Any]:
    """Return the figures of a text as --json prints them."""
    evaluation = row.evaluation
    return {
        "text": row.name,
        "nats_per_token": evaluation.nats_per_token,
        "perplexity": evaluation.perplexity if math.isfinite(evaluation.perplexity) else None,
        "bits_per_byte": evaluation.bits_per_byte,
        "bits_per_character": evaluation.bits_per_character,
        "tokens": evaluation.tokens,
        "ends": evaluation.ends,
        "characters": evaluation.size.characters,
        "bytes": evaluation.size.bytes,
        "unknown_characters": evaluation.size.unknown,
        "unknown_share": evaluation.unknown_share,
        "changed_characters": evaluation.size.changed,
        "context": asdict(evaluation.context),
        "run": str(model.path),
        "xz_bits_per_byte": row.xz,
        "order0_bits_per_byte": row.order0,
        "published": [figure.model_dump() for figure in row.published],
    }


def describe_context(context: Context, documents: int) -> str:
    """Return in words how much of the text each token of so many documents was scored with."""
    if context.kind == "windows":
        return f"windows of {plural(context.window or 0, 'token')}, stride {context.stride}"
    carried = "state carried through " + ("the whole text" if documents == 1 else "each document")
    if not context.burn_in:
        return f"{carried}, one stream" if documents == 1 else carried
    return f"{carried}, {context.segments:,} segments with a burn-in of {plural(context.burn_in, 'token')}"


def print_rows(rows: Sequence[Row], model: Run) -> None:
    """Print the figures as a table with a column for each text."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=len(rows) > 1)
    table.add_column("")
    for row in rows:
        table.add_column(printable(row.name), justify="right")
    reports = [row.evaluation for row in rows]
    ends = [("  of them ends of documents", [f"{report.ends:,}" for report in reports])]
    figures = [
        ("nats per token", [f"{report.nats_per_token:.4f}" for report in reports]),
        ("perplexity", [f"{report.perplexity:,.3f}" for report in reports]),
        ("bits per character", [f"{report.bits_per_character:.4f}" for report in reports]),
        ("bits per byte", [f"{report.bits_per_byte:.4f}" for report in reports]),
        ("  xz -9 needs", ["-" if row.xz is None else f"{row.xz:.4f}" for row in rows]),
        ("  order-0 entropy", [f"{row.order0:.4f}" for row in rows]),
        ("tokens", [f"{report.tokens:,}" for report in reports]),
        *(ends if any(report.ends for report in reports) else []),
        ("characters", [f"{report.size.characters:,}" for report in reports]),
        ("bytes", [f"{report.size.bytes:,}" for report in reports]),
    ]
    if any(report.size.unknown for report in reports):
        figures.append(("unknown tokens (their cost is included)", [f"{report.size.unknown:,}" for report in reports]))
    if any(report.size.changed for report in reports):
        figures.append(("characters not in NFC", [f"{report.size.changed:,}" for report in reports]))
    for name, cells in figures:
        table.add_row(name, *cells)
    config, console = model.config, stdout()
    kind = tokenizer_name(config.tokenizer.kind, config.tokenizer.normalization)
    context = describe_context(reports[-1].context, rows[-1].documents)  # of several texts the total's
    console.print(printable(f"{model.path}: {config.model.name}, {kind}; {context}"), soft_wrap=True)
    console.print(table)
    for row in rows:
        for figure in row.published:
            line = f"{row.name}: {figure.value:.6g} {figure.unit}, {figure.model} ({figure.citation})"
            console.print(printable(line), soft_wrap=True)

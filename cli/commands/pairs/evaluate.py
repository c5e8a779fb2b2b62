"""`seqgen eval` of encoder-decoders: how well a run translates."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.pairs.label_report import figures_table
from seqgen.cli.output import notice, printable, stdout, write_json
from seqgen.cli.prompt import UnknownPieces

if TYPE_CHECKING:
    from seqgen.runs.pairs.translator import TranslationEvaluation, TranslatorRun
    from seqgen.sources.config import Reading

EXACT_BAR = 20
"""Characters of a bar of exact matches."""


def evaluate_translator(
    model: TranslatorRun, texts: Sequence[str], reading: Reading, settings: dict[str, Any], *, json: bool, quiet: bool
) -> None:
    """Measure how well a run translates pairs, those of files or the withheld ones."""
    from seqgen.sources.source import load_documents

    name = " and ".join(texts) or "validation part"
    if texts:
        pairs = load_documents(texts, reading, lambda message: notice(message, quiet=quiet))
    else:
        pairs = model.validation_texts()
    unknown = UnknownPieces(model)
    deque(unknown.count(pairs), maxlen=0)
    with WorkBar(f"translating {name}", quiet=quiet, unit="pair") as bar:
        found = model.evaluate_pairs(pairs, progress=bar.show, **settings)
    unknown.note(f"the {name}" if not texts else name, quiet=quiet)
    if json:
        write_json({"text": name, "run": str(model.path), **as_record(found)})
    else:
        print_evaluation(found, model, name, quiet=quiet)


def as_record(found: TranslationEvaluation) -> dict[str, Any]:
    """Return the figures as --json prints them."""
    cost = found.cost
    figures = {
        "nats_per_token": cost.nats_per_token,
        "bits_per_byte": cost.bits_per_byte,
        "bits_per_character": cost.bits_per_character,
        "tokens": cost.tokens,
        "size": asdict(cost.size),
    }
    return {**found.report.as_record(), "targets": figures}


def print_evaluation(found: TranslationEvaluation, model: TranslatorRun, name: str, *, quiet: bool = False) -> None:
    """Print the figures as a table, and exact match by the length of the source."""
    from rich.table import Table

    cost, report = found.cost, found.report
    figures = [("exact match", f"{100 * report.exact_match:.2f}%")]
    scores = [("chrF", report.chrf), ("BLEU", report.bleu)]
    figures += [(label, f"{score.score:.2f}") for label, score in scores if score is not None]
    figures += [
        ("nats per token of the targets", f"{cost.nats_per_token:.4f}"),
        ("bits per byte of the targets", f"{cost.bits_per_byte:.4f}"),
        ("pairs", f"{report.pairs:,}"),
        ("empty outputs", f"{report.empty:,}"),
        ("outputs that reached the length limit", f"{report.truncated:,}"),
        ("sources that were cut", f"{report.sources_cut:,}"),
    ]
    console = stdout()
    kind = model.config.tokenizer.kind
    console.print(printable(f"{model.path}: {model.config.model.name}, {kind}; {name}"), soft_wrap=True)
    console.print(figures_table(figures))
    by_length = Table(box=None, pad_edge=False)
    for header, justify in (("source tokens", "right"), ("pairs", "right"), ("exact", "right"), ("", "left")):
        by_length.add_column(header, justify=justify)  # type: ignore[arg-type]
    for one in report.by_source_length:
        share = one.matches / one.total
        lengths = f"{one.shortest}" if one.shortest == one.longest else f"{one.shortest} to {one.longest}"
        by_length.add_row(lengths, f"{one.total:,}", f"{100 * share:.1f}%", "█" * round(EXACT_BAR * share))
    console.print(by_length)
    for label, score in scores:
        if score is not None:
            console.print(printable(f"{label}: {score.signature}"), soft_wrap=True)
    if report.chrf is None:
        notice("chrF and BLEU need sacrebleu: pip install 'seqgen[bleu]'", quiet=quiet)

"""`seqgen eval`: measure a model on held-out texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import ShowTokens, WorkBar, announce_time
from seqgen.cli.commands.evaluate.surprisal import (
    AgainstOption,
    ByOption,
    CalibrationOption,
    OutOption,
    Request,
    SurprisalOption,
    TopOption,
    show_surprisal,
)
from seqgen.cli.options import (
    NEEDS_A_TEXT,
    TEXTS,
    JsonOption,
    QuietOption,
    RunOption,
    machine_settings,
    pick,
    reading_settings,
    refuse_reading,
    with_settings,
)
from seqgen.cli.output import notice, notice_pipes, printable, stdout, tokenizer_name, write_json
from seqgen.cli.prompt import note_unknown
from seqgen.cli.signals import exit_on_signal

from seqgen.config import EVALUATION, settings_of
from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.config import DEFAULTS, AdaptationConfig, AdaptationConstants
from seqgen.evaluation.config import EvaluationConfig
from seqgen.generation.config import BeamConfig
from seqgen.sources.config import LABELING_TASKS, Reading, absolute
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from seqgen.evaluation.report import Context, DynamicEvaluation, Evaluation
    from seqgen.evaluation.surprisal.measure import Surprisal
    from seqgen.runs.run import Run
    from seqgen.runs.text import TextRun
    from seqgen.sources.catalog.corpus import PublishedResult
    from seqgen.sources.source import LoadedDocuments


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


SETTINGS = {
    **settings_of(EvaluationConfig),
    **reading_settings(pairs=True),
    **settings_of(BeamConfig),
    **machine_settings(EVALUATION),
}
_ADAPTATION = AdaptationConfig.model_fields.keys()


@with_settings(SETTINGS, main=[name for name, setting in SETTINGS.items() if setting.group == EVALUATION])
def evaluate(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help=TEXTS, show_default="the validation part of the run's own text"),
    ] = None,
    run: RunOption = None,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Choose the rates of --dynamic and --cache on this text, which should not be measured."
        ),
    ] = None,
    surprisal: SurprisalOption = None,
    by: ByOption = None,
    top: TopOption = None,
    against: AgainstOption = None,
    calibration: CalibrationOption = False,
    out: OutOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Measure a model on texts that it was not trained on: perplexity, bits per character, bits per byte.

    Runs of --task translate are measured on pairs: exact match, chrF, BLEU, bits per byte of the targets; of classify,
    on texts with labels, and of tag, on sentences with tags: accuracy, F1, and calibration or spans.
    """
    request = Request(surprisal, by, top, against, calibration, out)
    reading = pick(settings, *Reading.model_fields)
    _check(request, settings, texts, tune, reading)
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    model = load(run, **pick(settings, "device", "threads"))
    notice_pipes(texts or [], quiet=quiet)
    read, search = model.reading(**reading), pick(settings, *BeamConfig.model_fields)
    if search and model.config.data.task != "translate":
        raise ConfigError(f"{next(iter(search))}: it belongs to runs of --task translate; leave it out")
    if model.config.data.has_pairs:
        request.refuse_pairs(model)
        if settings:
            raise ConfigError(f"{next(iter(settings))}: it has no effect on {model.path}, which has learned from pairs")
        _evaluate_pairs(model, texts or [], read, search, json=json, quiet=quiet)
        return
    model = model.expect(TextRun)
    request.check_other(model, on_validation=not texts)
    measured = _load_texts(texts, read, quiet=quiet) if texts else [("validation part", model.validation_texts())]
    if request:

        def header(found: Surprisal) -> str:
            return _header(model, found.evaluation, len(found.texts))

        show_surprisal(model, measured, request, settings, header=header, json=json, quiet=quiet)
        return
    if tune is not None:
        settings["adaptation"] = _tune(model, tune, read, measured, settings, quiet=quiet)
    _report(model, measured, settings, named=bool(texts), json=json, quiet=quiet)


def _check(
    request: Request,
    settings: Mapping[str, Any],
    texts: Sequence[str] | None,
    tune: str | None,
    reading: Mapping[str, Any],
) -> None:
    """Refuse options that have no effect together."""
    if not texts:
        refuse_reading(reading, NEEDS_A_TEXT)
    if tune is not None and not {"dynamic", "cache"} & settings.keys():
        raise ConfigError("tune: it has no effect without --dynamic or --cache; add one of them, or leave it out")
    request.check(settings)


def _report(
    model: TextRun,
    measured: Sequence[tuple[str, LoadedDocuments]],
    settings: dict[str, Any],
    *,
    named: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Print the figures of texts: those that were `named`, or the validation part."""
    if named:
        rows = [measure(model, name, text, part=name, quiet=quiet, **settings) for name, text in measured]
        _note_training_texts(model, measured, quiet=quiet)
    else:
        data = model.config.data
        part = data.valid or (data.text[0] if len(data.text) == 1 else "")
        rows = [measure(model, *one, part=part, quiet=quiet, **settings) for one in measured]
    total = sum_rows(rows) if len(rows) > 1 else None
    if json:
        records = [as_record(row, model) for row in rows]
        write_json(records[0] if total is None else {"files": records, "total": as_record(total, model)})
    else:
        print_rows([*rows, total] if total is not None else rows, model)


def _evaluate_pairs(
    model: Run, texts: Sequence[str], reading: Reading, search: dict[str, Any], *, json: bool, quiet: bool
) -> None:
    """Measure a run that has learned from pairs."""
    from seqgen.cli.commands.pairs.evaluate import evaluate_translator
    from seqgen.cli.commands.pairs.label_report import evaluate_labeler

    from seqgen.runs.pairs.labeler import LabelerRun
    from seqgen.runs.pairs.translator import TranslatorRun

    BeamConfig.of(**search)  # an impossible setting is refused before the pairs are read
    if not set(map(absolute, texts)).isdisjoint(model.config.data.text):
        notice(
            "the run was trained on this text, so the figures show how well it was memorized; `seqgen eval` without a "
            "text measures its validation part",
            quiet=quiet,
        )
    if model.config.data.task in LABELING_TASKS:
        evaluate_labeler(model.expect(LabelerRun), texts, reading, json=json, quiet=quiet)
        return
    evaluate_translator(model.expect(TranslatorRun), texts, reading, search, json=json, quiet=quiet)


def _load_texts(texts: Sequence[str], reading: Reading, *, quiet: bool) -> list[tuple[str, LoadedDocuments]]:
    """Read each of `texts`; return them with their names."""
    from seqgen.sources.names import reject_unused_settings
    from seqgen.sources.source import load_documents

    reject_unused_settings(texts, reading)
    return [(text, load_documents([text], reading, lambda message: notice(message, quiet=quiet))) for text in texts]


def _note_training_texts(model: TextRun, measured: Sequence[tuple[str, LoadedDocuments]], *, quiet: bool) -> None:
    """Note which texts the run was trained on."""
    for name, documents in measured:
        if len(documents) == 1 and model.is_training_text(documents[0]):
            notice(
                f"{name} is the text that this run was trained on, so the figures show how well it was memorized; "
                "`seqgen eval` without a text scores its validation part",
                quiet=quiet,
            )


def _tune(
    model: TextRun,
    text: str,
    reading: Reading,
    measured: Sequence[tuple[str, LoadedDocuments]],
    settings: dict[str, Any],
    *,
    quiet: bool,
) -> AdaptationConstants:
    """Search the rates of adaptation on a text, and note them; refuse a text that has one of those measured."""
    from seqgen.sources.source import load_documents

    documents = load_documents([text], reading, lambda message: notice(message, quiet=quiet))
    for name, one in measured:
        if _has_all(documents, one):
            raise ConfigError(
                f"tune: {text} has all of what is measured ({name}), whose figures would be too good; name another text"
            )
    with WorkBar(f"tuning on {text}", quiet=quiet) as bar:
        show = announce_time(f"tuning on {text}", bar.show, quiet=quiet)
        found = model.tune(documents, progress=show, **{name: settings[name] for name in _ADAPTATION & settings.keys()})
    changed = [f"{name} {value:g}" for name, value in found if value != getattr(DEFAULTS, name)]
    notice(f"tuned on {text}: {', '.join(changed) or 'the defaults are best'}", quiet=quiet)
    return found


def _has_all(documents: Sequence[str], measured: Sequence[str]) -> bool:
    """Return whether each measured document is one of `documents`, or a part of it if there is only one."""
    known = set(documents)
    return all(one in known or (len(documents) == 1 and one in documents[0]) for one in measured)


def measure(
    model: TextRun, name: str, documents: LoadedDocuments, *, part: str = "", quiet: bool, **settings: Any
) -> Row:
    """Score a text, with a bar on a terminal; `part` names the part of the catalog that it may be."""
    from seqgen.evaluation.report import order0_bits_per_byte, xz_bits_per_byte
    from seqgen.sources.catalog.corpus import published_results

    with WorkBar(name, quiet=quiet) as bar:
        show: ShowTokens = bar.show
        if {"dynamic", "cache"} & settings.keys():
            show = announce_time(f"{name}: dynamic evaluation", show, quiet=quiet)
        evaluation = model.evaluate_documents(documents, progress=show, **settings)
    for member, tokens in evaluation.dynamic.diverged.items() if evaluation.dynamic else ():
        notice(
            f"{name}: the dynamic weights of {member} diverged after {plural(tokens, 'token')}; the trained weights "
            "came back, and the rest was read without learning; find a smaller rate with --tune",
            quiet=quiet,
        )
    if evaluation.size.changed:
        notice(
            f"{name}: {evaluation.size.changed:,} of its {plural(evaluation.size.characters, 'character')} "
            f"{singular_or_plural(evaluation.size.changed, 'is', 'are')} not in NFC, to which the tokenizer of this "
            "model normalizes; the bits are those of the normalized text",
            quiet=quiet,
        )
    advice = "; compare bits per byte, which include their spelling, not perplexity"
    note_unknown(name, evaluation.size.unknown, evaluation.tokens, model, advice, quiet=quiet)
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


def as_record(row: Row, model: TextRun) -> dict[str, Any]:
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
        "dynamic": None if evaluation.dynamic is None else _dynamic_record(evaluation.dynamic),
        "run": str(model.path),
        "xz_bits_per_byte": row.xz,
        "order0_bits_per_byte": row.order0,
        "published": [figure.model_dump() for figure in row.published],
    }


def _dynamic_record(dynamic: DynamicEvaluation) -> dict[str, Any]:
    """Return the figures of a model that learned while it read; of each part and member nats per token."""
    tokens = dynamic.tokens
    return {
        "what": dynamic.what,
        "cache": dynamic.cache,
        "reset": "document" if dynamic.reset else None,
        "nats_per_token": dynamic.nats_per_token,
        "perplexity": dynamic.perplexity if math.isfinite(dynamic.perplexity) else None,
        "bits_per_byte": dynamic.bits_per_byte,
        "bits_per_character": dynamic.bits_per_character,
        "parts": {name: nats / tokens for name, nats in dynamic.parts.items()},
        "members": {
            name: {"static": static / tokens, "dynamic": learned / tokens}
            for name, (static, learned) in dynamic.members.items()
        },
        "weights": dynamic.weights,
        "diverged": dynamic.diverged,
        "constants": dynamic.constants.model_dump(),
    }


def _dynamic_figures(found: Sequence[DynamicEvaluation]) -> list[tuple[str, list[str]]]:
    """Return the rows of the table for models that learned while they read, one figure for each text."""
    if not found:
        return []
    first = found[0]
    title = f"dynamic {first.what}" + (" with cache" if first.cache and first.what != "cache" else "")
    rows = [
        (f"{title}: nats per token", [f"{one.nats_per_token:.4f}" for one in found]),
        (f"{title}: perplexity", [f"{one.perplexity:,.3f}" for one in found]),
        (f"{title}: bits per character", [f"{one.bits_per_character:.4f}" for one in found]),
        (f"{title}: bits per byte", [f"{one.bits_per_byte:.4f}" for one in found]),
    ]
    for part in first.parts:
        if part != first.what:
            cells = [f"{one.parts[part] / one.tokens:.4f}" for one in found]
            rows.append((f"  dynamic {part} only: nats per token", cells))
    for number, kind in enumerate(("static", "dynamic")):
        for name in first.members:
            cells = [f"{one.members[name][number] / one.tokens:.4f}" for one in found]
            rows.append((f"  {name} alone, {kind}: nats per token", cells))
    return rows


def describe_context(context: Context, documents: int) -> str:
    """Return in words how much of the text each token of so many documents was scored with."""
    if context.kind == "windows":
        return f"windows of {plural(context.window or 0, 'token')}, stride {context.stride}"
    carried = "state carried through " + ("the whole text" if documents == 1 else "each document")
    if not context.burn_in:
        return f"{carried}, one stream" if documents == 1 else carried
    return f"{carried}, {plural(context.segments, 'segment')} with a burn-in of {plural(context.burn_in, 'token')}"


def _header(model: TextRun, evaluation: Evaluation, documents: int) -> str:
    """Return in words which model scored so many documents, and how."""
    config = model.config
    kind = tokenizer_name(config.tokenizer.kind, config.tokenizer.normalization)
    context = describe_context(evaluation.context, documents)
    if evaluation.dynamic is not None:
        context += "; static, then dynamic"
    return f"{model.path}: {config.model.name}, {kind}; {context}"


def print_rows(rows: Sequence[Row], model: TextRun) -> None:
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
        *_dynamic_figures([report.dynamic for report in reports if report.dynamic is not None]),
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
    console = stdout()
    # Of several texts the context is that of the total.
    console.print(printable(_header(model, reports[-1], rows[-1].documents)), soft_wrap=True)
    console.print(table)
    for row in rows:
        for figure in row.published:
            line = f"{row.name}: {figure.value:.6g} {figure.unit}, {figure.model} ({figure.citation})"
            console.print(printable(line), soft_wrap=True)

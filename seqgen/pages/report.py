"""The report of a run: one page with its result, settings, curves, samples, surprisal, units and gradient horizon.

Each section is made by one function from data: `result_section`, `settings_section`, ... A section is a list of blocks
that templates/report.js draws: `figures`, `table`, `charts`, `texts`, `colored`, `unit`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from seqgen.errors import SeqgenError
from seqgen.evaluation.report import xz_bits_per_byte
from seqgen.evaluation.surprisal.measure import Surprisal
from seqgen.evaluation.tasks.labels import LabelReport
from seqgen.evaluation.tasks.tags import TagReport
from seqgen.inspection.gradients import Gradients, Target, measure_gradients
from seqgen.inspection.trace import neural_part
from seqgen.inspection.units import FoundUnits, UnitTrace, find_units, trace_units
from seqgen.models.config import RecurrentConfig
from seqgen.models.registry import FAMILIES
from seqgen.pages.chart import Chart, Curve, chart_data
from seqgen.pages.charts.gradients import describe_source, gradients_chart
from seqgen.pages.page import make_page
from seqgen.pages.visible import show_invisible
from seqgen.runs.config import RunConfig, nondefault_settings
from seqgen.runs.directory import RunDirectory
from seqgen.runs.history import MEMBER_OF_ALL, History, read_histories, thin
from seqgen.runs.load import load
from seqgen.runs.mixtures.record import MixtureRecord
from seqgen.runs.pairs.labeler import LabelerRun
from seqgen.runs.run import Run
from seqgen.runs.summary import Summary, summarize
from seqgen.runs.text import TextRun
from seqgen.sources.config import LABELING_TASKS
from seqgen.sources.source import LoadedDocuments

Block = dict[str, Any]
CURVE_POINTS = 400
"""Points of a curve: steps in a row are averaged."""
MOST_SAMPLES = 12
"""Samples on a page, evenly spaced over the run."""
SCORING, UNITS, GRADIENTS = "scoring the withheld part", "finding units", "measuring gradients"
WORK = {SCORING: "token", UNITS: "token", GRADIENTS: "position"}
"""What takes time, and what is counted."""
SCORED_CHARACTERS = 100_000
"""Characters of the withheld part that are scored for the page."""
UNIT_CHARACTERS = 50_000
"""Characters of the withheld part in which units are searched."""
COLORED_TOKENS = 1_500
"""Tokens of the colored stretch."""
HARDEST_LINES = 20
LONGEST_LINE = 300
"""Characters of a line that the table of the hardest lines shows."""
DARKEST_BITS = 10.0
"""Bits at which a token has the darkest color; in a vocabulary of 1,000, pure chance costs as much."""
EXPECTED = 3
"""How many of the most probable tokens are named at a token."""
DISTANCE, POSITIONS = 100, 32
"""The greatest distance of the gradients, in tokens, and the number of losses."""


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    title: str
    about: str
    """What it shows, in a sentence or two."""
    blocks: list[Block]


@dataclass
class Report:
    """The sections of a page, and why others are not on it."""

    title: str
    sections: list[Section] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """By the title of a section that does not apply or could not be made, the reason."""

    def add(self, title: str, make: Callable[[], Section]) -> None:
        """Add a section; if its data are missing, or do not apply to this run, name it and the reason instead."""
        try:
            self.sections.append(make())
        except SeqgenError as error:
            self.left_out[title] = str(error)


def report_page(report: Report) -> str:
    """Return the HTML of a report.

    Raises:
        SaveError: it is too large for a page.
    """
    return make_page("report", report.title, asdict(report), parts=("chart",))


def make_report(directory: RunDirectory, progress: Callable[[str, int, int], None] = lambda *_: None) -> Report:
    """Report on a run of any kind, finished or not.

    Args:
        directory: the run.
        progress: receives a name of `WORK`, how much of it is done, and the total.

    Raises:
        RunError: it is not a run, or its files are damaged.
    """
    config = directory.read_config()
    summary, histories = summarize(directory, config), read_histories(directory, config)
    report = Report(f"Report of {directory.path.name}")
    run = load(directory.path) if directory.has_weights else None
    text, why_not = _withheld(run)
    mixture = directory.read_mixture() if directory.mixture.is_file() else None
    best = histories[MEMBER_OF_ALL].best
    report.sections += [result_section(summary, config, best, _xz(run, text), mixture), settings_section(config)]
    if any(len(history.steps) for history in histories.values()):
        report.sections.append(curves_section(histories, config))
    else:
        takes_steps = any(FAMILIES[one.model.cell].neural for one in (config, *config.members.values()))
        report.left_out["Curves"] = "metrics.jsonl has no steps" if takes_steps else "the model is fitted in one pass"
    if any(history.samples for history in histories.values()):
        report.sections.append(samples_section(histories, raw=config.data.is_raw))
    else:
        report.left_out["Samples"] = "metrics.jsonl has no samples"
    if run is None or text is None:
        report.left_out["The withheld part"] = why_not
    elif not isinstance(run, TextRun):
        if isinstance(run, LabelerRun):
            scoring = partial(progress, SCORING)
            report.add("Labels of the withheld part", lambda: labels_section(run.evaluate_pairs(progress=scoring)))
        report.left_out["Surprisal, units, gradient horizon"] = "they belong to runs that continue texts"
    else:
        part = first_characters(text, SCORED_CHARACTERS)
        characters = sum(map(len, text))
        scoring, units, gradients = (partial(progress, name) for name in WORK)
        report.add("Surprisal", lambda: surprisal_section(run.surprisal(part, progress=scoring), characters))
        member = heaviest_member(run, mixture)
        report.add("Units", lambda: _units(neural_part(run, member), first_characters(text, UNIT_CHARACTERS), units))
        report.add("Gradient horizon", lambda: horizon_section(_gradients(neural_part(run, member), part, gradients)))
    return report


def _withheld(run: Run | None) -> tuple[LoadedDocuments | None, str]:
    """Return the withheld part of a run, or why it cannot be read."""
    if run is None:
        return None, "the run has no weights yet; continue it with seqgen train --resume"
    try:
        return run.validation_texts(), ""
    except SeqgenError as error:
        return None, str(error)


def _xz(run: Run | None, text: LoadedDocuments | None) -> float | None:
    """Return what xz needs for the withheld part of a text, in bits per byte."""
    if not isinstance(run, TextRun) or text is None:
        return None
    return xz_bits_per_byte(run.scored_documents(text).in_file, run.tokenizer.text_encoding)


def result_section(
    summary: Summary,
    config: RunConfig,
    best: Mapping[str, Any] | None,
    xz: float | None,
    mixture: MixtureRecord | None = None,
) -> Section:
    """Show the figures of the best evaluation, next to xz, and the run's size and time.

    Args:
        summary: of the run.
        config: of the run.
        best: the event of the best evaluation, or of a mixture of its weights; None before there is one.
        xz: bits per byte of `xz -9` for the same text, if they are known.
        mixture: the weights of a mixture.
    """
    best = best or {}
    nats = best.get("nats_per_token")
    unit = "label" if config.labels is not None else "token"
    perplexity = None if nats is None or nats > 700 else math.exp(nats)
    figures = [
        _figure("bits per byte", best.get("bits_per_byte"), "{:.4f}"),
        _figure("xz -9, bits per byte", xz, "{:.4f}"),
        _figure("bits per character", best.get("bits_per_character"), "{:.4f}"),
        _figure("accuracy", best.get("accuracy"), "{:.2%}"),
        _figure(f"nats per {unit}", nats, "{:.4f}"),
        _figure("perplexity", perplexity, "{:,.3f}"),
        _figure("parameters", summary.parameters, "{:,}"),
        _figure("vocabulary", summary.vocab_size, "{:,}"),
        _figure("training time", summary.seconds, "{:,.0f} s"),
        _figure("steps", summary.steps, f"{{:,}} of {summary.total_steps:,}"),
        _figure("best step", summary.best_step, "{:,}"),
    ]
    measured = "best evaluation on the withheld part" if mixture is None else "withheld part, which set the weights too"
    about = (
        f"{config.model.name} {config.model.shape} on {config.data.name}; {summary.state}. The losses are those of the "
        f"{measured}."
    )
    blocks: list[Block] = [{"kind": "figures", "figures": [one for one in figures if one["value"] is not None]}]
    if mixture is not None:
        rows = [
            [name, f"{one.weight:.3f}", f"{one.nats_per_token:.4f}", f"{one.bits_per_byte:.4f}"]
            for name, one in mixture.members.items()
        ]
        blocks.append(_table(["member", "weight", "nats per token", "bits per byte"], rows))
    return Section("Result", about, blocks)


def _figure(name: str, value: float | None, form: str) -> Block:
    return {"name": name, "value": value, "shown": "" if value is None else form.format(value)}


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, folded: str = "", words: int = 1) -> Block:
    """Return a table; the first `words` columns are text, the others numbers. `folded` is the name of a folded one."""
    return {"kind": "table", "columns": list(columns), "rows": [list(row) for row in rows], "folded": folded,
            "words": words}  # fmt: skip


def settings_section(config: RunConfig) -> Section:
    """Show the settings that differ from the defaults, and folded all others."""
    changed = nondefault_settings(config)
    rows = [[name, _shown(value), _shown(usual)] for name, (value, usual) in changed.items()]
    everything = _flat(config.model_dump(mode="json"))
    blocks = [_table(["setting", "value", "default"], rows, words=3)] if rows else []
    blocks.append(
        _table(
            ["setting", "value"],
            [[name, _shown(value)] for name, value in everything.items()],
            folded="All settings, versions and fingerprints (config.json)",
            words=2,
        )
    )
    about = "These settings differ from the defaults of the cell and the training time." if rows else (
        "Every setting has the default of the cell and the training time."
    )  # fmt: skip
    return Section("Settings", about, blocks)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)


def curves_section(histories: Mapping[str, History], config: RunConfig) -> Section:
    """Show losses, learning rate, and norms of gradients and updates against the step, of each member of a mixture."""
    unit = "nats per label" if config.data.task in LABELING_TASKS else "nats per token"
    blocks: list[Block] = []
    for name, history in histories.items():
        if not len(history.steps):
            continue
        charts = history_charts(history, unit, f"{name}: " if name else "")
        blocks.append({"kind": "charts", "charts": [chart_data(chart) for chart in charts]})
        if history.warnings:
            rows = [[f"{event['step']:,}", describe_warning(event)] for event in history.warnings[:MOST_SAMPLES]]
            blocks.append(_table(["step", "what happened"], rows, words=2))
    about = (
        "The training loss is the mean of the steps between two points; its band reaches from the least to the "
        "greatest. Norms of gradients are those before clipping; an update is the norm of a step's change of the "
        "weights, divided by the norm of the weights; both are measured every 50 steps and before evaluations."
    )
    return Section("Curves", about, blocks)


def history_charts(history: History, unit: str, prefix: str = "") -> list[Chart]:
    """Return the charts of a run that was trained step by step."""
    steps, mean, least, greatest = thin(history.steps, history.training_nats, CURVE_POINTS)
    losses = [Curve("training", steps, mean, least, greatest)]
    if history.evaluations:
        evaluated = [[event["step"], event["nats_per_token"]] for event in history.evaluations]
        x, y = np.array(evaluated, np.float64).T
        losses.append(Curve("validation", x, y))
    at, rate, *_ = thin(history.steps, history.learning_rates, CURVE_POINTS)
    charts = [
        Chart(f"{prefix}Loss", "step", unit, losses),
        Chart(f"{prefix}Learning rate", "step", "learning rate", [Curve("learning rate", at, rate)]),
    ]
    layers = list(dict.fromkeys(map(layer_of, history.groups)))
    for kind, label in (("gradient", "norm of the gradient"), ("update", "update / weights")):
        curves = [
            Curve(
                group,
                *history.norms_of(kind, group),
                dashed=group.endswith("hidden-hidden"),
                color=layers.index(layer_of(group)),
            )
            for group in history.groups
        ]
        if curves:
            charts.append(Chart(f"{prefix}{label[0].upper()}{label[1:]}, by layer", "step", label, curves, log_y=True))
    return charts


def layer_of(group: str) -> str:
    """Return the layer of a group of parameters: `layers.0.hidden-hidden` -> `layers.0`."""
    return group.removesuffix(".hidden-hidden").removesuffix(".input-hidden")


def describe_warning(event: Mapping[str, Any]) -> str:
    """Say in words what went wrong at a step."""
    match event["event"]:
        case "vanishing_gradient":
            return (
                f"vanishing gradient: the norm of {event['group']} is {event['gradient']:.3g}, that of the head "
                f"{event['head_gradient']:.3g}"
            )
        case "exploding_gradient":
            return f"exploding gradient: its norm is {event['grad_norm']:,.0f}, largest in {event['group']}"
        case "overfitting":
            return (
                f"overfitting: the validation loss is {event['nats_per_token']:.3f}, and was "
                f"{event['best_nats_per_token']:.3f} at step {event['best_step']:,}"
            )
        case "skipped":
            return "the step was skipped: its loss or gradient was NaN or infinite"
        case _:
            return f"the checkpoint was not saved: {event.get('reason')}"


def samples_section(histories: Mapping[str, History], *, raw: bool = False) -> Section:
    """Show the samples that were drawn during training, all with the same random numbers; of `raw` text, bytes."""
    texts, drawn = [], 0
    for name, history in histories.items():
        losses = {event["step"]: event["nats_per_token"] for event in (*history.evaluations, *history.mixed)}
        drawn += len(history.samples)
        kept = np.linspace(0, len(history.samples) - 1, min(MOST_SAMPLES, len(history.samples))).round().astype(int)
        for sample in (history.samples[number] for number in kept.tolist()):
            loss = losses.get(sample["step"])
            title = (
                f"{name or 'mixture'}, step {sample['step']:,}" if len(histories) > 1 else f"step {sample['step']:,}"
            )
            note = "" if loss is None else f"validation loss {loss:.3f}"
            texts.append({"title": title, "note": note, "text": _printable(sample["text"], raw=raw)})
    some = f" Here are {len(texts)} of {drawn}." if len(texts) < drawn else ""
    about = f"Samples that were drawn at the evaluations, from the same random numbers each time.{some}"
    return Section("Samples through time", about, [{"kind": "texts", "texts": texts}])


def _printable(text: str, *, raw: bool) -> str:
    """Return text whose control characters, and of raw text all bytes but ASCII, are escaped."""
    return "".join(
        char if char == "\n" or (char.isprintable() and not (raw and char > "~")) else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )


def labels_section(found: LabelReport | TagReport) -> Section:
    """Show how many labels or tags are right, and which are confused."""
    counts = found.counts if isinstance(found, LabelReport) else found.spans or found.tags
    kind = "label" if isinstance(found, LabelReport) else "tag" if found.spans is None else "span"
    figures = [
        _figure("accuracy", found.accuracy, "{:.2%}"),
        _figure("macro-F1", found.macro_f1, "{:.4f}"),
    ]
    if isinstance(found, LabelReport):
        figures.append(_figure(f"always {found.majority}", found.majority_share, "{:.2%}"))
    rows = [
        [name, f"{one.reference:,}", f"{one.output:,}", f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}"]
        for name, one in counts.items()
    ]
    blocks: list[Block] = [
        {"kind": "figures", "figures": figures},
        _table([kind, "true", "predicted", "precision", "recall", "F1"], rows),
    ]
    if isinstance(found, LabelReport) and found.confusion is not None:
        confused = zip(counts, found.confusion, strict=True)
        lines = [[label, *(f"{count:,}" for count in row)] for label, row in confused]
        blocks.append(_table(["true / predicted", *counts], lines))
    return Section("Labels of the withheld part", "Predictions compared with the labels that the text has.", blocks)


def first_characters(documents: LoadedDocuments, most: int) -> LoadedDocuments:
    """Return the documents up to `most` characters; one that is cut has no end."""
    texts, sizes, ends, left = [], [], [], most
    for text, size, end in zip(documents, documents.end_sizes, documents.ends, strict=True):
        if left <= 0:
            break
        whole = len(text) <= left
        texts.append(text[:left])
        sizes.append(size if whole else 0)
        ends.append(end and whole)
        left -= len(text)
    return LoadedDocuments.of(texts, sizes, ends)


def surprisal_section(found: Surprisal, characters: int) -> Section:
    """Show the strangest lines of a text, and its beginning colored by the bits of each token.

    Args:
        found: of the text or of its beginning, with tokens.
        characters: of the whole text, to name what was left out.
    """
    lines, several = found.lines, len(found.texts) > 1
    rows = []
    for place in lines.strangest(HARDEST_LINES).tolist():
        number = f"{lines.document[place] + 1:,}: {lines.line[place]:,}" if several else f"{lines.line[place]:,}"
        bits = lines.nats[place] / math.log(2)
        line = _cut(found.text_of(lines, place).rstrip("\r\n"))
        rows.append([number, line, f"{lines.bits_per_byte[place]:.2f}", f"{bits:.1f}"])
    scored = sum(map(len, found.texts))
    part = f"the first {scored:,} of its {characters:,} characters" if scored < characters else "all of it"
    about = (
        f"What the withheld part costs, {part}: its strangest lines, ranked by nats divided by the root of the bytes, "
        f"and its beginning with each token colored by its bits, the darkest from {DARKEST_BITS:g} bits on. Point at a "
        "token to see what was expected."
    )
    if several:
        about += " Line 2: 7 is line 7 of document 2."
    table = _table(["line", "text", "bits per byte", "bits"], rows, words=2)
    return Section("Surprisal", about, [table, _colored(found)])


def _colored(found: Surprisal) -> Block:
    """Return the first tokens of a text with their bits, and the most probable tokens in the place of each."""
    tokens: list[str] = []
    bits: list[float] = []
    expected: list[str] = []
    for document in found.tokens or ():
        tokens += document.scores.tokens
        bits += (document.nats / math.log(2)).round(3).tolist()
        for top, shares in zip(document.top[:, :EXPECTED].tolist(), document.top_probabilities.tolist(), strict=True):
            named = zip(map(found.tokens.name, top), shares, strict=False)  # type: ignore[union-attr]
            expected.append(", ".join(f"{show_invisible(name)} {share:.0%}" for name, share in named))
        if len(tokens) >= COLORED_TOKENS:
            break
    shown = slice(COLORED_TOKENS)
    return {"kind": "colored", "tokens": tokens[shown], "bits": bits[shown], "expected": expected[shown],
            "darkest": DARKEST_BITS}  # fmt: skip


def heaviest_member(run: TextRun, mixture: MixtureRecord | None) -> str | None:
    """Return the member of a mixture with the largest weight of those that gradients trained; None without any."""
    neural = [name for name, part in run.members.items() if FAMILIES[part.config.model.cell].neural]
    if mixture is None or not neural:
        return None
    return max(neural, key=lambda name: mixture.members[name].weight)


def _units(part: TextRun, documents: LoadedDocuments, progress: Callable[[int, int], None]) -> Section:
    """Find the units of a neural run."""
    trace = trace_units(part, [text for text in documents if text], progress=progress)
    return units_section(trace, find_units(trace), part.config.model.name)


def units_section(trace: UnitTrace, found: FoundUnits, name: str) -> Section:
    """Show the units that track probes best, and the beginning of the text colored by the best of them."""
    best = sorted(found.best(), key=lambda one: -abs(one.held_out))
    rows = [[one.probe, one.unit, f"{one.held_out:.2f}", f"{one.fitted:.2f}"] for one in best]
    about = (
        f"Of {found.tried:,} units of {name}, those whose value correlates most with what the text is doing at each "
        f"token. They were chosen on the first {found.half:,} tokens and measured on the other "
        f"{found.total - found.half:,}."
    )
    blocks: list[Block] = [_table(["probe", "unit", "held-out correlation", "where chosen"], rows, words=2)]
    if best:
        values = trace.unit(best[0].unit)
        largest = float(abs(values).max()) or 1.0
        blocks.append(
            {
                "kind": "unit",
                "title": f"{best[0].unit}, which tracks {best[0].probe}",
                "tokens": trace.tokens[:COLORED_TOKENS],
                "values": [round(float(value), 4) for value in values[:COLORED_TOKENS]],
                "largest": round(largest, 4),
            }
        )
    return Section("Units", about, blocks)


def _gradients(part: TextRun, documents: LoadedDocuments, progress: Callable[[int, int], None]) -> Gradients:
    """Measure the gradients of a neural run, as far back as the documents and its positions allow."""
    limits = [max((len(part.tokenizer.encode(text)) for text in documents), default=0)]
    if part.model.max_positions is not None:
        limits.append(part.model.max_positions)
    distance = max(1, min(DISTANCE, *(limit - 2 for limit in limits)))
    of: Target = "state" if isinstance(part.config.model, RecurrentConfig) else "input"
    return measure_gradients(part, documents, of=of, distance=distance, positions=POSITIONS, progress=progress)


def horizon_section(found: Gradients) -> Section:
    """Show how far back the gradient of a loss reaches, and where a thousandth of it is left."""
    chart = gradients_chart([(found.cell, found)])
    rows = [
        [
            describe_source(found, norms),
            f"more than {found.distance:,}" if norms.horizon is None else f"{norms.horizon:,}",
            "–" if norms.decay is None else f"{norms.decay:.3g}",
        ]
        for norms in found.norms
    ]
    about = (
        f"The norm of the gradient of one loss with respect to what {found.cell} held k tokens before: the geometric "
        f"mean over {found.positions} places of the withheld part. The horizon is the first k at which a thousandth is "
        "left of the norm at k = 0; the factor is by what the norm changes with each token."
    )
    table = _table(["gradient with respect to", "horizon", "factor per token"], rows)
    return Section("Gradient horizon", about, [{"kind": "charts", "charts": [chart_data(chart)]}, table])


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"

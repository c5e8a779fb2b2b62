"""The sections of a report that look inside a model: labels, surprisal, calibration, context, units, gradients."""

from __future__ import annotations

import math
from typing import cast

from seqgen.evaluation.calibration import Calibration
from seqgen.evaluation.surprisal.measure import Surprisal
from seqgen.evaluation.tasks.labels import LabelReport
from seqgen.evaluation.tasks.tags import TagReport
from seqgen.inspection.context import ContextLosses, common_unit
from seqgen.inspection.gradients import Gradients
from seqgen.inspection.units import FoundUnits, UnitTrace, color_scale
from seqgen.pages.chart import chart_data
from seqgen.pages.charts.calibration import reliability_diagram
from seqgen.pages.charts.context import context_charts
from seqgen.pages.charts.gradients import describe_source, gradients_chart
from seqgen.pages.report.blocks import Block, Section, cut_line, figure, table_block
from seqgen.pages.visible import show_invisible
from seqgen.utils.text import plural

COLORED_TOKENS = 1_500
"""Tokens of the colored stretch."""
STRANGEST_LINES = 20
DARKEST_BITS = 10.0
"""Bits at which a token has the darkest color; in a vocabulary of 1,000, pure chance costs as much."""
EXPECTED = 3
"""How many of the most probable tokens are named at a token."""


def labels_section(found: LabelReport | TagReport) -> Section:
    """Show how many labels or tags are right, and which are confused."""
    counts = found.counts if isinstance(found, LabelReport) else found.spans or found.tags
    kind = "label" if isinstance(found, LabelReport) else "tag" if found.spans is None else "span"
    figures = [
        figure("accuracy", found.accuracy, "{:.2%}"),
        figure("macro-F1", found.macro_f1, "{:.4f}"),
    ]
    if isinstance(found, LabelReport):
        figures.append(figure(f"always {found.majority}", found.majority_share, "{:.2%}"))
    rows = [
        [name, f"{one.reference:,}", f"{one.output:,}", f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}"]
        for name, one in counts.items()
    ]
    blocks: list[Block] = [
        {"kind": "figures", "figures": figures},
        table_block([kind, "true", "predicted", "precision", "recall", "F1"], rows),
    ]
    if isinstance(found, LabelReport) and found.confusion is not None:
        confused = zip(counts, found.confusion, strict=True)
        lines = [[label, *(f"{count:,}" for count in row)] for label, row in confused]
        blocks.append(table_block(["true / predicted", *counts], lines))
    return Section("Labels of the validation part", "Predictions compared with the labels that the text has.", blocks)


def surprisal_section(found: Surprisal, characters: int) -> Section:
    """Show the strangest lines of a text, and its beginning colored by the bits of each token.

    Args:
        found: of the text or of its beginning, with tokens.
        characters: of the whole text, to name what was left out.
    """
    lines, several = found.lines, len(found.texts) > 1
    rows = []
    for place in lines.strangest(STRANGEST_LINES).tolist():
        number = f"{lines.document[place] + 1:,}: {lines.line[place]:,}" if several else f"{lines.line[place]:,}"
        bits = lines.nats[place] / math.log(2)
        line = cut_line(found.text_of(lines, place).rstrip("\r\n"))
        strangeness = f"{lines.strangeness[place]:.2f}"
        rows.append([number, line, strangeness, f"{lines.bits_per_byte[place]:.2f}", f"{bits:.1f}"])
    scored = sum(map(len, found.texts))
    part = f"the first {scored:,} of its {plural(characters, 'character')}" if scored < characters else "all of it"
    about = (
        f"What the validation part costs, {part}: its strangest lines, ranked by strangeness, nats divided by the "
        f"root of the bytes, and its beginning with each token colored by its bits, the darkest from {DARKEST_BITS:g} "
        "bits on. "
        "Point at a token, tap it, or move with the arrow keys, to see what was expected."
    )
    if several:
        about += " Line 2: 7 is line 7 of document 2."
    table = table_block(["line", "text", "strangeness", "bits per byte", "bits"], rows, words=2)
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


def calibration_section(found: Surprisal, name: str) -> Section:
    """Show how sure a model is of the next token against how often it is right.

    Args:
        found: of the text, with calibration.
        name: of the run.
    """
    calibration = cast("Calibration", found.calibration)
    figures = [
        figure("calibration error", calibration.error, "{:.4f}"),
        figure("mean confidence", calibration.confidence, "{:.4f}"),
        figure("accuracy", calibration.accuracy, "{:.4f}"),
    ]
    about = (
        "How often the most probable token came, against the probability that the model gave it: below the dashed "
        "line the model is too sure, above it not sure enough. The calibration error is the mean distance to the line, "
        "weighted by tokens."
    )
    chart = chart_data(reliability_diagram({name: calibration}))
    blocks: list[Block] = [{"kind": "figures", "figures": figures}, {"kind": "charts", "charts": [chart]}]
    return Section("Calibration", about, blocks)


def context_section(found: ContextLosses) -> Section:
    """Show how far back a model looks: its loss by the length of the context, and by what is disturbed in it."""
    unit = common_unit([found])
    about = (
        f"What {plural(len(found.tokens), 'place')} near the beginning of the validation part cost when the model sees "
        "only the last n tokens before them, and what is added when the tokens more than k back are left out, "
        "shuffled, or replaced by others of the text."
    )
    figures = [
        {"name": name, "value": value, "shown": plural(value, "token") if value else f"more than {tried[-1]:,}"}
        for name, value, tried in (
            ("loss within 1% of the best from", found.horizon, found.lengths),
            ("order adds less than 1% beyond", found.order_horizon, found.distances),
            ("other tokens add less than 1% beyond", found.replacement_horizon, found.distances),
        )
        if tried
    ]
    charts = [chart_data(chart) for chart in context_charts([found], unit)]
    blocks: list[Block] = [{"kind": "figures", "figures": figures}, {"kind": "charts", "charts": charts}]
    return Section("Context", about, blocks)


def units_section(trace: UnitTrace, found: FoundUnits, name: str, limit: int | None = None) -> Section:
    """Show the units that track probes best, and the beginning of the text colored by the best of them.

    Args:
        trace: of the text.
        found: the units of the trace.
        name: of the model.
        limit: how many tokens the model reads at once; None if that is not limited.
    """
    best = sorted(found.best(), key=lambda one: -abs(one.fitted))
    rows = [[one.probe, one.unit, f"{one.fitted:+.2f}", f"{one.held_out:+.2f}"] for one in best]
    about = (
        f"Of {found.tried:,} units of {name}, those whose value correlates most with what the text is doing at each "
        f"token. They were chosen on the first {found.half:,} tokens and measured on the other "
        f"{found.total - found.half:,}, which are held out."
    )
    if limit is not None:
        about += f" The model reads at most {limit:,} tokens at once, so longer documents were cut into parts."
    blocks: list[Block] = [table_block(["probe", "unit", "chosen on", "held out"], rows, words=2)]
    if best:
        values = trace.unit(best[0].unit)
        blocks.append(
            {
                "kind": "unit",
                "title": f"{best[0].unit}, which tracks {best[0].probe}",
                "tokens": trace.tokens[:COLORED_TOKENS],
                "values": [round(float(value), 4) for value in values[:COLORED_TOKENS]],
                "strong": round(color_scale(values), 4),
            }
        )
    return Section("Units", about, blocks)


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
        f"mean over {plural(found.positions, 'place')} of the validation part. The horizon is the first k at which a "
        "thousandth is left of the norm at k = 0; the factor is by what the norm changes with each token."
    )
    table = table_block(["gradient with respect to", "horizon", "factor per token"], rows)
    return Section("Gradient horizon", about, [{"kind": "charts", "charts": [chart_data(chart)]}, table])

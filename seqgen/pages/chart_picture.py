"""Write charts as a picture, PNG or SVG, by the optional matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen.pages.chart import Chart, DrawnCurve
from seqgen.pages.picture import check_picture, require_matplotlib, save_picture

WIDTH, HEIGHT = 7.0, 4.0
"""Inches of a chart."""
LEGEND_LINE = 0.2
"""Inches of a line of the legend, which is below the chart."""
LINE_CHARACTERS = 80
"""Characters that fit into a line of the legend."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#b0558a", "#b87a00", "#3d9bd1", "#333333")
"""Okabe and Ito's colors, which the color-blind can tell apart; the light ones are darker here, to be seen on white."""
MARKERS = ("o", "s", "^", "D", "v", "X", "P")
MARKS = 8
"""Markers on a curve, about; they tell curves apart without color."""


def write_picture(charts: Sequence[Chart], path: Path) -> None:
    """Write charts in a column as PNG or SVG. The same charts are always the same SVG.

    Raises:
        ConfigError: the name does not end in .png or .svg, or matplotlib is not installed.
        SaveError: the file could not be written.
    """
    check_picture(path)
    figures = require_matplotlib()
    heights = [HEIGHT + LEGEND_LINE * -(-len(chart.curves) // _legend_columns(chart)) for chart in charts]
    figure = figures.Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor="white")
    rows = figure.subplots(len(charts), squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, chart in zip(rows[:, 0], charts, strict=True):
        _draw(axes, chart)
    save_picture(figure, path)


def _draw(axes: Any, chart: Chart) -> None:
    axes.set_title(chart.title, fontsize=11, parse_math=False, wrap=True)
    axes.set_xlabel(chart.x_label, parse_math=False)
    axes.set_ylabel(chart.y_label, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for number, curve in enumerate(chart.drawn):
        _draw_curve(axes, curve, number / len(chart.curves))
    if chart.log_x:
        axes.set_xscale("log")
        _choose_ticks(axes.xaxis)
    if chart.log_y:
        axes.set_yscale("log")
        _choose_ticks(axes.yaxis)
    for name, x in chart.drawn_marks.items():
        axes.axvline(x, color="#666666", linewidth=0.8, linestyle=":")
        axes.text(
            x, 0.98, name, transform=axes.get_xaxis_transform(), rotation=90, rotation_mode="anchor", va="top",
            ha="right", fontsize=8, color="#555555", parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    if chart.curves:
        place = {"loc": "upper left", "bbox_to_anchor": (0, -0.16), "borderaxespad": 0, "frameon": False}
        for text in axes.legend(fontsize=9, ncols=_legend_columns(chart), **place).get_texts():
            text.set_parse_math(False)


def _legend_columns(chart: Chart) -> int:
    """Return how many columns the legend has below the chart."""
    longest = max((len(curve.name) for curve in chart.curves), default=0)
    return max(1, LINE_CHARACTERS // (longest + 8))


def _choose_ticks(axis: Any) -> None:
    """Put the ticks of a logarithmic axis at powers of ten, or at 1, 2 and 5 times them where it has few."""
    tickers = require_matplotlib("matplotlib.ticker")
    low, high = axis.get_view_interval()
    axis.set_major_locator(tickers.LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(tickers.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(tickers.NullFormatter())


def _draw_curve(axes: Any, curve: DrawnCurve, offset: float) -> None:
    """Draw a curve; its markers begin at a share `offset` of their distance, so that those of two curves differ."""
    color = COLORS[curve.color % len(COLORS)]
    every = 1 if curve.points else max(len(curve.x) // MARKS, 1)
    line = "none" if curve.points else "--" if curve.dashed else "-"
    axes.plot(
        curve.x, curve.y, linestyle=line, color=color, label=_label(curve.name), linewidth=1.6,
        marker=MARKERS[curve.marker % len(MARKERS)], markersize=3 if curve.points else 4.5,
        markevery=(int(offset * every), every), alpha=0.7 if curve.points else 1,
    )  # fmt: skip
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)


def _label(name: str) -> str:
    """Return a name as the legend shows it, in lines; matplotlib leaves out one that begins with an underscore."""
    lines = textwrap.fill(name, LINE_CHARACTERS, break_on_hyphens=False)
    return f"\u200b{lines}" if name.startswith("_") else lines

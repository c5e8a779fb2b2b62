"""Write charts as a picture, PNG or SVG, by the optional matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen.errors import ConfigError
from seqgen.pages.attention_png import require_matplotlib
from seqgen.pages.chart import Chart, DrawnCurve
from seqgen.utils.files import write_atomically

WIDTH, HEIGHT = 7.0, 4.0
"""Inches of a chart."""
DOTS_PER_INCH = 150
SUFFIXES = (".png", ".svg")
COLORS = ("#0072b2", "#d55e00", "#009e73", "#b0558a", "#b87a00", "#3d9bd1", "#333333")
"""Okabe and Ito's colors, which the color-blind can tell apart; the light ones are darker here, to be seen on white."""
MARKERS = ("o", "s", "^", "D", "v", "X", "P")
MARKS = 8
"""Markers on a curve, about; they tell curves apart without color."""


def check_picture(path: Path) -> None:
    """Refuse a picture that `write_picture` could not write, before the work for it.

    Raises:
        ConfigError: the name does not end in .png or .svg, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a picture is {' or '.join(SUFFIXES)}; change the ending of its name")
    require_matplotlib()


def write_picture(charts: Sequence[Chart], path: Path) -> None:
    """Write charts in a column as PNG or SVG. The same charts are always the same SVG.

    Raises:
        ConfigError: the name does not end in .png or .svg, or matplotlib is not installed.
        SaveError: the file could not be written.
    """
    check_picture(path)
    matplotlib, figures = require_matplotlib("matplotlib"), require_matplotlib()
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "seqgen"}):  # otherwise the ids in an SVG are random
        figure = figures.Figure(figsize=(WIDTH, HEIGHT * len(charts)), layout="constrained", facecolor="white")
        for axes, chart in zip(figure.subplots(len(charts), squeeze=False)[:, 0], charts, strict=True):
            _draw(axes, chart)
        kind = path.suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(content, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    write_atomically(path, content.getvalue())


def _draw(axes: Any, chart: Chart) -> None:
    axes.set_title(chart.title, fontsize=11, parse_math=False, wrap=True)
    axes.set_xlabel(chart.x_label, parse_math=False)
    axes.set_ylabel(chart.y_label, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y:
        axes.set_yscale("log")
    for number, curve in enumerate(chart.drawn):
        _draw_curve(axes, curve, number / max(len(chart.curves), 1))
    for name, x in chart.drawn_marks.items():
        axes.axvline(x, color="#666666", linewidth=0.8, linestyle=":")
        axes.text(
            x, 0.02, f" {name}", transform=axes.get_xaxis_transform(), rotation=90, rotation_mode="anchor",
            va="top", ha="left", fontsize=8, color="#555555", parse_math=False,
        )  # fmt: skip
    if chart.curves:
        for text in axes.legend(fontsize=9, framealpha=0.85).get_texts():
            text.set_parse_math(False)


def _draw_curve(axes: Any, curve: DrawnCurve, offset: float) -> None:
    """Draw a curve; its markers begin at a share `offset` of their distance, so that those of two curves differ."""
    color = COLORS[curve.color % len(COLORS)]
    every = max(len(curve.x) // MARKS, 1)
    axes.plot(
        curve.x, curve.y, "--" if curve.dashed else "-", color=color, label=_label(curve.name), linewidth=1.6,
        marker=MARKERS[curve.color % len(MARKERS)], markersize=4.5, markevery=(int(offset * every), every),
    )  # fmt: skip
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)


def _label(name: str) -> str:
    """Return a name that the legend shows; matplotlib leaves out one that begins with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name

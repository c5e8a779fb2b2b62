"""Draw curves in the terminal: a dot pattern of braille characters, or plain letters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.text import Text
from seqgen.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.pages.chart import Chart, DrawnCurve

WIDEST = 100
"""Columns of a chart in a wider terminal, or in a pipe."""
HEIGHT = 16
"""Lines of the plot."""
STYLES = ("blue", "red", "green", "magenta", "yellow", "cyan", "default")
SIGNS = "*o+x#@%"
"""The characters that draw curves without color, one for each curve."""
BRAILLE = 0x2800
"""The code of the braille character without dots."""
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character: 4 rows of 2 dots."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """The range of an axis, and its ticks."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Values, *, log: bool) -> Axis:
        """Return the axis that shows all finite `values`."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls(1.0, 10.0, log) if log else cls(0.0, 1.0, log)
        low, high = float(finite.min()), float(finite.max())
        if low == high:
            margin = abs(low) / 10 or 1.0
            low, high = (low / 2, high * 2) if log else (low - margin, high + margin)
        return cls(low, high, log)

    def place(self, values: Values) -> Values:
        """Return where values are: 0 at the low end, 1 at the high end."""
        low, high = (math.log10(end) if self.log else end for end in (self.low, self.high))
        placed: Values = ((np.log10(values) if self.log else values) - low) / (high - low)
        return placed

    def cell(self, value: float, cells: int) -> int:
        """Return which of `cells` in a row shows a value."""
        return round(float(self.place(np.array(value))) * (cells - 1))

    def ticks(self, count: int) -> list[float]:
        """Return about `count` round values in the range."""
        if self.log and (ticks := _log_ticks(self.low, self.high, count)):
            return ticks
        step = _round_step((self.high - self.low) / max(count, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        ticks = [number * step for number in range(first, last + 1)]
        return [tick for tick in ticks if tick > 0] if self.log else ticks


def print_chart(console: Console, chart: Chart) -> None:
    """Print a chart as wide as the terminal, with axes and a legend.

    Curves differ by color, and without color by the sign that draws them. An encoding other than UTF-8 gets ASCII.
    """
    for line in chart_lines(
        chart,
        min(console.width, WIDEST),
        colored=console.color_system is not None and not console.no_color,
        ascii_only=console.options.ascii_only,
    ):
        console.print(line, soft_wrap=True)


def chart_lines(chart: Chart, width: int, *, colored: bool, ascii_only: bool) -> list[Text]:
    """Return the lines of a chart that is `width` columns wide."""
    curves, marks = chart.drawn, chart.drawn_marks
    x = Axis.of(np.array([*(value for curve in curves for value in curve.x), *marks.values()]), log=chart.log_x)
    edges = [edge for curve in curves for edge in (curve.y, curve.low, curve.high) if edge is not None]
    y = Axis.of(np.concatenate([*edges, []]), log=chart.log_y)
    y_ticks = {HEIGHT - 1 - y.cell(tick, HEIGHT): _number(tick) for tick in y.ticks(HEIGHT // 3)}
    margin = max(map(len, y_ticks.values()), default=0) + 2
    columns = max(width - margin, 10)
    x_ticks = _spread({x.cell(tick, columns): _number(tick) for tick in x.ticks(columns // 8)}, columns)
    bar, corner, flat, tick_sign, mark_sign = "|+-+:" if ascii_only else "│└─┴┊"
    dotted = not ascii_only and (colored or len(curves) == 1)
    plot = Plot(x, y, columns, dotted=dotted)
    for curve in curves:
        plot.draw(curve)
    rows = plot.rows([x.cell(mark, columns) for mark in marks.values()], mark_sign)
    axis = "".join(tick_sign if at in x_ticks else flat for at in range(columns))
    lines = [
        Text(chart.title, "bold"),
        Text(chart.y_label, "dim"),
        *(Text(f"{y_ticks.get(number, ''):>{margin - 2}} {bar}") + row for number, row in enumerate(rows)),
        Text(" " * (margin - 1) + corner + axis),
        Text(" " * margin + _tick_labels(x_ticks, columns)),
        Text(" " * margin + f"{chart.x_label:^{columns}}", "dim"),
        *(Text(f"{plot.sample(curve)} ", _style(curve.color)) + Text(curve.name, "default") for curve in curves),
        *(Text(f" {mark_sign}  {name}: {_number(at)}") for name, at in marks.items()),
    ]
    for line in lines:
        line.rstrip()
    return [_spell(line, ascii_only=ascii_only) for line in lines]


class Plot:
    """The area between the axes: `HEIGHT` lines of characters, each the dots or the sign of the last curve there."""

    def __init__(self, x: Axis, y: Axis, columns: int, *, dotted: bool) -> None:
        self._x, self._y, self._dotted = x, y, dotted
        self._cell = DOTS.shape if dotted else (1, 1)
        self._bits = np.zeros((HEIGHT, columns), np.int64)
        self._curve: list[DrawnCurve] = []
        self._top = np.full((HEIGHT, columns), -1)  # the curve drawn last at each place

    def draw(self, curve: DrawnCurve) -> None:
        """Draw the edges of a curve's band, then its line."""
        self._curve.append(curve)
        for edge in (curve.low, curve.high):
            if edge is not None:
                self._draw_line(curve.x, edge, on=1, off=2)
        on, off = (1, 0) if not curve.dashed else (4, 3) if self._dotted else (1, 1)
        self._draw_line(curve.x, curve.y, on, off, joined=not curve.points)

    def _draw_line(self, x: Values, y: Values, on: int, off: int, *, joined: bool = True) -> None:
        """Draw a line through points with gaps: `on` dots are drawn, then `off` are left out, and so on.

        Not `joined`, only the points are drawn.
        """
        height, width = (size * dots for size, dots in zip(self._bits.shape, self._cell, strict=True))
        with np.errstate(invalid="ignore"):
            column, row = self._x.place(x) * (width - 1), (1 - self._y.place(y)) * (height - 1)
        drawn = 0
        for place in range(len(x)):
            before = place - 1 if joined and place and np.isfinite(row[place - 1]) else place
            if not np.isfinite(row[place]):
                continue
            distance = max(abs(row[place] - row[before]), abs(column[place] - column[before]))
            steps = max(math.ceil(distance), 1)
            share = np.arange(1, steps + 1) / steps
            kept = (drawn + np.arange(steps)) % (on + off) < on
            drawn += steps
            at_row, at_column = (
                np.rint(line[before] + share * (line[place] - line[before])).astype(int)[kept] for line in (row, column)
            )
            self._dot(at_row, at_column)

    def _dot(self, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> None:
        rows, columns = self._cell
        bits = DOTS[row % rows, column % columns]
        np.bitwise_or.at(self._bits, (row // rows, column // columns), bits)
        self._top[row // rows, column // columns] = len(self._curve) - 1

    def rows(self, marks: Iterable[int], mark_sign: str) -> list[Text]:
        """Return the lines, with vertical marks at columns where no curve is."""
        marked = set(marks)
        return [
            Text.assemble(
                *(
                    self._character(dots, curve, mark_sign if column in marked else " ")
                    for column, (dots, curve) in enumerate(zip(bits, tops, strict=True))
                )
            )
            for bits, tops in zip(self._bits.tolist(), self._top.tolist(), strict=True)
        ]

    def _character(self, bits: int, number: int, background: str) -> tuple[str, str]:
        if not bits:
            return background, "dim"
        curve = self._curve[number]
        return chr(BRAILLE + bits) if self._dotted else SIGNS[curve.marker % len(SIGNS)], _style(curve.color)

    def sample(self, curve: DrawnCurve) -> str:
        """Return three characters as the curve is drawn, for the legend."""
        sign = chr(BRAILLE + 0x12) if self._dotted else SIGNS[curve.marker % len(SIGNS)]
        return f"{sign} {sign}" if curve.dashed else sign * 3


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    """Return powers of ten, or with fewer than three 1, 2 and 5 times those; empty if fewer than two fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(math.ceil((last - first) / max(count, 1)), 1)
    for least, ticks in (
        (3, [10.0**power for power in range(first, last + 1, every)]),
        (2, [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]),
    ):
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) >= least:
            return inside
    return []


def _round_step(step: float) -> float:
    """Return the least of 1, 2, 5 and 10 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _number(value: float) -> str:
    """Return a number of an axis, as short as it is exact to six digits."""
    rounded = float(f"{value:.6g}")
    if rounded and not 1e-3 <= abs(rounded) < 1e6:
        mantissa, exponent = f"{rounded:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:g}"


def _spread(ticks: Mapping[int, str], columns: int) -> dict[int, str]:
    """Return the ticks whose labels have room: a blank at least between two."""
    kept: dict[int, str] = {}
    free = 0
    for at, label in ticks.items():
        start = _start(at, label, columns)
        if start >= free:
            kept[at] = label
            free = start + len(label) + 1
    return kept


def _start(at: int, label: str, columns: int) -> int:
    """Return the column where a label begins that is centered at a column, but stays inside."""
    return max(0, min(at - len(label) // 2, columns - len(label)))


def _tick_labels(ticks: Mapping[int, str], columns: int) -> str:
    line = ""
    for at, label in ticks.items():
        line = line.ljust(_start(at, label, columns)) + label
    return line


def _style(color: int) -> str:
    return STYLES[color % len(STYLES)]


def _spell(line: Text, *, ascii_only: bool) -> Text:
    """Return a line without control characters, and in ASCII if it has to be."""
    line.plain = printable(line.plain).replace("\n", " ")
    if ascii_only:
        line.plain = line.plain.encode("ascii", "backslashreplace").decode()
    return line

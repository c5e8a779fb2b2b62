"""Charts: named curves over one x axis, as data, and the page that draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.pages.page import make_page

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """A named line through points, with a band from `low` to `high` where these are given.

    A value that is not finite is a gap in the line.
    """

    name: str
    x: npt.ArrayLike
    """[N], in the order in which the line joins them."""
    y: npt.ArrayLike
    """[N]."""
    low: npt.ArrayLike | None = None
    """[N]; the lower edge of the band."""
    high: npt.ArrayLike | None = None
    dashed: bool = False
    points: bool = False
    """Whether only its points are drawn, without a line: a scatter plot."""
    color: int | None = None
    """The number of the color; by default the place among the curves. Curves may share a number."""

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"{self.name}: low and high are given together or not at all")
        shape = np.shape(self.x)
        for name in ("y", "low", "high"):
            values = getattr(self, name)
            if values is not None and (np.shape(values) != shape or len(shape) != 1):
                raise ValueError(f"{self.name}: {name} has the shape {np.shape(values)}, and x has {shape}")


@dataclass(frozen=True, eq=False)
class Chart:
    """Curves with their title, axes and marks."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False
    x_marks: Mapping[str, float] = field(default_factory=dict)
    """Named places on the x axis, drawn as vertical lines."""

    @property
    def drawn(self) -> list[DrawnCurve]:
        """The curves with what cannot be drawn taken out."""
        colors = [number if curve.color is None else curve.color for number, curve in enumerate(self.curves)]
        markers = _markers([(color, curve.dashed) for color, curve in zip(colors, self.curves, strict=True)])
        return [self._drawn(*one) for one in zip(self.curves, colors, markers, strict=True)]

    @property
    def drawn_marks(self) -> dict[str, float]:
        """The marks that the x axis can show."""
        return {name: float(x) for name, x in self.x_marks.items() if math.isfinite(x) and (x > 0 or not self.log_x)}

    def _drawn(self, curve: Curve, color: int, marker: int) -> DrawnCurve:
        x = _drawable(curve.x, log=self.log_x)
        kept = np.isfinite(x)

        def own(values: npt.ArrayLike) -> Values:
            return _drawable(values, log=self.log_y)[kept]

        return DrawnCurve(
            name=curve.name,
            x=x[kept],
            y=own(curve.y),
            low=None if curve.low is None else own(curve.low),
            high=None if curve.high is None else own(curve.high),
            dashed=curve.dashed,
            points=curve.points,
            color=color,
            marker=marker,
        )


@dataclass(frozen=True, eq=False)
class DrawnCurve:
    """A curve as it is drawn: each x is finite, and y, low and high are NaN where the line or band has a gap."""

    name: str
    x: Values
    y: Values
    low: Values | None
    high: Values | None
    dashed: bool
    points: bool
    color: int
    marker: int
    """The number of its marker, or of its sign in the terminal."""


def chart_data(chart: Chart) -> dict[str, Any]:
    """Return a chart as JSON for `drawChart` of templates/chart.js; a gap is None."""
    return {
        "title": chart.title,
        "xLabel": chart.x_label,
        "yLabel": chart.y_label,
        "logX": chart.log_x,
        "logY": chart.log_y,
        "marks": [{"name": name, "x": x} for name, x in chart.drawn_marks.items()],
        "curves": [
            {
                "name": curve.name,
                "x": curve.x.tolist(),
                "y": _with_gaps(curve.y),
                "low": None if curve.low is None else _with_gaps(curve.low),
                "high": None if curve.high is None else _with_gaps(curve.high),
                "dashed": curve.dashed,
                "points": curve.points,
                "color": curve.color,
                "marker": curve.marker,
            }
            for curve in chart.drawn
        ],
    }


def chart_page(charts: Sequence[Chart], title: str) -> str:
    """Return the HTML of a page with `charts`, one below another.

    Raises:
        SaveError: the charts are too large for one page.
    """
    if not charts:
        raise ValueError("charts: at least one is needed")
    return make_page("charts", title, {"charts": [chart_data(chart) for chart in charts]}, parts=("chart",))


def _markers(looks: Sequence[tuple[int, bool]]) -> list[int]:
    """Return the number of each curve's marker: that of its color, or a free one if it looks like a curve before it.

    Args:
        looks: the color of each curve, and whether it is dashed.
    """
    taken = {color for color, _ in looks}
    markers: list[int] = []
    for place, look in enumerate(looks):
        free = look[0] if look not in looks[:place] else next(one for one in count() if one not in taken)
        taken.add(free)
        markers.append(free)
    return markers


def _drawable(values: npt.ArrayLike, *, log: bool) -> Values:
    """Return values with NaN for what an axis cannot show: infinity, and on a log axis 0 and less."""
    array = np.array(values, np.float64)
    array[~np.isfinite(array) | (log & (array <= 0))] = np.nan
    return array


def _with_gaps(values: Values) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]

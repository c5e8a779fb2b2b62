from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from seqgen.cli.chart import HEIGHT, Axis, chart_lines, print_chart

from seqgen.pages.chart import Chart, Curve

X = np.arange(101)


def _chart(**settings) -> Chart:
    curves = [Curve("falling", X, 100 - X), Curve("rising", X, X, dashed=True)]
    return Chart(**{"title": "A title", "x_label": "step", "y_label": "loss", "curves": curves, **settings})


def _lines(chart: Chart, width: int = 60, *, colored: bool = False, ascii_only: bool = False) -> list[str]:
    return [line.plain for line in chart_lines(chart, width, colored=colored, ascii_only=ascii_only)]


def _plot(lines: list[str], bar: str = "│") -> list[str]:
    return [line.split(bar, 1)[1] for line in lines if bar in line][:HEIGHT]


def test_chart_lines_draws_each_curve_by_its_sign_without_color():
    title, label, *lines = _lines(_chart(), ascii_only=True)

    plot = _plot(lines, "|")
    assert (title, label) == ("A title", "loss")
    assert len(plot) == HEIGHT
    assert (plot[0][0], plot[0].rstrip()[-1]) == ("*", "o")
    assert (plot[-1].strip()[0], plot[-1].rstrip()[-1]) == ("o", "*")
    assert lines[-2:] == ["*** falling", "o o rising"]
    assert all(line.isascii() and len(line) <= 60 for line in lines)


def test_chart_lines_draws_members_of_one_color_by_signs_of_their_own():
    curves = [
        Curve("mixture", X, X, color=0),
        Curve("lstm", X, 0 * X + 20, dashed=True, color=0),
        Curve("ngram", X, 0 * X + 80, dashed=True, color=0),
    ]

    lines = _lines(_chart(curves=curves), ascii_only=True)

    assert lines[-3:] == ["*** mixture", "* * lstm", "o o ngram"]
    assert any(line.count("o") > 10 for line in _plot(lines, "|"))


def test_chart_lines_draws_braille_dots_in_color():
    chart = _chart(curves=[Curve("flat", [0, 1], [1, 1]), Curve("rising", [0, 1], [0, 1])])

    lines = chart_lines(chart, 60, colored=True, ascii_only=False)

    top = _plot([line.plain for line in lines])[0]
    assert set(top[:40]) == {"⠉"}
    assert lines[2].spans[0].style != lines[HEIGHT + 1].spans[0].style


def test_chart_lines_does_not_join_points():
    chart = _chart(curves=[Curve("units", [0, 0.5, 1], [0, 1, 0], points=True)])

    plot = _plot(_lines(chart, ascii_only=True), "|")

    assert sum(line.count("*") for line in plot) == 3
    assert (plot[0].count("*"), plot[-1].count("*")) == (1, 2)


def test_chart_lines_numbers_the_axes():
    lines = _lines(_chart())

    ticks = [line.split("│")[0].strip() for line in lines if "│" in line]
    assert [tick for tick in ticks if tick] == ["100", "80", "60", "40", "20", "0"]
    assert lines[2].startswith("100 │")
    assert lines[HEIGHT + 3].split() == ["0", "20", "40", "60", "80", "100"]
    assert lines[HEIGHT + 4].strip() == "step"


def test_chart_lines_draws_powers_as_a_straight_line_on_log_axes():
    chart = _chart(curves=[Curve("power", [1, 10, 100, 1000], [1, 1e2, 1e4, 1e6])], log_x=True, log_y=True)

    lines = _lines(chart, ascii_only=True)

    plot = _plot(lines, "|")
    middles = [np.mean([column for column, sign in enumerate(row) if sign == "*"]) for row in plot]
    np.testing.assert_allclose(middles, np.linspace(max(middles), min(middles), HEIGHT), atol=1.5)
    assert lines[HEIGHT + 3].split() == ["1", "10", "100", "1,000"]
    assert lines[2].split()[0] == "1e6"


def test_chart_lines_leaves_gaps_and_shows_marks():
    curve = Curve("gap", X, np.where((X > 30) & (X < 70), np.nan, 1.0))

    lines = _lines(_chart(curves=[curve], x_marks={"the middle": 50}), 100)

    (row,) = [row for row in _plot(lines) if "⠒" in row or "⠤" in row or "⠉" in row or "⣀" in row]
    middle = row[len(row) // 3 : len(row) // 3 * 2]
    assert middle.strip() == "┊"
    assert lines[-1] == " ┊  the middle: 50"


@pytest.mark.parametrize(
    "curves",
    [[], [Curve("none", [], [])], [Curve("nan", [1, 2], [np.nan, np.inf])], [Curve("one", [5], [0.0])]],
    ids=lambda curves: curves[0].name if curves else "empty",
)
@pytest.mark.parametrize("log", [False, True])
def test_chart_lines_draws_charts_with_little_or_no_data(curves, log):
    lines = _lines(_chart(curves=curves, log_x=log, log_y=log), 20, colored=True)

    assert len(_plot(lines)) == HEIGHT


def test_chart_lines_escapes_control_characters():
    (*_, legend) = _lines(_chart(title="a\nb", curves=[Curve("\x1b[31mred é", [0], [0])]), ascii_only=True)

    assert legend == r"*** \x1b[31mred \xe9"


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (0.12, 0.19, False, [0.12, 0.14, 0.16, 0.18]),
        (-3, 3, False, [-2, 0, 2]),
        (1, 1e10, True, [1, 1e3, 1e6, 1e9]),
        (2, 30, True, [2, 5, 10, 20]),
        (2.1, 2.9, True, [2.2, 2.4, 2.6, 2.8]),
    ],
)
def test_axis_ticks_are_round_values_in_the_range(low, high, log, ticks):
    assert Axis(low, high, log).ticks(4 if log else 5) == pytest.approx(ticks)


@pytest.mark.parametrize(("encoding", "dots"), [("utf-8", True), ("latin-1", False)])
def test_print_chart_draws_ascii_where_the_encoding_is_not_utf_8(encoding, dots):
    content = io.BytesIO()
    file = io.TextIOWrapper(content, encoding=encoding)
    console = Console(file=file, width=10_000, force_terminal=True, color_system="standard")

    print_chart(console, _chart(curves=[Curve("é", X, X)]))

    file.flush()
    text = content.getvalue().decode(encoding)
    assert any(0x2800 < ord(char) < 0x2900 for char in text) is dots
    assert text.isascii() is not dots

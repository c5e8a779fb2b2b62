from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest

from seqgen.errors import SaveError
from seqgen.pages.chart import Chart, Curve, chart_data, chart_page
from seqgen.pages.page import LARGEST_DATA

STEPS = np.arange(1, 41)
LONG = "runs/" + "shakespeare-" * 8 + "gru"


def _curves() -> list[Curve]:
    loss = 3 / np.sqrt(STEPS)
    return [
        Curve("lstm", STEPS, loss, loss * 0.9, loss * 1.1),
        Curve("gru, untrained", STEPS, loss * 1.5, dashed=True),
        Curve("</script>", [5, 20, 35], [2, math.nan, 1]),
        Curve(LONG, STEPS, np.where(STEPS == 3, np.inf, loss + 1)),
        *(Curve(f"run {number}", STEPS, loss + number / 5) for number in range(5)),
    ]


CHARTS = [
    Chart("Validation loss", "step", "bits per byte", _curves(), x_marks={"lr decays": 20, "end of warm-up": 22}),
    Chart("In logarithms", "step", "gradient norm", _curves()[:2], log_x=True, log_y=True, x_marks={"last": 40}),
    Chart(
        "With long names",
        "k",
        "nats",
        _curves()[:2],
        x_marks={"runs/novel-lstm: shuffling adds less than 1% of the loss": 30, "m" * 90: 21, "of the gru " * 4: 38},
    ),
    Chart("Of one point " * 10, "step", "bits per byte", [Curve("one", [3], [0.5])]),
    Chart("Of nothing", "step", "bits per byte", []),
]


def test_chart_data_holds_the_values_of_the_curves():
    curves = [Curve("a", [1, 2], [0.1, 1 / 3], [0, 0], [1, 2]), Curve("b", [3], [4], dashed=True)]

    data = chart_data(Chart("title", "x", "y", curves, log_y=True))

    assert data.pop("curves") == [
        {"name": "a", "x": [1, 2], "y": [0.1, 1 / 3], "low": [None] * 2, "high": [1, 2], "dashed": False,
         "points": False, "color": 0, "marker": 0},
        {"name": "b", "x": [3], "y": [4], "low": None, "high": None, "dashed": True,
         "points": False, "color": 1, "marker": 1},
    ]  # fmt: skip
    assert data == {"title": "title", "xLabel": "x", "yLabel": "y", "logX": False, "logY": True, "marks": []}


def test_curves_of_one_color_that_are_drawn_alike_have_markers_of_their_own():
    looks = [(0, False), (0, True), (0, True), (1, False), (1, True), (0, True)]
    curves = [Curve(str(number), [1], [1], dashed=dashed, color=color) for number, (color, dashed) in enumerate(looks)]

    drawn = chart_data(Chart("title", "x", "y", curves))["curves"]

    assert [one["color"] for one in drawn] == [color for color, _ in looks]
    assert [one["marker"] for one in drawn] == [0, 0, 2, 1, 1, 3]


def test_chart_data_writes_nan_and_infinity_as_gaps_and_drops_points_without_a_place():
    curve = Curve("a", [1, math.nan, 3, math.inf, 5], [math.nan, 2, math.inf, 4, 5])

    (data,) = chart_data(Chart("title", "x", "y", [curve], x_marks={"nowhere": math.nan}))["curves"]

    assert (data["x"], data["y"]) == ([1, 3, 5], [None, None, 5])
    assert json.dumps(data, allow_nan=False)


def test_chart_data_drops_what_a_log_axis_cannot_show():
    curve = Curve("a", [-1, 0, 1, 2], [1, 1, 0, 1e-9], [1, 1, -1, 0], [1, 1, 1, 1])
    chart = Chart("title", "x", "y", [curve], log_x=True, log_y=True, x_marks={"zero": 0, "two": 2})

    data = chart_data(chart)

    (curve,) = data["curves"]
    assert (curve["x"], curve["y"], curve["low"], curve["high"]) == ([1, 2], [None, 1e-9], [None, None], [1, 1])
    assert data["marks"] == [{"name": "two", "x": 2}]


@pytest.mark.parametrize(
    "values",
    [{"y": [1]}, {"y": [[1, 2]]}, {"low": [1, 2]}, {"low": [1, 2], "high": [1]}, {"x": 1, "y": 1}],
    ids=str,
)
def test_curve_refuses_values_of_different_lengths(values):
    with pytest.raises(ValueError, match="the name"):
        Curve("the name", **{"x": [1, 2], "y": [1, 2], **values})


def test_chart_page_holds_the_data_of_each_chart():
    page = chart_page(CHARTS, "Charts")

    content = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert content["charts"] == [chart_data(chart) for chart in CHARTS]


def test_chart_page_refuses_no_chart_and_too_many_points():
    curve = Curve("a", np.arange(LARGEST_DATA // 10), np.zeros(LARGEST_DATA // 10))

    with pytest.raises(ValueError, match="charts"):
        chart_page([], "title")
    with pytest.raises(SaveError, match="title"):
        chart_page([Chart("chart", "x", "y", [curve])], "title")


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1200])
def test_chart_page_fits_the_window_without_overlaps(open_page, width, color_scheme):
    page = open_page(chart_page(CHARTS, "Charts of " + LONG), width, color_scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("svg.plot")].map((plot) => [plot, ...plot.querySelectorAll("text")]
        .map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right, box.top, box.bottom]))"""
    )
    for frame, *labels in boxes:
        for left, right, top, bottom in labels:
            assert frame[0] <= left < right <= frame[1] + 1
            assert frame[2] <= top < bottom <= frame[3] + 1
        for one, another in itertools.combinations(labels, 2):
            apart = one[1] <= another[0] or another[1] <= one[0] or one[3] <= another[2] + 2 or another[3] <= one[2] + 2
            assert apart, (one, another)


@pytest.mark.slow
def test_chart_page_moves_the_crosshair_by_keyboard_and_pointer(open_page):
    page = open_page(chart_page(CHARTS[:1], "title"))
    plot, lstm = page.locator("svg.plot"), page.locator(".chart li").first

    def shown() -> float:
        return float(lstm.locator(".value").inner_text())

    assert page.locator(".chart .value").all_inner_texts() == [""] * len(CHARTS[0].curves)
    assert page.locator("svg.plot .crosshair").count() == 0
    plot.focus()
    page.keyboard.press("End")
    assert shown() == pytest.approx(3 / math.sqrt(40), abs=1e-3)
    page.keyboard.press("Home")
    assert shown() == 3
    page.keyboard.press("ArrowRight")
    assert shown() == pytest.approx(3 / math.sqrt(2), abs=1e-3)
    assert "step 2" in page.locator("[role=status]").inner_text()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    assert "step 40" in page.locator(".reading").inner_text()


@pytest.mark.slow
def test_chart_page_hides_a_curve_and_lists_the_numbers(open_page):
    page = open_page(chart_page(CHARTS[:1], "title"))

    assert page.locator("svg.plot path.line").count() == 9
    page.locator(".chart button").first.click()
    assert page.locator("svg.plot path.line").count() == 8
    assert page.locator("svg.plot path.band").count() == 0
    page.locator(".chart summary").click()
    cells = page.locator(".chart tbody tr").nth(3).locator("td").all_inner_texts()
    assert cells[:4] == ["4", "1.500", "1.350", "1.650"]
    assert page.locator(".chart thead th").count() == 12

from __future__ import annotations

import numpy as np
import pytest

from seqgen.inspection.gates import Gate, Gates
from seqgen.pages.chart import chart_page
from seqgen.pages.charts.gates import half_life_chart, saturation_charts


def _gates(layers: int = 2, size: int = 5) -> Gates:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], (2, layers, size))
    made = {
        name: Gate(0.5 + shares[number, ..., 0] / 2, shares[number, ..., 1], shares[number, ..., 2])
        for number, name in enumerate(("reset", "update"))
    }
    half_life = rng.lognormal(1, 2, (layers, size))
    return Gates("gru", 1000, made, "update", half_life, np.zeros((layers, size)))


def test_half_life_chart_rises_to_1_at_the_longest_half_life():
    gates = _gates()

    chart = half_life_chart(gates)

    assert chart.log_x
    for curve, half_life in zip(chart.curves, gates.half_life, strict=True):
        assert curve.x.tolist() == sorted(half_life)
        assert curve.y.tolist() == [0.2, 0.4, 0.6, 0.8, 1]


def test_saturation_charts_have_a_point_for_each_unit():
    gates = _gates()

    reset, update = saturation_charts(gates)

    assert ("reset" in reset.title, "update" in update.title) == (True, True)
    for chart, gate in ((reset, gates.gates["reset"]), (update, gates.gates["update"])):
        assert all(curve.points for curve in chart.curves)
        np.testing.assert_array_equal([curve.x for curve in chart.curves], gate.right)
        np.testing.assert_array_equal([curve.y for curve in chart.curves], gate.left)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "color_scheme"), [(400, "dark"), (1200, "light")])
def test_page_of_gates_draws_a_point_for_each_unit(open_page, width, color_scheme):
    gates = _gates(size=256)

    html = chart_page([half_life_chart(gates), *saturation_charts(gates)], "Gates")

    page = open_page(html, width, color_scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert len(html) < 2_000_000
    for number in (1, 2):
        plot = page.locator(".plot").nth(number)
        assert plot.locator(".points .marker").count() == 2 * 256
        assert plot.locator("path.line").count() == 0

from __future__ import annotations

import numpy as np
import pytest

from seqgen.inspection.gradients import GradientNorms, Gradients
from seqgen.pages.chart import chart_page
from seqgen.pages.charts.gradients import describe_source, describe_weights, gradients_chart

K = np.arange(31)


def gradients(*norms, cell="lstm", trained=True, clip_norm=5.0, **gate_bias):
    return Gradients(
        cell=cell,
        trained=trained,
        gate_bias=gate_bias,
        clip_norm=clip_norm,
        positions=3,
        distance=30,
        norms=tuple(
            GradientNorms(of, np.stack([scale * factor**K for scale in (1.0, 2.0, 4.0)])) for of, factor in norms
        ),
    )


def test_source_names_the_layer_only_where_there_are_several():
    one = gradients(("layers.0.hidden", 0.5), ("layers.0.hidden+cell", 0.5))
    two = gradients(("layers.0.cell", 0.5), ("layers.1.cell", 0.5))
    of_input = gradients(("input", 0.5))

    assert [describe_source(one, norms) for norms in one.norms] == ["h", "h and c"]
    assert [describe_source(two, norms) for norms in two.norms] == ["layer 0 c", "layer 1 c"]
    assert [describe_source(of_input, norms) for norms in of_input.norms] == ["input"]


def test_untrained_weights_are_described_with_the_bias_of_their_gate():
    assert describe_weights(gradients(forget=1.0)) == "trained"
    assert describe_weights(gradients(forget=1.0, trained=False)) == "untrained, forget bias 1"
    assert describe_weights(gradients(trained=False)) == "untrained"


def test_chart_has_a_curve_for_each_state_dashed_and_in_the_same_color_if_untrained():
    states = ("layers.0.hidden", 0.5), ("layers.0.cell", 0.9)

    chart = gradients_chart(
        [("a", gradients(*states)), ("a", gradients(*states, trained=False, forget=1.0)), ("b", gradients(states[0]))]
    )

    assert [(curve.name, curve.dashed, curve.color) for curve in chart.curves] == [
        ("a h", False, 0),
        ("a c", False, 1),
        ("a h, untrained, forget bias 1", True, 0),
        ("a c, untrained, forget bias 1", True, 1),
        ("b h", False, 2),
    ]
    np.testing.assert_allclose(chart.curves[1].y, 2 * 0.9**K)
    assert chart.log_y
    assert not chart.x_marks
    assert all(curve.low is None for curve in chart.curves)


def test_chart_of_few_curves_has_the_spread_and_marks_the_horizons():
    chart = gradients_chart([("a", gradients(("layers.0.hidden", 0.5), ("layers.0.cell", 0.99)))])

    assert list(chart.x_marks.values()) == [10.0]
    assert all(name.endswith("a h") for name in chart.x_marks)
    hidden = chart.curves[0]
    np.testing.assert_allclose(hidden.low, np.quantile([1, 2, 4], 0.1) * 0.5**K)
    np.testing.assert_allclose(hidden.high, np.quantile([1, 2, 4], 0.9) * 0.5**K)


def test_chart_shows_the_clip_norm_where_a_norm_exceeds_it():
    vanishing, exploding = gradients(("layers.0.hidden", 0.5)), gradients(("layers.0.hidden", 1.5))

    assert len(gradients_chart([("a", vanishing)]).curves) == 1
    line = gradients_chart([("a", vanishing), ("b", exploding)]).curves[2]
    assert "5" in line.name
    assert (line.x, line.y, line.color) == ([0, 30], [5.0, 5.0], 2)


@pytest.mark.slow
def test_page_draws_the_curves(open_page):
    chart = gradients_chart([("a", gradients(("layers.0.hidden", 0.5))), ("b", gradients(("layers.0.hidden", 0.0)))])

    page = open_page(chart_page([chart], "Gradients of a, b"))

    assert "a h" in page.inner_text("body")

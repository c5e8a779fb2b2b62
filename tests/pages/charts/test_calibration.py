from __future__ import annotations

import numpy as np

from seqgen.evaluation.calibration import Calibration
from seqgen.pages.charts.calibration import reliability_diagram


def test_diagram_has_a_curve_of_the_bins_of_each_run_and_the_ideal_line():
    sure = Calibration.of(np.array([0.95, 0.95, 0.5]), np.array([True, False, True]))
    right = Calibration.of(np.array([1.0]), np.array([True]))

    chart = reliability_diagram({"a": sure, "b": right})

    first, second, ideal = chart.curves
    np.testing.assert_allclose([first.x, first.y], [[0.5, 0.95], [1, 0.5]])
    assert (second.x, second.y) == ([1], [1])
    assert (first.name, second.name) == ("a (error 0.4667)", "b (error 0.0000)")
    assert (ideal.x, ideal.y, ideal.dashed) == ([0, 1], [0, 1], True)

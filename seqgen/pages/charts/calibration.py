"""The reliability diagram: how often a model is right against how sure it is."""

from __future__ import annotations

from collections.abc import Mapping

from seqgen.evaluation.calibration import Calibration
from seqgen.pages.chart import Chart, Curve


def reliability_diagram(calibrations: Mapping[str, Calibration]) -> Chart:
    """Return the accuracy against the confidence of the next token, for each run by its name, and the ideal line."""
    curves = []
    for name, calibration in calibrations.items():
        bins = calibration.rows()
        x, y = [one.confidence for one in bins], [one.accuracy for one in bins]
        curves.append(Curve(f"{name} (error {calibration.error:.4f})", x, y))
    ideal = Curve("as sure as right", [0.0, 1.0], [0.0, 1.0], dashed=True)
    title, x_label = "Calibration of the next token", "probability of the most probable token"
    return Chart(title, x_label, "share of places where it comes", [*curves, ideal])

"""Charts of gates: the distribution of the half-lives, and how often each unit's gates are saturated."""

from __future__ import annotations

import numpy as np

from seqgen.inspection.gates import LEFT, RIGHT, Gates
from seqgen.pages.chart import Chart, Curve


def half_life_chart(gates: Gates) -> Chart:
    """Return the chart of the share of each layer's units whose half-life is at most x tokens."""
    size = gates.half_life.shape[1]
    shares = np.arange(1, size + 1) / size
    curves = [Curve(f"layer {layer}", np.sort(half_lives), shares) for layer, half_lives in enumerate(gates.half_life)]
    return Chart("Half-lives of the units' memory", "half-life in tokens", "share of the units", curves, log_x=True)


def saturation_charts(gates: Gates) -> list[Chart]:
    """Return a chart for each gate: a point for each unit, as in Karpathy, Johnson and Fei-Fei (2015).

    A unit whose gate is always open is at the right end, one whose gate is always closed at the upper end, and one
    whose gate is always between them in the lower left corner.
    """
    return [
        Chart(
            f"Saturation of the {name} gate",
            f"share of tokens above {RIGHT}",
            f"share below {LEFT}",
            [
                Curve(f"layer {layer}", right, left, points=True)
                for layer, (right, left) in enumerate(zip(gate.right, gate.left, strict=True))
            ],
        )
        for name, gate in gates.gates.items()
    ]

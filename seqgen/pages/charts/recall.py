"""Draw how well letters are recalled, by the characters in between."""

from __future__ import annotations

from collections.abc import Mapping

from seqgen.inspection.recall import GUESSED, Recall
from seqgen.pages.chart import Chart, Curve


def recall_chart(measured: Mapping[str, Recall]) -> Chart:
    """Return the chart of the accuracy of named runs, and of guessing."""
    curves = [Curve(name, one.distances, one.accuracy) for name, one in measured.items()]
    ends = [
        min(int(one.distances[0]) for one in measured.values()),
        max(int(one.distances[-1]) for one in measured.values()),
    ]
    guessing = Curve("guessing", ends, [GUESSED, GUESSED], dashed=True, color=6)
    return Chart(
        title="Three letters, recalled after other characters",
        x_label="characters in between",
        y_label="share of the letters that are right",
        curves=[*curves, guessing],
        log_x=True,
    )

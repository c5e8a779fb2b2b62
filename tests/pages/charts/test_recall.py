from __future__ import annotations

import numpy as np

from seqgen.inspection.recall import GUESSED, Recall
from seqgen.pages.charts.recall import recall_chart


def test_recall_chart_has_a_curve_for_each_run_and_one_for_guessing():
    distances, accuracy = np.array([1, 10, 100]), np.array([1.0, 0.5, 0.125])
    chart = recall_chart(
        {"rnn": Recall(distances, accuracy, np.zeros(3)), "gru": Recall(distances, accuracy, np.zeros(3))}
    )

    *runs, guessing = chart.curves
    assert [one.name for one in runs] == ["rnn", "gru"]
    assert [np.array(one.y).tolist() for one in runs] == [accuracy.tolist()] * 2
    assert (list(guessing.x), list(guessing.y)) == ([1, 100], [GUESSED, GUESSED])

from __future__ import annotations

import json

import pytest

from seqgen.evaluation.tasks.counts import Counts, macro_f1


def test_counts_figures_by_hand():
    counts = Counts(reference=8, output=5, correct=4)

    assert counts.precision == 0.8
    assert counts.recall == 0.5
    assert counts.f1 == pytest.approx(2 * 0.8 * 0.5 / (0.8 + 0.5), rel=1e-15)
    assert json.loads(json.dumps(counts.as_record())) == {
        "reference": 8, "output": 5, "correct": 4, "precision": 0.8, "recall": 0.5, "f1": counts.f1
    }  # fmt: skip


@pytest.mark.parametrize("counts", [Counts(0, 0, 0), Counts(3, 0, 0), Counts(0, 3, 0), Counts(3, 3, 0)])
def test_counts_figures_are_0_where_nothing_is_correct(counts):
    assert (counts.precision, counts.recall, counts.f1) == (0, 0, 0)


def test_macro_f1_leaves_out_classes_that_do_not_occur():
    perfect, missed, invented, absent = Counts(9, 9, 9), Counts(1, 0, 0), Counts(0, 1, 0), Counts(0, 0, 0)

    assert macro_f1([perfect, missed, invented, absent]) == pytest.approx(1 / 3)
    assert macro_f1([absent]) == 0
    assert macro_f1([]) == 0

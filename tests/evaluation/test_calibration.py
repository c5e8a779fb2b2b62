"""Calibration against its definition, bin by bin."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.evaluation.calibration import BINS, Calibration


def drawn(count, seed=0):
    draw = np.random.default_rng(seed)
    confidence = draw.random(count)
    return confidence, draw.random(count) < confidence**2


def test_calibration_bins_hold_counts_means_and_shares():
    confidence, correct = drawn(500)

    rows = Calibration.of(confidence, correct).rows()

    assert len(rows) == BINS
    for place, row in enumerate(rows):
        inside = (confidence > place / BINS) & (confidence <= (place + 1) / BINS)
        assert (row.low, row.high) == pytest.approx((place / BINS, (place + 1) / BINS))
        assert row.count == inside.sum()
        assert row.confidence == pytest.approx(confidence[inside].mean())
        assert row.accuracy == pytest.approx(correct[inside].mean())


def test_calibration_error_is_the_weighted_distance_of_the_bins():
    confidence, correct = drawn(500)
    found = Calibration.of(confidence, correct)

    expected = sum(row.count * abs(row.confidence - row.accuracy) for row in found.rows()) / 500

    assert found.error == pytest.approx(expected)
    assert (found.answers, found.accuracy, found.confidence) == pytest.approx((500, correct.mean(), confidence.mean()))


def test_calibration_of_parts_adds_up():
    confidence, correct = drawn(100)
    parts = [Calibration.of(confidence[part], correct[part]) for part in (slice(0, 30), slice(30, 100))]

    found, whole = parts[0].plus(parts[1]), Calibration.of(confidence, correct)

    assert found.count.tolist() == whole.count.tolist()
    assert found.correct.tolist() == whole.correct.tolist()
    assert found.error == pytest.approx(whole.error)


def test_calibration_leaves_out_empty_bins_and_takes_the_ends_of_the_range():
    rows = Calibration.of(np.array([0.0, 1.0, 1.0000001]), np.array([False, True, True])).rows()

    assert [(row.low, row.high, row.count) for row in rows] == [
        (0, pytest.approx(1 / BINS), 1),
        (pytest.approx(14 / 15), 1, 2),
    ]

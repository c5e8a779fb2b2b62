from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import RunError, TextError
from seqgen.evaluation.tasks.counts import Counts
from seqgen.evaluation.tasks.labels import MOST_CONFUSED, calibration_error, fit_temperature, report_labels

LABELS = ("bad", "fair", "good")


def _logits(*rows):
    return np.log(np.array(rows))


def _drawn(seed, documents=60, labels=4, scale=3.0):
    """Return logits, and labels of which about half have the highest logit."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(documents, labels)) * scale
    targets = np.where(random.random(documents) < 0.5, logits.argmax(1), random.integers(0, labels, documents))
    return logits, targets


def _mean_nats(logits, targets, temperature):
    """Return the mean of -ln p, document by document."""
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        total += math.log(sum(math.exp((one - row[target]) / temperature) for one in row))
    return total / len(targets)


def test_report_by_hand():
    """Four documents: bad and fair predicted as they are, one bad as fair, one fair as good."""
    logits = _logits([0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.6, 0.2], [0.1, 0.4, 0.5])

    report = report_labels(logits, np.array([0, 1, 0, 1]), LABELS)

    assert report.confusion == ((1, 1, 0), (0, 1, 1), (0, 0, 0))
    assert (report.documents, report.accuracy) == (4, 0.5)
    assert report.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert (report.majority, report.majority_share) == ("bad", 0.5)
    assert report.nats == pytest.approx(-math.log(0.8 * 0.7 * 0.2 * 0.4) / 4)
    assert report.counts["fair"].precision == 0.5
    assert report.counts["bad"].recall == 0.5


def test_report_above_the_limit_of_labels_has_figures_and_no_confusion():
    """A matrix over 26,000 labels would have 676 million cells."""
    labels = [str(number) for number in range(MOST_CONFUSED + 1)]
    logits = np.eye(len(labels))[[0, 1, 1]]

    report = report_labels(logits, np.array([0, 1, 2]), labels)

    assert (report.confusion, report.as_record()["confusion"]) == (None, None)
    assert (report.documents, report.accuracy) == (3, 2 / 3)
    assert report.counts["1"] == Counts(reference=1, output=2, correct=1)
    assert report_labels(logits[:, 1:], np.array([0, 0, 1]), labels[1:]).confusion is not None


def test_majority_is_the_most_frequent_label_whatever_is_predicted():
    report = report_labels(_logits(*[[0.9, 0.05, 0.05]] * 4), np.array([0, 2, 2, 2]), LABELS)

    assert (report.majority, report.majority_share, report.accuracy) == ("good", 0.75, 0.25)


def test_labels_that_do_not_occur_are_not_in_macro_f1():
    report = report_labels(_logits([0.9, 0.05, 0.05], [0.1, 0.8, 0.1]), np.array([0, 1]), LABELS)

    assert report.macro_f1 == 1
    assert report.counts["good"].reference == 0


def test_report_of_a_single_label():
    report = report_labels(np.array([[3.0], [-5.0]]), np.array([0, 0]), ["only"])

    assert (report.accuracy, report.macro_f1, report.nats, report.calibration_error) == (1, 1, 0, 0)
    assert (report.majority, report.majority_share) == ("only", 1)


def test_report_when_every_label_is_wrong():
    report = report_labels(_logits([0.9, 0.1], [0.1, 0.9]), np.array([1, 0]), ["a", "b"])

    assert (report.accuracy, report.macro_f1) == (0, 0)
    assert report.calibration_error == pytest.approx(0.9)


def test_temperature_changes_probabilities_and_not_labels():
    logits, targets = _drawn(0)
    plain, heated = report_labels(logits, targets, "abcd"), report_labels(logits, targets, "abcd", 2.5)

    assert plain.confusion == heated.confusion
    assert plain.nats == pytest.approx(_mean_nats(logits, targets, 1), rel=1e-12)
    assert heated.nats == pytest.approx(_mean_nats(logits, targets, 2.5), rel=1e-12)
    assert heated.temperature == 2.5
    assert plain.calibration_error != heated.calibration_error


def test_report_accepts_logits_whose_exponentials_overflow():
    report = report_labels(np.array([[5e4, 0.0], [0.0, -5e4]], np.float32), np.array([0, 1]), ["a", "b"])

    assert report.nats == pytest.approx(5e4 / 2)


def test_record_is_json():
    logits, targets = _drawn(1)
    report = report_labels(logits, targets, "abcd")

    record = json.loads(json.dumps(report.as_record()))

    assert record["confusion"] == [list(row) for row in report.confusion]
    assert record["documents"] == 60
    assert record["accuracy"] == report.accuracy
    assert record["macro_f1"] == report.macro_f1
    assert record["majority_share"] == report.majority_share
    assert record["labels"]["c"]["f1"] == report.counts["c"].f1
    assert list(record["labels"]) == list("abcd")


def _calibration_error(probabilities, targets):
    """Return the error by loops over bins ((m - 1) / 15, m / 15] and the documents in them."""
    error = 0.0
    for upper in range(1, 16):
        rows = [
            (max(row), row.index(max(row)) == target)
            for row, target in zip(probabilities.tolist(), targets.tolist(), strict=True)
            if (upper - 1) / 15 < max(row) <= upper / 15
        ]
        if rows:
            confidence, accuracy = (sum(one) / len(rows) for one in zip(*rows, strict=True))
            error += len(rows) / len(targets) * abs(confidence - accuracy)
    return error


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_matches_its_definition(seed):
    logits, targets = _drawn(seed, documents=200)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    assert calibration_error(probabilities, targets) == pytest.approx(_calibration_error(probabilities, targets))


def test_calibration_bins_are_closed_at_their_upper_end():
    """0.6 = 9 / 15 is in the same bin as 0.55, where a surplus and a lack cancel out; 0.62 is in the next."""
    below = np.array([[0.55, 0.45], [0.6, 0.4]])
    above = np.array([[0.55, 0.45], [0.62, 0.38]])
    targets = np.array([0, 1])

    assert calibration_error(below, targets) == pytest.approx((0.6 - 0.45) / 2)
    assert calibration_error(above, targets) == pytest.approx((0.62 + 0.45) / 2)


@pytest.mark.parametrize("edge", range(1, 15))
def test_calibration_bins_are_divided_at_each_fifteenth(edge):
    """A right answer just below an edge and a wrong one just above it do not cancel out. There are 40 labels."""
    low, high = edge / 15 - 0.01, edge / 15 + 0.01
    probabilities = np.array([[one, *[(1 - one) / 39] * 39] for one in (low, high)])

    assert calibration_error(probabilities, np.array([0, 1])) == pytest.approx(((1 - low) + high) / 2)


def test_calibrated_probabilities_have_no_error():
    probabilities = np.array([[0.75, 0.25]] * 4)

    assert calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0, abs=1e-15)


def test_fit_temperature_solves_two_labels_by_hand():
    """Three of four are right by a logit of 2: the best probability is 3/4, whose log-odds ln 3 are 2 / T."""
    logits = np.array([[2.0, 0.0]] * 4)

    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(2 / math.log(3), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 6))
def test_fit_temperature_finds_the_fewest_nats(seed, scale):
    logits, targets = _drawn(seed, documents=30, scale=scale)

    best = fit_temperature(logits, targets)

    assert 0.05 <= best <= 20
    least = _mean_nats(logits, targets, best)
    others = [best * (1 - 1e-3), best * (1 + 1e-3), *np.geomspace(0.05, 20, 50)]
    assert least <= min(_mean_nats(logits, targets, one) for one in others if 0.05 <= one <= 20) + 1e-14


def test_fit_temperature_scales_with_the_logits():
    """Logits that are 3 times as large need 3 times the temperature, to 1e-6."""
    logits, targets = _drawn(5)

    assert fit_temperature(3 * logits, targets) == pytest.approx(3 * fit_temperature(logits, targets), abs=1e-6)
    shifted = logits + np.arange(len(logits))[:, None]
    assert fit_temperature(shifted, targets) == pytest.approx(fit_temperature(logits, targets), abs=1e-6)


def test_fit_temperature_of_separated_labels_is_at_the_ends_of_the_range():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])

    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(0.05)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(20)


@pytest.mark.parametrize("logits", [np.outer([0.1, 0.7, 1.3], np.ones(7)), np.array([[4.0], [1.0], [2.0]])])
def test_fit_temperature_is_1_where_none_is_better(logits):
    assert fit_temperature(logits, np.zeros(3, np.int64)) == 1


def test_no_documents_are_refused():
    with pytest.raises(TextError, match="documents"):
        report_labels(np.zeros((0, 2)), np.zeros(0, np.int64), ["a", "b"])
    with pytest.raises(TextError, match="documents"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused_with_their_document(value):
    logits = np.zeros((5, 2))
    logits[3, 1] = value

    with pytest.raises(RunError, match=r"document 4 .*NaN or infinity"):
        report_labels(logits, np.zeros(5, np.int64), ["a", "b"])
    with pytest.raises(RunError, match=r"document 4 .*NaN or infinity"):
        fit_temperature(logits, np.zeros(5, np.int64))


@pytest.mark.parametrize("targets", [[0], [0, 2], [-1, 0]])
def test_targets_that_are_not_labels_are_refused(targets):
    with pytest.raises(ValueError, match="below 2"):
        report_labels(np.zeros((2, 2)), np.array(targets), ["a", "b"])

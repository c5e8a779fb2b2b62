from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen import models
from seqgen.data.labels import Labels, Tags
from seqgen.data.pairs import Sequences
from seqgen.evaluation.labels import evaluate_labels, label_logits, targets_of
from seqgen.evaluation.tasks.labels import fit_temperature
from seqgen.models.base import IGNORED
from seqgen.models.registry import FAMILIES


def build(cell, **settings):
    torch.manual_seed(3)
    return models.build(FAMILIES[cell].config(hidden_size=8, labels=("a", "b", "c"), **settings), 9).eval()


def rows(*lengths, low=1, high=9, seed=0):
    random = np.random.default_rng(seed)
    return Sequences.of(random.integers(low, high, length).astype(np.int32) for length in lengths)


def test_label_logits_are_in_the_order_of_the_texts():
    model, sources = build("lstm-classify"), rows(3, 7, 1, 5)
    pairs = Labels(sources, rows(1, 1, 1, 1, low=0, high=3))

    found = label_logits(model, pairs)

    for number in range(4):
        (alone,) = label_logits(model, pairs.select(np.array([number])))
        np.testing.assert_allclose(found[number], alone, atol=1e-6)
    assert len({tuple(np.round(one[0], 4)) for one in found}) == 4


def test_label_logits_report_the_tokens_that_were_read_after_the_cut():
    model = build("lstm-classify", max_source_length=4)
    shown = []

    label_logits(model, Labels(rows(*[3] * 300, 9), rows(*[1] * 301, low=0)), progress=lambda *one: shown.append(one))

    assert len(shown) > 1
    assert [done for done, _ in shown] == sorted({done for done, _ in shown})
    assert {total for _, total in shown} == {shown[-1][0]} == {3 * 300 + 4}


def test_tag_logits_are_those_at_the_targets():
    model, sources = build("gru-tag"), rows(4, 6)
    everywhere = Tags(sources, rows(4, 6, low=0, high=3))
    some = Tags(sources, Sequences.of([np.array([IGNORED, 0, IGNORED, 1]), np.array([IGNORED] * 5 + [2])]))

    whole, found = label_logits(model, everywhere), label_logits(model, some)

    np.testing.assert_allclose(found[0], whole[0][[1, 3]], atol=1e-6)
    np.testing.assert_allclose(found[1], whole[1][[5]], atol=1e-6)
    assert targets_of(some).tolist() == [0, 1, 2]


def test_texts_longer_than_the_model_reads_are_cut():
    model, sources = build("lstm-classify", max_source_length=4), rows(9)

    (found,) = label_logits(model, Labels(sources, rows(1, low=0)))

    (cut,) = label_logits(model, Labels(sources.cut(4), rows(1, low=0)))
    np.testing.assert_array_equal(found, cut)


def test_evaluation_is_the_mean_nats_and_the_share_of_right_labels():
    model, pairs = build("lstm-classify"), Labels(rows(3, 7, 1, 5, 2), rows(*[1] * 5, low=0, high=3, seed=4))
    logits = np.concatenate(label_logits(model, pairs)).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = targets_of(pairs)

    found = evaluate_labels(model, pairs)

    assert found.nats_per_token == pytest.approx(-np.log(shares[np.arange(5), targets]).mean())
    assert found.accuracy == (logits.argmax(1) == targets).mean()
    assert found.perplexity == pytest.approx(math.exp(found.nats_per_token))
    assert (found.bits_per_byte, found.bits_per_character) == (None, None)


def partly_right(model, count, right):
    """Return texts, of which the first `right` have the most probable label, and the others another."""
    sources = rows(*[1 + number % 7 for number in range(count)])
    best = [int(one.argmax()) for one in label_logits(model, Labels(sources, rows(*[1] * count, low=0)))]
    return Labels(sources, Sequences.of(np.array([(one + (at >= right)) % 3]) for at, one in enumerate(best)))


def test_temperature_is_fitted_from_50_targets():
    model = build("lstm-classify")
    few, enough = partly_right(model, 49, 20), partly_right(model, 50, 20)

    assert evaluate_labels(model, few).temperature == 1.0
    expected = fit_temperature(np.concatenate(label_logits(model, enough)), targets_of(enough))
    assert evaluate_labels(model, enough).temperature == expected != 1.0


@pytest.mark.parametrize("right", [0, 60])
def test_temperature_is_one_where_all_labels_are_wrong_or_all_are_right(right):
    model = build("lstm-classify")

    found = evaluate_labels(model, partly_right(model, 60, right))

    assert (found.accuracy, found.temperature) == (right / 60, 1.0)


def test_nan_in_the_logits_gives_nan_nats():
    model = build("lstm-classify")
    with torch.no_grad():
        model.head.bias[0] = math.nan

    assert math.isnan(evaluate_labels(model, Labels(rows(2), rows(1, low=0))).nats_per_token)

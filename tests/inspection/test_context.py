from __future__ import annotations

import numpy as np
import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, TextError
from seqgen.inspection import context
from seqgen.inspection.context import ContextLosses, common_unit, measure_context
from seqgen.models.base import IGNORED

from ..conftest import TEXT, some_by_default

PART = TEXT[:700]
CELLS = some_by_default(["gru", "transformer", "window", "ngram", "gru+ngram"], ["transformer", "gru+ngram"])


@pytest.fixture
def load(make_run, corpus, tmp_path):
    """Return a function that loads a small run of a cell."""

    def load(cell: str, **settings):
        if cell == "ngram":
            seqgen.train(corpus, out=tmp_path / "ngram", cell=cell, **settings).run()
            return seqgen.load(tmp_path / "ngram")
        settings |= {"block_size": 16} if cell == "transformer" else {}
        return make_run(corpus, cell, **settings)

    return load


def naive(run, window, target: int) -> float:
    """Return the nats of a target after a window, by the model alone."""
    tokens = torch.from_numpy(np.asarray(window, np.int64))[None]
    targets = torch.full_like(tokens, IGNORED)
    targets[0, -1] = int(target)
    with torch.no_grad():
        return float(run.model.nats(tokens, targets)[0][0, -1])


@pytest.mark.parametrize("cell", CELLS)
def test_losses_by_length_are_those_of_windows_that_end_before_each_target(load, cell):
    run = load(cell)
    ids = run.tokenizer.encode(PART)

    (found,) = measure_context([run], [PART], targets=6, longest=20)

    assert found.lengths == (1, 2, 4, 8, 16, 20)
    assert found.by_length.shape == (6, 6)
    assert (found.position >= 20).all()
    for length, losses in zip(found.lengths, found.by_length, strict=True):
        expected = [naive(run, ids[at - length : at], ids[at]) for at in found.position]
        np.testing.assert_allclose(losses, expected, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_loss_of_the_whole_context_is_that_of_score(load, cell):
    run = load(cell)

    (found,) = measure_context([run], [PART], targets=30, longest=8)

    np.testing.assert_array_equal(found.whole, run.score(PART).nats[found.position])


def test_loss_of_the_whole_context_fills_limited_positions(make_run, corpus):
    run = make_run(corpus, "transformer", positions="sinusoidal", block_size=16)

    (found,) = measure_context([run], [PART[:60]], targets=100, longest=12)
    expected = run.score(PART[:60], context_window=16, stride=1).nats[found.position]

    np.testing.assert_allclose(found.whole, expected, atol=1e-5)
    assert found.lengths == (1, 2, 4, 8, 12)
    assert found.position.tolist() == list(range(12, 60))
    assert measure_context([run], [PART], targets=2)[0].lengths == (1, 2, 4, 8, 16)


def test_disturbed_contexts_keep_the_last_tokens(load, monkeypatch):
    monkeypatch.setattr(context, "DISTANCES", (2, 5, 7))
    monkeypatch.setattr(context, "DISTURBED", 8)
    run = load("gru")
    ids = run.tokenizer.encode(PART)

    (found,) = measure_context([run], [PART], targets=4, longest=16, seed=3)

    assert (found.disturbed, found.distances) == (8, (2, 5))  # of 7, a single token could not be shuffled
    windows = np.stack([ids[at - 8 : at] for at in found.position])
    targets, rng = ids[found.position], np.random.default_rng(3)
    np.testing.assert_array_equal(found.undisturbed, found.by_length[3])
    for number, distance in enumerate(found.distances):
        far, near = windows[:, :-distance], windows[:, -distance:]
        for kind, disturbed in (
            ("dropped", near),
            ("shuffled", np.hstack([rng.permuted(far, axis=1), near])),
            ("replaced", np.hstack([far[[2, 3, 0, 1]], near])),
        ):
            expected = [naive(run, *one) for one in zip(disturbed, targets, strict=True)]
            np.testing.assert_allclose(found.disturbances[kind][number], expected, atol=1e-5)


def test_a_model_of_short_reach_is_not_disturbed_beyond_it(load):
    (found,) = measure_context([load("ngram", order=3)], [PART], targets=40, longest=64)

    assert found.distances == (5, 10, 20, 50)
    for losses in found.disturbances.values():
        np.testing.assert_allclose(losses, np.broadcast_to(found.undisturbed, losses.shape), atol=1e-9)
    assert (found.order_horizon, found.replacement_horizon) == (5, 5)
    np.testing.assert_allclose(found.by_length[1:], np.broadcast_to(found.whole, (6, 40)), atol=1e-9)
    assert found.horizon == 2


def test_runs_with_one_tokenizer_are_measured_at_the_same_tokens(load):
    gru, ngram = measure_context([load("gru"), load("ngram")], [PART], targets=25, longest=4)
    again, other = (measure_context([load("gru")], [PART], targets=25, longest=4, seed=seed)[0] for seed in (1, 2))

    np.testing.assert_array_equal(gru.position, ngram.position)
    np.testing.assert_array_equal(again.position, gru.position)
    np.testing.assert_array_equal(again.shuffled, gru.shuffled)
    assert set(other.position) != set(gru.position)
    assert len(set(gru.position)) == 25
    assert common_unit([gru, ngram]) == "nats per token"


def test_runs_with_several_tokenizers_are_measured_at_the_same_stretches(load):
    runs, documents = [load("gru"), load("gru", tokenizer="bpe", vocab_size=300)], [PART, PART[:50]]

    found = measure_context(runs, documents, targets=40, longest=4)

    places = []
    for run, one in zip(runs, found, strict=True):
        scores = [run.score(document) for document in documents]
        spans = []
        for number, first, count in zip(one.document, one.position, one.tokens, strict=True):
            tokens = slice(first, first + count)
            spans.append((number, scores[number].spans[tokens].min(), scores[number].spans[tokens].max()))
            assert one.whole[len(spans) - 1] == pytest.approx(scores[number].nats[tokens].sum(), rel=1e-5)
        assert one.bytes.tolist() == [stop - start for _, start, stop in spans]
        places.append(spans)
    assert places[0] == places[1]
    assert (found[1].tokens == 1).all()
    assert found[0].tokens.max() > 1
    assert common_unit(found) == "bits per byte"


def test_stretches_of_characters_of_several_ids_are_whole(load):
    run = load("gru", tokenizer="byte")

    (found,) = measure_context([run], ["한국어 글이다. " * 9], targets=90, longest=1)

    assert set(found.tokens) == {1, 3}
    np.testing.assert_array_equal(found.tokens, found.bytes)


def test_bits_per_byte_have_the_spelling_of_unknown_characters(load):
    run, text = load("gru"), PART[:60] + "é왕" + PART[60:100]

    (found,) = measure_context([run], [text], targets=1_000, longest=1)
    scores, evaluation = run.score(text), run.evaluate_text(text)

    assert found.position.tolist() == list(range(1, 102))
    assert found.bytes.sum() == len(text.encode()) - 1
    assert found.spelling.sum() == pytest.approx(scores.unk_cost.sum())
    bits = found.loss(found.whole, "bits per byte").value * found.bytes.sum() + scores.nats[0] / np.log(2)
    assert bits == pytest.approx(evaluation.bits_per_byte * len(text.encode()), rel=1e-5)
    assert common_unit([found]) == "nats per token"
    assert common_unit([found, found]) == "bits per byte"


def test_contexts_are_as_long_as_a_quarter_of_the_tokens_have(load):
    lines = [line for line in PART.splitlines() if line]

    (found,) = measure_context([load("gru")], ["", *lines], targets=50)

    before = np.concatenate([np.arange(len(line)) for line in lines])
    assert found.lengths == (1, 2, 4, 8, 16)
    assert np.mean(before >= 16) >= 0.25 > np.mean(before >= 32)
    assert (found.position >= 16).all()
    assert len(set(zip(found.document.tolist(), found.position.tolist(), strict=True))) == 50


def losses(by_length, whole, **fields) -> ContextLosses:
    """Return losses of two stretches."""
    made = {
        "name": "a", "document": np.zeros(2, int), "position": np.arange(2), "tokens": np.array([1, 3]),
        "bytes": np.array([2, 2]), "spelling": np.zeros(2), "whole": np.array(whole, float),
        "lengths": (1, 2, 4)[: len(by_length)], "by_length": np.array(by_length, float), "disturbed": 1,
        "distances": (5, 10), "dropped": np.zeros((2, 2)), "shuffled": np.zeros((2, 2)), "replaced": np.zeros((2, 2)),
    }  # fmt: skip
    return ContextLosses(**{**made, **fields})


def test_horizons_are_within_one_percent_of_the_best_loss():
    assert losses([[5, 5], [5, 4.1], [5, 4]], [5, 4.05]).horizon == 4
    assert losses([[5, 5], [5, 4.08], [5, 4]], [5, 4.05]).horizon == 2
    assert losses([[5, 5], [5, 4.1]], [5, 4]).horizon is None
    shuffled, replaced = np.array([[5, 5.11], [5, 5.09]]), np.array([[5, 5.2], [5, 5.11]])
    found = losses([[5, 5]], [5, 5], shuffled=shuffled, replaced=replaced)
    assert (found.order_horizon, found.replacement_horizon) == (10, None)


def test_losses_have_standard_errors_of_ratios():
    found = losses([[1, 2], [2, 5]], [1, 1], disturbed=2)

    value, error = found.loss(found.by_length[1], "nats per token")
    assert value == 7 / 4
    assert error == pytest.approx(np.sqrt(2 * ((2 - 7 / 4) ** 2 + (5 - 3 * 7 / 4) ** 2)) / 4)
    bits, error = found.loss(found.by_length[0], "bits per byte")
    assert bits == pytest.approx(3 / 4 / np.log(2))
    assert error == pytest.approx(np.std([0.5, 1.0], ddof=1) / np.sqrt(2) / np.log(2))
    assert found.added(np.array([3, 5]), "nats per token").value == 1 / 4
    assert found.added(np.array([3, 5]), "bits per byte").value == pytest.approx(1 / 4 / np.log(2))


def test_progress_ends_with_the_total(load):
    seen = []

    measure_context([load("gru"), load("ngram")], [PART], targets=5, longest=8, progress=lambda *one: seen.append(one))

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_measure_context_refuses_short_texts_and_single_targets(load):
    run = load("gru")
    with pytest.raises(TextError, match="empty"):
        measure_context([run], [""])
    with pytest.raises(TextError, match="short"):
        measure_context([run], ["ab"])
    with pytest.raises(ConfigError, match="targets"):
        measure_context([run], [PART], targets=1)


@pytest.mark.slow
def test_measure_context_refuses_runs_that_read_other_characters(load):
    run = load("gru")
    with pytest.raises(ConfigError, match="bytes"):
        measure_context([run, load("gru", encoding="bytes")], [PART])
    jamo = load("gru", normalization="nfd")
    assert len(measure_context([run, jamo], [PART], targets=2, longest=1)) == 2
    with pytest.raises(ConfigError, match="Unicode form"):
        measure_context([run, jamo], ["한국어 " * 9])

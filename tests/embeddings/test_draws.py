"""The random numbers of training: functions of seed, epoch, block and place."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.embeddings.draws import draw_examples, epoch_key

METHODS = ["cbow", "skipgram"]


def everything(corpus):
    return corpus.vocabulary.kept(0.0)


@pytest.mark.parametrize("method", METHODS)
def test_examples_of_several_blocks_are_those_of_each_block_joined(corpus, method):
    model, kept = EmbeddingModelConfig(method=method, window=3), corpus.vocabulary.kept(0.05)

    together = draw_examples(corpus, model, kept, 0, 4, 7)
    each = [draw_examples(corpus, model, kept, block, block + 1, 7) for block in range(4)]

    for whole, *parts in zip(astuple(together), *map(astuple, each), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_cbow_predicts_each_word_from_the_words_around_it(corpus):
    model = EmbeddingModelConfig(window=3)

    found = draw_examples(corpus, model, everything(corpus), 0, 1, 7)

    assert found.targets.tolist() == corpus.rows[:40].tolist()
    widths = set()
    for place in range(40):
        around = [-3, -2, -1, 1, 2, 3]
        there = [other for other, inside in zip(around, found.mask[place], strict=True) if inside]
        width = max(map(abs, there))
        widths.add(width)
        assert there == [other for other in around if abs(other) <= width and 0 <= place + other < 40]
        assert found.inputs[place][found.mask[place]].tolist() == [corpus.rows[place + other] for other in there]
    assert widths == {1, 2, 3}


def test_skipgram_predicts_the_same_words_from_one_word_at_a_time(corpus):
    cbow, skipgram = (
        draw_examples(corpus, EmbeddingModelConfig(method=method, window=3), everything(corpus), 0, 4, 7)
        for method in METHODS
    )

    assert skipgram.mask.all()
    assert skipgram.inputs[:, 0].tolist() == cbow.inputs[cbow.mask].tolist()
    assert skipgram.targets.tolist() == np.repeat(cbow.targets, cbow.mask.sum(1)).tolist()
    assert len({tuple(noise) for noise in skipgram.noise.tolist()}) > len(skipgram.noise) / 2


@pytest.mark.parametrize("method", METHODS)
def test_softmax_has_the_same_predictions_without_noise_words(corpus, method):
    models = (EmbeddingModelConfig(method=method, loss=loss, window=3) for loss in ("negative", "softmax"))

    negative, softmax = (draw_examples(corpus, model, everything(corpus), 0, 4, 7) for model in models)

    for name in ("inputs", "mask", "targets", "blocks"):
        np.testing.assert_array_equal(getattr(negative, name), getattr(softmax, name))
    assert (negative.noise.shape[1], softmax.noise.shape) == (5, (len(softmax.targets), 0))


def test_block_of_one_word_has_no_examples(corpus):
    assert len(draw_examples(corpus, EmbeddingModelConfig(), everything(corpus), 1, 2, 7).targets) == 0


def test_words_are_left_out_as_often_as_kept_says(corpus):
    long = replace(corpus, rows=np.tile(np.array([0, 1], np.int32), 10_000), starts=np.array([0, 9_000, 20_000]))
    kept = np.full(60, 2**32, np.uint64)
    kept[0] = 2**32 // 4

    targets = draw_examples(long, EmbeddingModelConfig(), kept, 0, 2, 1).targets

    assert (targets == 1).sum() == 10_000
    assert (targets == 0).sum() == pytest.approx(2_500, abs=150)


def test_noise_and_widths_have_their_distributions(corpus):
    long = replace(corpus, rows=np.tile(np.arange(60, dtype=np.int32), 300), starts=np.array([0, 18_000]))
    model = EmbeddingModelConfig(window=4)

    found = draw_examples(long, model, everything(corpus), 0, 1, 1)

    shares = np.bincount(found.noise.flatten(), minlength=60) / found.noise.size
    weights = np.array(corpus.vocabulary.counts) ** 0.75
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.005)
    widths = np.bincount(found.mask.sum(1)[4:-4] // 2)[1:] / (len(found.mask) - 8)
    np.testing.assert_allclose(widths, [0.25] * 4, atol=0.02)


def test_keys_differ_by_seed_and_epoch():
    keys = {epoch_key(seed, epoch) for seed in (0, 1, 2**63 - 1) for epoch in range(50)}

    assert len(keys) == 150
    assert all(0 <= key < 2**64 for key in keys)

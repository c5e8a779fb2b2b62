"""The compiled training learns what the plain form learns from the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen.embeddings.batches import train_in_batches
from seqgen.embeddings.config import EmbeddingModelConfig, EmbeddingTrainingConfig
from seqgen.embeddings.draws import block_keys, draw_examples
from seqgen.embeddings.objective import context_mean, negative_gradients
from seqgen.embeddings.state import EmbeddingProgress, EmbeddingState
from seqgen.embeddings.trainer import compiled_learner

pytest.importorskip("numba")
pytestmark = pytest.mark.slow  # compiling takes seconds


def state_of(draw):
    vectors, contexts = draw.normal(scale=0.3, size=(2, 60, 20)).astype(np.float32)
    return EmbeddingState(vectors, contexts, EmbeddingProgress(step=0, seconds=0.0, metrics_bytes=0))


def learn(corpus, model, rates, threads=1):
    """Learn all blocks with these rates; return the state and the result."""
    state = state_of(np.random.default_rng(0))
    training = EmbeddingTrainingConfig(lr=0.1, sample=0.05, threads=threads)
    result = compiled_learner(corpus, model, training, state)((0, 4), 9, np.array(rates))
    return state, result


@pytest.mark.parametrize("method", ["cbow", "skipgram"])
def test_kernel_learns_what_the_plain_form_learns(corpus, method):
    model = EmbeddingModelConfig(method=method, window=3, negative=4, vector_size=20)
    rates, plain = [0.02, 0.05, 0.01, 0.03], state_of(np.random.default_rng(0))

    compiled, (loss, measured) = learn(corpus, model, rates)
    train_in_batches(
        corpus, model, corpus.vocabulary.kept(0.05), plain.vectors, plain.contexts, (0, 4), 9, rates, batch_size=1
    )

    # Two equal noise words of one prediction are learned one after the other, or together: the difference is small.
    np.testing.assert_allclose(compiled.vectors, plain.vectors, atol=2e-3)
    np.testing.assert_allclose(compiled.contexts, plain.contexts, atol=2e-3)
    assert np.abs(compiled.vectors - state_of(np.random.default_rng(0)).vectors).max() > 0.01
    assert measured > 0
    assert loss > 0


def test_kernel_repeats_itself_on_one_thread(corpus):
    model, rates = EmbeddingModelConfig(vector_size=20), [0.05] * 4

    (first, result), (second, again) = (learn(corpus, model, rates) for _ in range(2))

    assert result == again
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_threads_learn_disjoint_blocks(corpus):
    model, rates = EmbeddingModelConfig(vector_size=20), [0.05, 0.0, 0.0, 0.05]
    alone, (loss, measured) = learn(corpus, model, rates)

    state, (both, counted) = learn(corpus, model, rates, threads=3)

    assert counted == measured
    assert both == pytest.approx(loss, rel=0.05)
    np.testing.assert_allclose(state.vectors, alone.vectors, atol=0.02)


def test_kernel_returns_a_loss_that_is_not_finite_once_a_score_is_not(corpus):
    state, training = state_of(np.random.default_rng(0)), EmbeddingTrainingConfig(lr=0.1, sample=0.0)
    state.contexts[:, 0] = np.inf

    loss, _ = compiled_learner(corpus, EmbeddingModelConfig(vector_size=20), training, state)((0, 4), 9, np.ones(4))

    assert not np.isfinite(loss)


def test_kernel_returns_the_loss_of_every_sixteenth_word_from_a_drawn_one_on(corpus):
    model = EmbeddingModelConfig(window=3, negative=4, vector_size=20)
    state, training = state_of(np.random.default_rng(0)), EmbeddingTrainingConfig(lr=0.1, sample=0.0)

    loss, measured = compiled_learner(corpus, model, training, state)((0, 4), 9, np.zeros(4))

    examples = draw_examples(corpus, model, corpus.vocabulary.kept(0.0), 0, 4, 9)
    places = np.arange(len(examples.blocks)) - np.searchsorted(examples.blocks, examples.blocks)
    vectors, contexts, inputs, mask, targets, noise = map(
        torch.from_numpy,
        (state.vectors, state.contexts, examples.inputs, examples.mask, examples.targets, examples.noise),
    )
    shifts = (block_keys(np.uint64(9), np.arange(4)) % np.uint64(16)).astype(np.int64)
    is_measured = (places + shifts[examples.blocks]) % 16 == 0
    losses = negative_gradients(context_mean(vectors, inputs, mask), contexts, targets, noise).loss[is_measured]
    assert len(set(shifts)) > 1
    assert measured == len(losses) > 4
    assert loss == pytest.approx(float(losses.sum()), rel=1e-4)

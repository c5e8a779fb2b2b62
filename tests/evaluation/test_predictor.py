"""The static predictor against the model's forward."""

from __future__ import annotations

import numpy as np
import torch

from seqgen.evaluation.predictor import StaticPredictor

from ..conftest import VOCAB_SIZE, build_model

STREAM = [0, 3, 1, 4, 1, 0, 5, 9, 0, 0, 2, 6]


def predict(model, stream, **settings):
    """Return the log probabilities after every token of a stream, [T, V]."""
    predictor = StaticPredictor(model, **settings)
    rows = []
    for token in stream:
        predictor.read(token)
        rows.append(predictor.log_probs().copy())
    return np.stack(rows)


def test_log_probs_are_those_of_the_forward(model):
    stream = STREAM + [number % 10 + 1 for number in range(11 if model.max_positions is None else 0)]
    tokens = torch.tensor([stream])

    predicted = predict(model, stream)

    with torch.no_grad():
        expected, _ = model.log_probs(tokens, model.initial_state(1, len(stream)), tokens == 0)
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, expected[0].numpy(), atol=2e-5)


def test_log_probs_are_normalized_in_fp64(model):
    np.testing.assert_allclose(np.exp(predict(model, STREAM)).sum(1), 1.0, atol=1e-14)


def test_log_probs_are_repeatable_bit_for_bit(model):
    assert (predict(model, STREAM) == predict(model, STREAM)).all()


def test_capacity_changes_nothing():
    model = build_model("transformer")

    assert (predict(model, STREAM, capacity=len(STREAM)) == predict(model, STREAM)).all()


def test_log_probs_may_be_read_several_times():
    predictor = StaticPredictor(build_model("gru"))
    predictor.read(0)

    before = predictor.log_probs().copy()
    predictor.log_probs()[:] = 7.0

    assert (predictor.log_probs() == before).all()
    assert before.shape == (VOCAB_SIZE,)

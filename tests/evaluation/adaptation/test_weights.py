"""One step of dynamic evaluation, against the equations in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgen.evaluation.adaptation.weights import DynamicWeights
from seqgen.models.base import LanguageModel

from ...conftest import build_model


def arrays(model: LanguageModel) -> dict[str, np.ndarray]:
    return {name: one.detach().numpy().copy() for name, one in model.named_parameters()}


def loss_of(model: LanguageModel) -> Tensor:
    tokens = torch.tensor([[0, 3, 1, 4, 1, 5]])
    return model.nats(tokens, tokens.roll(-1, 1), None, tokens == 0)[0].mean()


@pytest.mark.parametrize("clip", [1e9, 0.01])
def test_learn_takes_steps_of_sgd_with_decay_to_the_trained_weights(clip):
    trained = build_model("gru").double()
    dynamic = DynamicWeights(trained, rate=0.2, decay=0.1, clip=clip)
    expected, start = arrays(trained), arrays(trained)

    for _ in range(3):
        loss = loss_of(dynamic.model)
        gradients = torch.autograd.grad(loss, list(dynamic.model.parameters()), retain_graph=True)
        norm = np.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        scale = 0.2 * min(1.0, clip / norm)
        for (name, before), gradient in zip(expected.items(), gradients, strict=True):
            expected[name] = before - scale * gradient.numpy() + 0.1 * (start[name] - before)
        assert dynamic.learn(loss)

    for name, found in arrays(dynamic.model).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-12, atol=1e-13)
    for name, found in arrays(trained).items():
        np.testing.assert_array_equal(found, start[name])


def test_learn_leaves_the_weights_at_a_gradient_that_is_not_finite():
    dynamic = DynamicWeights(build_model("gru"), rate=0.2, decay=0.1, clip=1.0)
    before = arrays(dynamic.model)

    assert not dynamic.learn(loss_of(dynamic.model) * float("inf"))
    for name, found in arrays(dynamic.model).items():
        np.testing.assert_array_equal(found, before[name])


def test_restore_brings_back_the_trained_weights():
    trained = build_model("lstm-tied")
    dynamic = DynamicWeights(trained, rate=0.2, decay=0.0, clip=1.0)
    dynamic.learn(loss_of(dynamic.model))
    assert any((one != arrays(trained)[name]).any() for name, one in arrays(dynamic.model).items())

    dynamic.restore()

    for name, found in arrays(dynamic.model).items():
        np.testing.assert_array_equal(found, arrays(trained)[name])

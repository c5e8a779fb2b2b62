"""One step of dynamic evaluation, against the equations in numpy."""

from __future__ import annotations

import numpy as np
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


def test_learn_takes_scaled_steps_down_the_gradient_and_back_to_the_trained_weights():
    trained = build_model("gru").double()
    dynamic = DynamicWeights(trained, rate=0.02, decay=0.1, epsilon=0.003)
    expected, start = arrays(trained), arrays(trained)
    squares: dict[str, list[np.ndarray]] = {name: [] for name in start}

    for _ in range(3):
        loss = loss_of(dynamic.model)
        gradients = torch.autograd.grad(loss, list(dynamic.model.parameters()), retain_graph=True)
        for (name, before), gradient in zip(expected.items(), gradients, strict=True):
            squares[name].append(gradient.numpy() ** 2)
            step = gradient.numpy() / (np.sqrt(np.mean(squares[name], axis=0)) + 0.003)
            expected[name] = before - 0.02 * step + 0.1 * (start[name] - before)
        assert dynamic.learn(loss)

    for name, found in arrays(dynamic.model).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-11, atol=1e-12)
    for name, found in arrays(trained).items():
        np.testing.assert_array_equal(found, start[name])


def test_learn_counts_a_weight_without_a_gradient_as_zero():
    trained = build_model("lstm").double()
    dynamic = DynamicWeights(trained, rate=0.02, decay=0.0, epsilon=0.003)
    tokens = torch.tensor([[3, 1, 4]])

    def gradient(starts: Tensor | None) -> Tensor:
        loss = dynamic.model.nats(tokens, tokens.roll(-1, 1), None, starts)[0].mean()
        start = dynamic.model.get_parameter("start")
        found = None if starts is None else torch.autograd.grad(loss, start, retain_graph=True)[0]
        dynamic.learn(loss)
        return torch.zeros_like(start) if found is None else found

    gradient(None)
    found = gradient(torch.tensor([[True, False, False]]))

    step = 0.02 * found / ((found**2 / 2).sqrt() + 0.003)
    moved = trained.get_parameter("start") - dynamic.model.get_parameter("start")
    torch.testing.assert_close(moved.detach(), step, rtol=1e-9, atol=1e-12)


def test_learn_leaves_the_weights_at_a_gradient_that_is_not_finite():
    dynamic = DynamicWeights(build_model("gru"), rate=0.2, decay=0.1, epsilon=0.01)
    before = arrays(dynamic.model)

    assert not dynamic.learn(loss_of(dynamic.model) * float("inf"))
    for name, found in arrays(dynamic.model).items():
        np.testing.assert_array_equal(found, before[name])


def test_restore_begins_anew():
    trained = build_model("lstm-tied")
    dynamic, fresh = (DynamicWeights(trained, rate=0.2, decay=0.0, epsilon=0.01) for _ in range(2))
    dynamic.learn(loss_of(dynamic.model))
    assert any((one != arrays(trained)[name]).any() for name, one in arrays(dynamic.model).items())

    dynamic.restore()

    for name, found in arrays(dynamic.model).items():
        np.testing.assert_array_equal(found, arrays(trained)[name])
    for one in (dynamic, fresh):
        one.learn(loss_of(one.model))
    for name, found in arrays(dynamic.model).items():
        np.testing.assert_array_equal(found, arrays(fresh.model)[name])

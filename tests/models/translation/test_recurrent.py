"""Recurrent encoder-decoders, compared with loops over rows, layers and positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen import models
from seqgen.errors import ConfigError
from seqgen.models.base import IGNORED, plain_path
from seqgen.models.config import GruTranslateConfig, LstmTranslateConfig, RecurrentTranslateConfig, RnnTranslateConfig
from seqgen.models.translation.recurrent import RecurrentTranslator

from .pairs import SOURCES, TARGETS, batch

CONFIGS: dict[str, RecurrentTranslateConfig] = {
    "two-way": LstmTranslateConfig(hidden_size=8, layers=2, embedding_size=6),
    "one-way": LstmTranslateConfig(hidden_size=8, layers=2, two_way=False),
    "input feeding": GruTranslateConfig(hidden_size=8, layers=2, input_feeding=True),
    "without attention": RnnTranslateConfig(hidden_size=8, layers=2, attention="none"),
    "one layer": GruTranslateConfig(hidden_size=8, layers=1, attention="none", two_way=False, tie_weights=True),
}


def step(form: str, layer: nn.Module, x: Tensor, state: list[Tensor]) -> list[Tensor]:
    """Return the next state of a cell: hidden, and for LSTM cell."""
    from_x = layer.weight_ih_l0 @ x + layer.bias_ih_l0
    from_h = layer.weight_hh_l0 @ state[0] + layer.bias_hh_l0
    if form == "rnn":
        return [torch.tanh(from_x + from_h)]
    if form == "lstm":
        i, f, g, o = (from_x + from_h).chunk(4)
        cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return [o.sigmoid() * cell.tanh(), cell]
    (x_r, x_z, x_n), (h_r, h_z, h_n) = from_x.chunk(3), from_h.chunk(3)
    kept = (x_z + h_z).sigmoid()
    return [kept * state[0] + (1 - kept) * (x_n + (x_r + h_r).sigmoid() * h_n).tanh()]


def plain_encode(model: RecurrentTranslator, source: list[int]) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return the encoder's outputs, and its last states by layer and member."""
    config, ways = model.config, 2 if model.config.two_way else 1
    members = 2 if config.form == "lstm" else 1
    xs, ends = [model.embedding.weight[token] for token in source], []
    for depth in range(config.layers):
        outputs, last = [], []
        for way in range(ways):
            layer = model.encoder.layers[depth * ways + way]
            state, made = [xs[0].new_zeros(config.hidden_size // ways)] * members, []
            for x in xs if way == 0 else xs[::-1]:
                state = step(config.form, layer, x, state)
                made.append(state[0])
            outputs.append(made if way == 0 else made[::-1])
            last.append(state)
        ys = [torch.cat(parts) for parts in zip(*outputs, strict=True)]
        xs = [x + y for x, y in zip(xs, ys, strict=True)] if depth else ys
        ends.append([torch.cat(parts) for parts in zip(*last, strict=True)])
    return xs, ends


def plain_forward(model: RecurrentTranslator, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Return logits [T, V] and attention [T, S] of one pair."""
    config = model.config
    memory, ends = plain_encode(model, source)
    states = []
    for depth, members in enumerate(ends):
        bridged = [model.bridge[number * config.layers + depth](end) for number, end in enumerate(members)]
        states.append([bridged[0].tanh(), *bridged[1:]])
    fed, logits, attention = memory[0].new_zeros(config.hidden_size), [], []
    for token in target:
        x = model.embedding.weight[token]
        if config.input_feeding:
            x = torch.cat([x, fed])
        for depth, layer in enumerate(model.layers):
            states[depth] = step(config.form, layer, x, states[depth])
            x = x + states[depth][0] if depth else states[depth][0]
        if config.attention == "dot":
            weights = torch.stack([one @ x for one in memory]).softmax(0)
            context = sum(weight * one for weight, one in zip(weights, memory, strict=True))
            x = torch.tanh(model.attention.join.weight @ torch.cat([context, x]) + model.attention.join.bias)
            attention.append(weights)
        fed = x
        logits.append(model.head.weight @ x + model.head.bias)
    return torch.stack(logits), torch.stack(attention) if attention else torch.zeros(0)


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.fixture(params=CONFIGS)
def model(request) -> RecurrentTranslator:
    model = models.build(CONFIGS[request.param], 11).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)  # biases too
    return model


@pytest.mark.parametrize("plain", [False, True])
def test_logits_and_gradients_equal_those_of_loops(model, plain):
    made = batch()

    with plain_path(model) if plain else torch.enable_grad():
        logits, _ = model(made.inputs, model.encode(made.source, made.lengths, 8))
        loss = F.cross_entropy(logits.flatten(0, 1), made.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        found = gradients(loss, model)

    expected = torch.zeros((), dtype=torch.float64)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone, _ = plain_forward(model, source, [0, *target])
        torch.testing.assert_close(logits[row, : len(alone)], alone, rtol=0, atol=1e-9)
        expected = expected + F.cross_entropy(alone, torch.tensor([*target, 0]), reduction="sum")
    for gradient, wanted in zip(found, gradients(expected, model), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-9 * max(1.0, float(wanted.abs().max())))


@pytest.mark.parametrize(
    "model", [name for name, config in CONFIGS.items() if config.attention == "dot"], indirect=True
)
def test_attention_of_the_trace_and_of_the_stepper_equals_that_of_loops(model):
    made = batch()

    with torch.no_grad():
        trace = model.trace(made.inputs, model.encode(made.source, made.lengths, 8))["attention.attention"]
        for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
            _, expected = plain_forward(model, source, [0, *target])
            torch.testing.assert_close(trace[row, : len(expected), : len(source)], expected, rtol=0, atol=1e-9)
            assert not trace[row, :, len(source) :].any()
        stepper = model.float().stepper()
        state = stepper.select(model.encode(made.source, made.lengths, 8), torch.arange(3))
        for column in range(made.inputs.shape[1]):
            _, state = stepper.step(made.inputs[:, column], state)
            torch.testing.assert_close(state.attention.double(), trace[:, column], rtol=0, atol=1e-5)


def test_without_attention_weights_stay_zero():
    made, model = batch(), models.build(CONFIGS["without attention"], 11).eval()

    _, state = model(made.inputs, model.encode(made.source, made.lengths, 8))

    assert state.attention.shape == made.source.shape
    assert not state.attention.any()
    assert model.attention is None


def test_dropout_acts_on_source_and_target_only_in_training():
    config = GruTranslateConfig(hidden_size=8, layers=2, dropout=0.5)
    made, model = batch(), models.build(config, 11).eval()

    def read() -> tuple[Tensor, Tensor]:
        state = model.encode(made.source, made.lengths, 8)
        return state.memory, model(made.inputs, state)[0]

    assert all(map(torch.equal, read(), read()))
    model.train()
    assert not any(map(torch.equal, read(), read()))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"hidden_size": 7}, "hidden_size: 7"), ({"input_feeding": True, "attention": "none"}, "input_feeding")],
)
def test_impossible_config_is_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        LstmTranslateConfig.of(**settings)


def test_one_way_encoder_may_have_an_odd_size():
    model = models.build(LstmTranslateConfig(hidden_size=7, two_way=False), 11)

    assert model.encoder.layers[0].weight_hh_l0.shape == (28, 7)


def test_recurrent_weights_are_initialized_orthogonal():
    model = models.build(GruTranslateConfig(hidden_size=12, layers=2), 7)

    for layer in (*model.layers, *model.encoder.layers):
        for block in layer.weight_hh_l0.detach().chunk(3):
            torch.testing.assert_close(block @ block.T, torch.eye(len(block)), rtol=0, atol=1e-5)

"""The transformer with encoder and decoder, compared with loops over rows, heads and positions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen import models
from seqgen.models.base import IGNORED, plain_path
from seqgen.models.config import TransformerTranslateConfig
from seqgen.models.translation.transformer import TransformerTranslator

from .pairs import SOURCES, TARGETS, batch

HEADS, SIZE = 2, 8
CONFIGS = {
    positions: TransformerTranslateConfig(hidden_size=SIZE, layers=2, heads=HEADS, positions=positions)
    for positions in ("sinusoidal", "rope")
}


def norm(x: Tensor, layer: nn.RMSNorm) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight


def angles(position: int, size: int) -> Tensor:
    return torch.tensor([position * 100.0 ** (-2 * pair / size) for pair in range(size // 2)], dtype=torch.float64)


def rotated(x: Tensor, position: int) -> Tensor:
    """Rotate each pair (i, i + D/2) of a vector."""
    cos, sin = angles(position, len(x)).cos(), angles(position, len(x)).sin()
    first, second = x.chunk(2)
    return torch.cat([first * cos - second * sin, second * cos + first * sin])


def attended(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, rotate: bool) -> tuple[Tensor, Tensor]:
    """Attend with q [T, H] to k and v [S, H]: [T, H], and the weights [T, heads, S]."""
    outputs, weights = [], []
    for at in range(len(q)):
        heads = []
        for head in range(HEADS):
            part = slice(head * SIZE // HEADS, (head + 1) * SIZE // HEADS)
            keys = k[: at + 1 if causal else None, part]
            query = rotated(q[at, part], at) if rotate else q[at, part]
            if rotate:
                keys = torch.stack([rotated(key, place) for place, key in enumerate(keys)])
            weight = (keys @ query / math.sqrt(SIZE / HEADS)).softmax(0)
            heads.append((weight @ v[: len(keys), part], weight))
        outputs.append(torch.cat([one for one, _ in heads]))
        weights.append(torch.stack([F.pad(weight, (0, len(k) - len(weight))) for _, weight in heads]))
    return torch.stack(outputs), torch.stack(weights)


def plain_forward(model: TransformerTranslator, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Return logits [T, V], and the last layer's attention to the source [T, heads, S]."""
    rope = model.config.positions == "rope"

    def embed(tokens: list[int]) -> Tensor:
        x = model.embedding.weight[tokens] * math.sqrt(SIZE)
        if rope:
            return x
        positions = [angles(place, SIZE) for place in range(len(tokens))]
        return x + torch.stack([torch.cat([angle.sin(), angle.cos()]) for angle in positions])

    def to_itself(block: nn.Module, x: Tensor, *, causal: bool) -> Tensor:
        y = norm(x, block.attention_norm)
        q, k, v = (y @ linear.weight.T for linear in (block.query, block.key, block.value))
        made, _ = attended(q, k, v, causal=causal, rotate=rope)
        return x + made @ block.attention_output.weight.T

    def fed(block: nn.Module, x: Tensor) -> Tensor:
        y = norm(x, block.feed_forward_norm)
        return x + (F.silu(y @ block.gate.weight.T) * (y @ block.up.weight.T)) @ block.down.weight.T

    memory = embed(source)
    for block in model.encoder.blocks:
        memory = fed(block, to_itself(block, memory, causal=False))
    memory = norm(memory, model.encoder.norm)
    x, weights = embed(target), memory
    for block in model.layers:
        x = to_itself(block, x, causal=True)
        q = norm(x, block.source_norm) @ block.source_query.weight.T
        k, v = (memory @ linear.weight.T for linear in (block.source_key, block.source_value))
        made, weights = attended(q, k, v, causal=False, rotate=False)
        x = fed(block, x + made @ block.source_output.weight.T)
    return norm(x, model.norm) @ model.head.weight.T, weights


@pytest.fixture(params=CONFIGS)
def model(request) -> TransformerTranslator:
    model = models.build(CONFIGS[request.param], 11).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20.0 if parameter.dim() == 2 else 1.0).add_(torch.randn_like(parameter), alpha=0.1)
    return model


@pytest.mark.parametrize("plain", [False, True])
def test_logits_and_gradients_equal_those_of_loops(model, plain):
    made, parameters = batch(), list(model.parameters())

    with plain_path(model) if plain else torch.enable_grad():
        logits, _ = model(made.inputs, model.encode(made.source, made.lengths, 8))
        loss = F.cross_entropy(logits.flatten(0, 1), made.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        found = torch.autograd.grad(loss, parameters)

    total = torch.zeros((), dtype=torch.float64)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone, _ = plain_forward(model, source, [0, *target])
        torch.testing.assert_close(logits[row, : len(alone)], alone, rtol=0, atol=1e-9)
        total = total + F.cross_entropy(alone, torch.tensor([*target, 0]), reduction="sum")
    for gradient, wanted in zip(found, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-9 * max(1.0, float(wanted.abs().max())))


def test_attention_of_the_trace_and_of_the_stepper_equals_that_of_loops(model):
    """The stepper's is the last layer's, averaged over heads."""
    made = batch()

    with torch.no_grad():
        trace = model.trace(made.inputs, model.encode(made.source, made.lengths, 8))
        last = trace["layers.1.cross"]
        assert trace["layers.0.cross"].shape == last.shape == (*made.inputs.shape, HEADS, made.source.shape[1])
        for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
            _, expected = plain_forward(model, source, [0, *target])
            torch.testing.assert_close(last[row, : len(expected), :, : len(source)], expected, rtol=0, atol=1e-9)
            assert not last[row, :, :, len(source) :].any()
        stepper = model.float().stepper()
        state = stepper.select(model.encode(made.source, made.lengths, 8), torch.arange(3))
        for column in range(made.inputs.shape[1]):
            _, state = stepper.step(made.inputs[:, column], state)
            torch.testing.assert_close(state.attention.double(), last[:, column].mean(1), rtol=0, atol=1e-4)


def test_cache_has_the_capacity_and_the_source_its_length(model):
    made = batch()

    state = model.encode(made.source, made.lengths, 6)

    assert {keys.shape for keys in state.keys} == {(3, HEADS, 6, SIZE // HEADS)}
    assert {keys.shape for keys in state.source_keys} == {(3, HEADS, 7, SIZE // HEADS)}


def test_dropout_acts_on_source_and_target_only_in_training():
    made, model = batch(), models.build(CONFIGS["rope"].model_copy(update={"dropout": 0.5}), 11).eval()

    def read() -> tuple[Tensor, Tensor]:
        state = model.encode(made.source, made.lengths, 8)
        return state.source_keys[0], model(made.inputs, state)[0]

    assert all(map(torch.equal, read(), read()))
    model.train()
    assert not any(map(torch.equal, read(), read()))

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from seqgen import models
from seqgen.models.config import TransformerConfig
from seqgen.models.transformer import model as transformer
from seqgen.models.transformer.positions import frequencies, rotary, rotate, rotation_of

CONFIG = TransformerConfig(hidden_size=16, layers=1, heads=2, block_size=4)


TWO_DOCUMENTS = torch.tensor([[0, 1, 2, 0, 1, 2]])


def test_forward_of_one_block_equals_its_equations():
    """Pre-norm attention and SwiGLU, written out for one sequence with loops over heads and positions."""
    model = models.build(CONFIG, 7).eval()
    (block,) = model.blocks
    tokens = torch.tensor([[3, 1, 4]])

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    with torch.no_grad():
        x = model.embedding.weight[tokens[0]]
        y = norm(x, block.attention_norm.weight)
        heads = []
        for head in range(2):
            rows = slice(8 * head, 8 * head + 8)
            rotation = rotation_of(*(part.float() for part in rotary(torch.arange(3)[None], frequencies(8, 10_000.0))))
            q, k = (
                rotate((y @ linear.weight[rows].T)[None, None], rotation)[0, 0] for linear in (block.query, block.key)
            )
            v = y @ block.value.weight[rows].T
            outputs = []
            for at in range(3):
                weights = torch.softmax(q[at] @ k[: at + 1].T / math.sqrt(8), dim=-1)
                outputs.append(weights @ v[: at + 1])
            heads.append(torch.stack(outputs))
        x = x + torch.cat(heads, dim=1) @ block.attention_output.weight.T
        y = norm(x, block.feed_forward_norm.weight)
        x = x + (F.silu(y @ block.gate.weight.T) * (y @ block.up.weight.T)) @ block.down.weight.T
        expected = norm(x, model.norm.weight) @ model.head.weight.T
        found, _ = model(tokens)

    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-6)


def test_weights_are_initialized_as_in_gpt_2():
    """Every matrix has the deviation 0.02; those that add to the residual stream are divided by sqrt(2 x layers)."""
    model = models.build(TransformerConfig(hidden_size=128, layers=8), 97)

    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, torch.ones(128))
        else:
            deviation = 0.02 / 4 if name.endswith(("attention_output.weight", "down.weight")) else 0.02
            assert float(parameter.detach().std()) == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize(
    ("length", "starts", "masked"), [(4, False, False), (4, True, True), (5, False, True)], ids=["whole", "cut", "long"]
)
def test_only_a_fresh_window_of_one_document_needs_no_mask(monkeypatch, length, starts, masked):
    model = models.build(CONFIG, 7).eval()
    masks, attend = [], transformer.attend
    monkeypatch.setattr(transformer, "attend", lambda *args: masks.append(args[-1]) or attend(*args))

    model(torch.ones(2, length, dtype=torch.int64), None, torch.zeros(2, length, dtype=torch.bool) if starts else None)

    assert [mask is not None for mask in masks] == [masked] * len(model.blocks)


def test_attention_reaches_block_size_tokens():
    model = models.build(CONFIG, 7).eval()
    tokens = torch.randint(1, 7, (1, 9))
    changed = tokens.clone()
    changed[0, 2] = changed[0, 2] % 6 + 1

    with torch.no_grad():
        logits, _ = model(tokens, model.initial_state(1, 9))
        others, _ = model(changed, model.initial_state(1, 9))

    differs = (logits != others).any(dim=-1)[0].tolist()
    assert differs == [False] * 2 + [True] * 4 + [False] * 3


def test_cache_is_at_most_block_size_or_capacity():
    model = models.build(CONFIG, 7)

    for capacity, ring in ((100, 4), (3, 3)):
        state = model.initial_state(2, capacity)
        assert [cache.shape for cache in state.keys + state.values] == [(2, 2, ring, 8)] * 2
        assert state.position.shape == state.begin.shape == (2,)


def test_positions_restart_at_a_document():
    config = TransformerConfig(hidden_size=16, layers=1, heads=2, block_size=4, positions="sinusoidal")
    model = models.build(config, 7).eval()

    logits, _ = model(TWO_DOCUMENTS, model.initial_state(1, 6), TWO_DOCUMENTS == 0)

    torch.testing.assert_close(logits[0, :3], logits[0, 3:])


def test_feed_forward_is_eight_thirds_of_the_hidden_size():
    model = models.build(TransformerConfig(hidden_size=128, layers=1, heads=4), 7)

    assert model.blocks[0].gate.weight.shape == (352, 128)


@pytest.mark.parametrize(("layers", "block_size", "tokens"), [(1, 64, 256), (4, 64, 256), (3, 100, 300)])
def test_burn_in_is_the_reach_of_attention_through_all_layers(layers, block_size, tokens):
    config = TransformerConfig(hidden_size=16, layers=layers, heads=2, block_size=block_size)

    assert models.build(config, 7).burn_in == tokens


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("limit", [0, 10**9])
def test_attend_agrees_with_plain_products(monkeypatch, limit, masked):
    monkeypatch.setattr(transformer, "FULL_SCORES", limit)
    q, k, v = (torch.randn(2, 3, 9, 8).bfloat16().requires_grad_() for _ in range(3))
    wide = [member.detach().double().requires_grad_() for member in (q, k, v)]
    mask = (torch.rand(2, 1, 9, 9) < 0.5) | torch.eye(9, dtype=torch.bool) if masked else None

    transformer.attend(q, k, v, mask).sum().backward()
    y, attention = transformer.attend_plainly(*wide, mask)
    y.sum().backward()

    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3, 9).double())
    for found, expected in zip((q, k, v), wide, strict=True):
        torch.testing.assert_close(found.grad.double(), expected.grad, rtol=0.05, atol=0.05)


def test_trace_names_all_parts_of_a_block():
    model = models.build(CONFIG, 7).eval()

    trace = model.trace(torch.ones(2, 3, dtype=torch.int64))

    parts = {"embedded", "layers.0.attention", "layers.0.attended", "layers.0.gate", "stream.0", "hidden", "logits"}
    assert trace.keys() == parts
    assert trace["layers.0.attention"].shape == (2, 3, CONFIG.heads, 3)

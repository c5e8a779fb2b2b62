"""Norms of gradients against finite formulas, independent graphs and small loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqgen.errors import ConfigError, RunError, TextError
from seqgen.inspection.gradients import (
    GradientNorms,
    choose_positions,
    measure_gradients,
    norms_back,
    record_states,
    untrained_model,
    vector_norm,
)
from seqgen.models.recurrent.model import CELLS, RecurrentLayer

TEXT = "The sailor watches the river.\nA child"
DISTANCE = len(TEXT) - 2
"""So that the last but one token is the only position."""


def nearest(run, text):
    """Return the ids of a text, after the boundary, and where documents start."""
    tokens = torch.tensor([[0, *run.tokenizer.encode(text).tolist()]])
    return tokens[:, :-1], tokens[:, -1], tokens[:, :-1] == 0


def loss_of(model, logits, target):
    return F.cross_entropy(logits[:, -1], target)


@pytest.mark.parametrize(("x", "first", "expected"), [(-0.5, 0.0, 9.0), (0.0, 0.0, 0.0211438), (1.0, 0.5, 1.093e-7)])
def test_gradient_of_the_toy_cell_explodes_and_vanishes(x, first, expected):
    """h_t = tanh(2 x_t + 3 h_(t-1) + 1): d h_3 / d h_1 = 9 (1 - h_2^2) (1 - h_3^2)."""
    layer = RecurrentLayer(CELLS["rnn"], 1, 1).double()
    with torch.no_grad():
        for weight, value in zip(layer.weights, (2.0, 3.0, 1.0, 0.0), strict=True):
            weight.fill_(value)
    x_1 = (math.atanh(first) - 1) / 2  # makes h_1 from h_0 = 0
    inputs = torch.tensor([[[x_1], [x], [x]]], dtype=torch.float64)

    with record_states(layer) as states:
        outputs, _ = layer(inputs, (torch.zeros(1, 1, dtype=torch.float64),), None)
    norms = norms_back(outputs[:, 2].sum(), states)["hidden"]

    h_1, h_2, h_3 = outputs.flatten().tolist()
    assert h_1 == pytest.approx(first)
    assert norms.tolist() == [pytest.approx([1.0, 3 * (1 - h_3**2), 9 * (1 - h_2**2) * (1 - h_3**2)])]
    assert norms[0, 2].item() == pytest.approx(expected, rel=1e-3)


def test_record_states_restores_the_cells_and_the_fast_path():
    layer = RecurrentLayer(CELLS["gru"], 3, 3)
    with record_states(layer) as states:
        layer(torch.randn(2, 4, 3), (torch.zeros(2, 3),), None)
    layer(torch.randn(2, 4, 3), (torch.zeros(2, 3),), None)

    assert [len(steps) for steps in states.values()] == [4]
    assert layer.cell is CELLS["gru"]
    assert not layer.plain


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_state_gradients_are_those_with_respect_to_a_state_that_the_model_continues(make_run, corpus, cell):
    run = make_run(corpus, cell)
    found = {one.of: one.norms[0] for one in measure_gradients(run, [TEXT], distance=DISTANCE).norms}

    model = run.model.double().requires_grad_(True)
    tokens, target, starts = nearest(run, TEXT)
    for k in (1, 2, 17):
        _, state = model(tokens[:, :-k], model.initial_state(1, 64), starts[:, :-k])
        members = [member.detach().requires_grad_() for member in state.tensors().values()]
        logits, _ = model(tokens[:, -k:], model.cell.state(*members))
        gradients = torch.autograd.grad(loss_of(model, logits, target), members)
        norms = [gradient.norm().item() for gradient in gradients]
        if cell != "lstm":
            assert found["layers.0.hidden"][k] == pytest.approx(norms[0])
            continue
        assert found["layers.0.hidden"][k] == pytest.approx(norms[0])
        assert found["layers.0.hidden+cell"][k] == pytest.approx(math.hypot(*norms))
        shown = model.trace(tokens[:, :-k], None, starts[:, :-k])
        slope = shown["layers.0.output"][0, -1] * (1 - torch.tanh(shown["layers.0.cell"][0, -1]) ** 2)
        total = gradients[1][0, 0] + slope * gradients[0][0, 0]
        assert found["layers.0.cell"][k] == pytest.approx(total.norm().item())


def test_gradient_at_k_0_is_that_of_the_head(make_run, corpus):
    run = make_run(corpus, "lstm")
    found = {one.of: one.norms[0] for one in measure_gradients(run, [TEXT], distance=DISTANCE).norms}

    model = run.model.double()
    tokens, target, starts = nearest(run, TEXT)
    trace = model.trace(tokens, None, starts)
    error = trace["logits"][0, -1].softmax(0) - F.one_hot(target, run.tokenizer.vocab_size)[0]
    by_hidden = error @ model.head.weight
    by_cell = by_hidden * trace["layers.0.output"][0, -1] * (1 - torch.tanh(trace["layers.0.cell"][0, -1]) ** 2)
    assert found["layers.0.hidden"][0] == pytest.approx(by_hidden.norm().item())
    assert found["layers.0.cell"][0] == pytest.approx(by_cell.norm().item())
    assert found["layers.0.hidden+cell"][0] == pytest.approx(by_hidden.norm().item())


def test_gradient_of_a_lower_layer_counts_the_paths_through_the_upper_one(make_run, corpus):
    """Against a loop over the equations, where a summand of one state takes the gradient."""
    run = make_run(corpus, "rnn", layers=2)
    found = {one.of: one.norms[0] for one in measure_gradients(run, [TEXT], distance=DISTANCE).norms}

    model = run.model.double()
    tokens, target, _ = nearest(run, TEXT)
    first, second = ([weight.detach() for weight in layer.weights] for layer in model.recurrent_layers)
    for k in (0, 1, 9):
        for layer in (0, 1):
            added = torch.zeros(16, dtype=torch.float64, requires_grad=True)
            below = above = torch.zeros(16, dtype=torch.float64)
            for place, token in enumerate(tokens[0, 1:].tolist()):
                mark = added if place == DISTANCE - k else 0.0
                x = model.embedding.weight[token].detach()
                below = torch.tanh(first[0] @ x + first[2] + first[1] @ below + first[3]) + (0.0 if layer else mark)
                above = torch.tanh(second[0] @ below + second[2] + second[1] @ above + second[3]) + (
                    mark if layer else 0.0
                )
            loss = F.cross_entropy(model.head(below + above)[None], target)
            (gradient,) = torch.autograd.grad(loss, added)
            assert found[f"layers.{layer}.hidden"][k] == pytest.approx(gradient.norm().item())


@pytest.mark.parametrize("cell", ["gru", "transformer"])
def test_input_gradients_are_those_of_the_traced_embedding(make_run, corpus, cell):
    run = make_run(corpus, cell)
    (found,) = measure_gradients(run, [TEXT], of="input", distance=DISTANCE).norms

    model = run.model.double().requires_grad_(True)
    tokens, target, starts = nearest(run, TEXT)
    trace = model.trace(tokens, None, starts)
    (gradient,) = torch.autograd.grad(loss_of(model, trace["logits"], target), trace["embedded"])
    assert found.of == "input"
    np.testing.assert_allclose(found.norms[0], gradient[0, 1:].norm(dim=1).flip(0), rtol=1e-6)


def test_input_gradients_of_a_window_end_with_it(make_run, corpus):
    run = make_run(corpus, "window", context_size=5)
    (found,) = measure_gradients(run, [TEXT], of="input", distance=DISTANCE).norms

    model = run.model.double().requires_grad_(True)
    tokens, target, starts = nearest(run, TEXT)
    trace = model.trace(tokens, None, starts)
    (gradient,) = torch.autograd.grad(loss_of(model, trace["logits"], target), trace["embedded"])
    np.testing.assert_allclose(found.norms[0, :5], gradient[0, -1].norm(dim=1).flip(0), rtol=1e-6)
    assert not found.norms[0, 5:].any()
    assert (found.horizon, found.fit_range) == (5, (1, 4))


def test_positions_of_short_and_long_documents_are_measured_each_in_its_own(make_run, corpus):
    """Rows that begin with the document, next to rows that begin in its middle."""
    run, long = make_run(corpus, "gru"), corpus.read_text("utf-8")[:400]
    documents = [TEXT, long]
    ids = [run.tokenizer.encode(document) for document in documents]

    (found,) = measure_gradients(run, documents, distance=20, positions=32).norms

    chosen = choose_positions(ids, 20, 32)
    owners = [next(number for number, one in enumerate(ids) if one is of) for of, _ in chosen]
    assert set(owners) == {0, 1}
    for row in (owners.index(0), 31):
        text = documents[owners[row]][: chosen[row][1] + 2]
        (alone,) = measure_gradients(run, [text], distance=len(text) - 2).norms
        np.testing.assert_allclose(found.norms[row], alone.norms[0, :21], rtol=1e-3)


def test_choose_positions_leaves_room_before_and_after():
    short, exact, long = (np.arange(1, length + 1, dtype=np.int32) for length in (11, 12, 30))

    chosen = choose_positions([short, exact, long], 10, 100)

    assert [(len(ids), t) for ids, t in chosen] == [(12, 10), *((30, t) for t in range(10, 29))]
    few = [t for _, t in choose_positions([long], 10, 5)]
    assert few == sorted(set(few))
    assert few == [t for _, t in choose_positions([long], 10, 5)]
    with pytest.raises(TextError, match=r"11 .* 10 .* 12"):
        choose_positions([short], 10, 5)
    with pytest.raises(TextError, match="0 tokens"):
        choose_positions([], 10, 5)


def test_geometric_norms_have_their_decay_and_horizon():
    k = np.arange(21)
    halved = GradientNorms("layers.0.hidden", np.stack([0.3 * 0.5**k, 30 * 0.5**k]))
    growing = GradientNorms("layers.0.hidden", 1.1 ** k[None])

    np.testing.assert_allclose(halved.mean, 3 * 0.5**k)
    assert halved.decay == pytest.approx(0.5)
    assert (halved.horizon, halved.fit_range) == (10, (1, 20))
    assert halved.distance_left(0.25) == 2
    assert growing.decay == pytest.approx(1.1)
    assert growing.horizon is None
    np.testing.assert_allclose(halved.quantile(1.0), 30 * 0.5**k)


def test_norms_that_end_at_0_are_fitted_before_it():
    ended = GradientNorms("input", np.array([[8.0, 4.0, 2.0, 0.0, 1.0], [8.0, 4.0, 2.0, 1.0, 1.0]]))
    at_once = GradientNorms("input", np.array([[8.0, 4.0, 0.0]]))

    assert ended.mean.tolist() == pytest.approx([8.0, 4.0, 2.0, 0.0, 1.0])
    assert (ended.fit_range, ended.horizon) == ((1, 2), 3)
    assert ended.decay == pytest.approx(0.5)
    assert (at_once.decay, at_once.horizon) == (None, 2)


def test_vector_norm_of_tiny_and_huge_vectors():
    vectors = torch.tensor([[3e-200, 4e-200], [3e200, -4e200], [0.0, 0.0]], dtype=torch.float64)

    assert vector_norm(vectors).tolist() == pytest.approx([5e-200, 5e200, 0.0])


def test_norms_below_fp32_are_measured_and_those_below_fp64_are_0(make_run, corpus):
    run = make_run(corpus, "rnn")
    with torch.no_grad():
        run.model.layers[0].weight_hh_l0.mul_(1e-7)

    (found,) = measure_gradients(run, [corpus.read_text("utf-8")], distance=60, positions=3).norms

    assert 0 < found.mean[20] < 1e-120
    assert found.mean[60] == 0
    assert 20 < found.fit_range[1] < 60
    assert 0 < found.decay < 1e-6


@pytest.mark.slow
def test_exploding_gradients_are_measured(make_run, corpus):
    run = make_run(corpus, "rnn", activation="relu")
    with torch.no_grad():
        run.model.layers[0].weight_hh_l0.mul_(10)

    (found,) = measure_gradients(run, [TEXT], distance=20).norms

    assert found.decay > 2
    assert found.horizon is None


@pytest.mark.slow
def test_untrained_model_has_the_weights_that_training_began_with(make_run, corpus):
    run = make_run(corpus, "gru", max_steps=1, eval_every=1, lr=1e-12, seed=3)

    for name, weight in untrained_model(run).state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("cell", "bias"), [("lstm", {"forget": 1.0}), ("gru", {"update": 0.0}), ("rnn", {})])
def test_gradients_of_untrained_weights_name_the_bias_of_the_gate(make_run, corpus, cell, bias):
    run = make_run(corpus, cell)

    untrained = measure_gradients(run, [TEXT], distance=5, positions=2, trained=False)
    trained = measure_gradients(run, [TEXT], distance=5, positions=2)

    assert (untrained.trained, trained.trained) == (False, True)
    assert untrained.gate_bias == bias
    assert trained.gate_bias.keys() == bias.keys()
    assert not np.allclose(untrained.norms[0].norms, trained.norms[0].norms, rtol=1e-4)
    assert (untrained.cell, untrained.positions, untrained.distance, untrained.clip_norm) == (cell, 2, 5, 1.0)


def test_progress_counts_positions(make_run, corpus):
    seen = []

    measure_gradients(
        make_run(corpus, "gru"), [corpus.read_text("utf-8")], distance=2, positions=40,
        progress=lambda *counts: seen.append(counts),
    )  # fmt: skip

    assert seen == [(16, 40), (32, 40), (40, 40)]


def test_measure_gradients_leaves_the_model_as_it_was(make_run, corpus):
    run = make_run(corpus, "gru")
    before = {name: weight.clone() for name, weight in run.model.state_dict().items()}

    measure_gradients(run, [TEXT], distance=3, positions=2)

    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in run.model.state_dict().items())


def test_measure_gradients_refuses_what_it_cannot_measure(make_run, corpus):
    with pytest.raises(ConfigError, match="--of input"):
        measure_gradients(make_run(corpus, "transformer"), [TEXT], distance=5)
    broken = make_run(corpus, "rnn")
    with torch.no_grad():
        broken.model.head.weight.fill_(math.nan)
    with pytest.raises(RunError, match="NaN"):
        measure_gradients(broken, [TEXT], distance=5)


@pytest.mark.slow
def test_distance_ends_at_the_positions_of_the_model(make_run, corpus):
    limited = make_run(corpus, "transformer", positions="sinusoidal", block_size=16)

    with pytest.raises(ConfigError, match="--distance 14"):
        measure_gradients(limited, [TEXT], of="input", distance=15)
    assert measure_gradients(limited, [TEXT], of="input", distance=14).distance == 14

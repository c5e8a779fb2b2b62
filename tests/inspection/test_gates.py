from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen.errors import ConfigError, TextError
from seqgen.inspection import trace
from seqgen.inspection.gates import LEFT, RIGHT, SMALLEST, gated_cell, measure_gates
from seqgen.inspection.trace import neural_part, trace_text

TEXTS = ["The sailor watches the river.\n", "", "A child"]


@pytest.mark.parametrize(
    ("cell", "settings", "names", "retention"),
    [
        ("lstm", {"layers": 2}, ["input", "forget", "output"], "forget"),
        ("gru", {}, ["reset", "update"], "update"),
        ("gru", {"gru_reset": "before", "layers": 2}, ["reset", "update"], "update"),
    ],
)
def test_measure_gates_counts_every_token_of_every_document(make_run, corpus, cell, settings, names, retention):
    run = make_run(corpus, cell, **settings)

    found = measure_gates(run, TEXTS)

    assert (found.cell, found.tokens, found.retention) == (cell, 37, retention)
    assert list(found.gates) == names
    layers = settings.get("layers", 1)
    traces = [trace_text(run, text, "layers.*").values for text in TEXTS if text]
    for name, gate in found.gates.items():
        values = np.stack(
            [np.concatenate([values[f"layers.{layer}.{name}"] for values in traces]) for layer in range(layers)], 1
        )
        assert values.shape == (37, layers, 16)
        np.testing.assert_allclose(gate.mean, values.mean(0), atol=1e-6)
        np.testing.assert_allclose(gate.left, (values < LEFT).mean(0))
        np.testing.assert_allclose(gate.right, (values > RIGHT).mean(0))
        if name == retention:
            kept = values.astype(float)
            np.testing.assert_allclose(found.half_life, math.log(0.5) / np.log(kept).mean(0), rtol=1e-6)
            np.testing.assert_allclose(0.5, np.exp(np.log(kept).mean(0) * found.half_life))  # the definition
    assert not found.limited.any()


@pytest.fixture
def make_lstm(make_run, corpus):
    """Return a function that gives an lstm of four units, whose forget gates have the same sums at every token."""

    def make(sums):
        run = make_run(corpus, "lstm", hidden_size=4)
        weights = run.model.recurrent_layers[0].weights
        with torch.no_grad():
            for weight in weights:
                weight.zero_()
            weights.b_ih[4:8] = torch.tensor(sums)
        return run

    return make


def test_half_life_of_a_constant_forget_gate_is_that_of_its_power(make_lstm):
    run = make_lstm([math.log(f / (1 - f)) for f in (0.5, 0.25, 0.95, 0.05)])

    found = measure_gates(run, ["sailor"])

    np.testing.assert_allclose(found.half_life, [[1, 0.5, 13.513407, 0.231378]], rtol=1e-5)
    np.testing.assert_allclose(found.gates["forget"].mean, [[0.5, 0.25, 0.95, 0.05]], rtol=1e-6)
    assert found.gates["forget"].left.tolist() == [[0, 0, 0, 1]]
    assert found.gates["forget"].right.tolist() == [[0, 0, 1, 0]]
    assert found.longest(3) == [(0, 2), (0, 0), (0, 1)]
    np.testing.assert_allclose(found.half_life_quantiles([0, 0.5, 1]), [[0.231378, 0.75, 13.513407]], rtol=1e-5)


def test_half_life_of_a_gate_rounded_to_0_or_1_is_limited_and_counted(make_lstm):
    run = make_lstm([-200.0, 200.0, 0.0, 12.0])

    found = measure_gates(run, ["sailor"])

    assert found.limited.tolist() == [[1, 1, 0, 0]]
    shortest, longest = math.log(0.5) / math.log(SMALLEST), math.log(0.5) / math.log1p(-SMALLEST)
    assert shortest == pytest.approx(1 / 24)
    np.testing.assert_allclose(found.half_life[0, :3], [shortest, longest, 1])
    assert found.half_life[0, 3] < longest == pytest.approx(11_629_080)


def test_measure_gates_reports_progress_within_documents(make_run, corpus, monkeypatch):
    run = make_run(corpus, "gru")
    whole = measure_gates(run, TEXTS)
    monkeypatch.setattr(trace, "CHUNK", 20)  # the boundary is the first of them
    seen = []

    found = measure_gates(run, TEXTS, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(19, 37), (30, 37), (37, 37)]
    np.testing.assert_allclose(found.half_life, whole.half_life, rtol=1e-4)


def test_measure_gates_takes_the_member_of_a_mixture(make_run, corpus):
    run = neural_part(make_run(corpus, "gru+ngram"))

    assert measure_gates(run, TEXTS).half_life.shape == (1, 16)


def test_measure_gates_refuses_models_without_gates_and_no_text(make_run, corpus):
    for cell, command in (("rnn", "gradients"), ("transformer", "context"), ("window", "context")):
        with pytest.raises(ConfigError, match=f"{cell}.*no gates.*inspect {command}"):
            gated_cell(make_run(corpus, cell))
    with pytest.raises(TextError, match="empty"):
        measure_gates(make_run(corpus, "gru"), [""])

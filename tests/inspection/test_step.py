from __future__ import annotations

import math
import re

import numpy as np
import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.inspection.step import EQUATIONS, step_text
from seqgen.inspection.trace import neural_part, trace_text
from seqgen.models.recurrent.model import CELLS
from seqgen.tokenizers.base import END_NAME, UNKNOWN_NAME

FORMS = {
    "rnn": {},
    "lstm": {"layers": 2},
    "gru": {},
    "gru-before": {"cell": "gru", "gru_reset": "before", "layers": 2},
}
RIGHT_SIDES = {
    "rnn": {"h'": "tanh(W x + U h + b)"},
    "lstm": {
        "f": "sigmoid(W_f x + U_f h + b_f)",
        "i": "sigmoid(W_i x + U_i h + b_i)",
        "g": "tanh(W_g x + U_g h + b_g)",
        "o": "sigmoid(W_o x + U_o h + b_o)",
        "c'": "f * c + i * g",
        "h'": "o * tanh(c')",
    },
    "gru": {
        "r": "sigmoid(W_r x + U_r h + b_r)",
        "z": "sigmoid(W_z x + U_z h + b_z)",
        "h~": "tanh(W x + b + r * (U h + b'))",
        "h'": "z * h + (1 - z) * h~",
    },
    "gru-before": {
        "r": "sigmoid(W_r x + U_r h + b_r)",
        "z": "sigmoid(W_z x + U_z h + b_z)",
        "h~": "tanh(W x + U (r * h) + b)",
        "h'": "z * h + (1 - z) * h~",
    },
}
NAMES = {"f": "forget", "i": "input", "g": "candidate", "o": "output", "r": "reset", "z": "update", "h~": "candidate",
         "c'": "cell", "h'": "hidden"}  # fmt: skip
TEXT = "the river"


@pytest.fixture(params=FORMS)
def form(request, make_run, corpus):
    """The form of a recurrent cell, and a run of it."""
    settings = {"cell": request.param, **FORMS[request.param]}
    return request.param, make_run(corpus, **settings)


def test_every_form_of_a_cell_has_equations():
    assert EQUATIONS.keys() >= CELLS.keys()


def test_equations_hold_with_the_numbers_of_the_trace(form):
    name, run = form
    steps = step_text(run, TEXT, units=5)
    trace = trace_text(run, TEXT, "layers.*").values

    assert steps.tokens == list(TEXT)
    assert len(steps.units) == 5
    assert {unit.layer for unit in step_text(run, TEXT, units=99).units} == set(range(run.config.model.layers))
    for unit in steps.units:
        states = {"h": 0.0, "c": 0.0}
        for place, equations in enumerate(unit.equations):
            assert {one.symbol: one.formula for one in equations} == RIGHT_SIDES[name]
            values = {one.symbol: one.value for one in equations}
            for one in equations:
                assert one.compute(*one.numbers.values()) == pytest.approx(one.value, abs=1e-12)
                known = {**states, **values}
                assert all(number == known[key] for key, number in one.numbers.items() if key in known)
                traced = trace[f"layers.{unit.layer}.{NAMES[one.symbol]}"][place, unit.unit]
                assert one.value == pytest.approx(traced, abs=1e-5)
            states |= {key.removesuffix("'"): value for key, value in values.items() if key.endswith("'")}


def test_products_of_the_equations_are_those_of_the_weights(make_run, corpus):
    run = make_run(corpus, "lstm", layers=2)
    steps = step_text(run, TEXT, layer=1, unit=3)
    trace = trace_text(run, TEXT, "layers.1.hidden", "stream.0").values
    w_ih, w_hh, b_ih, b_hh = (weight.detach().numpy() for weight in run.model.recurrent_layers[1].weights)

    forget, row, place = steps.units[0].equations[4][0], 16 + 3, 4

    assert forget.symbol == "f"
    assert forget.numbers["W_f x"] == pytest.approx(w_ih[row] @ trace["stream.0"][place], abs=1e-5)
    assert forget.numbers["U_f h"] == pytest.approx(w_hh[row] @ trace["layers.1.hidden"][place - 1], abs=1e-5)
    assert forget.numbers["b_f"] == pytest.approx(b_ih[row] + b_hh[row], abs=1e-6)


@pytest.mark.parametrize("cell", ["gru", "transformer"])
def test_next_tokens_have_the_nats_of_score(make_run, corpus, cell):
    run = make_run(corpus, cell)

    steps = step_text(run, TEXT, top=3)

    assert [one.actual for one in steps.next_tokens] == [*TEXT, None]
    *nats, last = [one.nats for one in steps.next_tokens]
    assert last is None
    np.testing.assert_allclose(nats, run.score(TEXT).nats, atol=1e-4)
    for one in steps.next_tokens:
        shares = [probability for _, probability in one.top]
        assert len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        found = dict(one.top)
        assert one.actual not in found or found[one.actual] == pytest.approx(math.exp(-one.nats))


def test_top_of_all_tokens_adds_up_to_1_with_the_end_and_bytes_by_name(make_run, corpus):
    run = make_run(corpus, "gru", tokenizer="byte")

    steps = step_text(run, "é", top=300)

    assert steps.tokens == [r"\xc3", r"\xa9"]
    for one in steps.next_tokens:
        assert math.fsum(share for _, share in one.top) == pytest.approx(1)
        assert len(one.top) == 257
        assert {END_NAME, "a", r"\xc3"} < dict(one.top).keys()


def test_tokens_that_are_not_in_the_vocabulary_have_a_name(make_run, corpus):
    steps = step_text(make_run(corpus, "gru"), "a가")

    assert steps.tokens == ["a", UNKNOWN_NAME]
    assert steps.next_tokens[1].actual == UNKNOWN_NAME


def test_step_text_chooses_the_units_that_change_most(make_run, corpus):
    run = make_run(corpus, "gru", layers=2)
    trace = trace_text(run, TEXT, "layers.*.hidden").values
    hidden = np.stack([trace[f"layers.{layer}.hidden"] for layer in range(2)], 1)
    change = np.abs(np.diff(hidden, axis=0, prepend=0)).mean(0)

    def places(**settings):
        return [(unit.layer, unit.unit) for unit in step_text(run, TEXT, **settings).units]

    assert places() == [divmod(change.argmax(), 16)]
    assert places(layer=1) == [(1, change[1].argmax())]
    assert places(layer=0, unit=7) == [(0, 7)]
    best = change[0].argsort()[::-1].tolist()
    assert places(layer=0, unit=best[1], units=3) == [(0, best[1]), (0, best[0]), (0, best[2])]


def test_attention_of_a_transformer_reaches_the_start_and_the_tokens_so_far(make_run, corpus):
    run = make_run(corpus, "transformer", layers=2, block_size=4)
    trace = trace_text(run, "river", "layers.*.attention").values

    steps = step_text(run, "river")

    assert steps.units == []
    assert steps.attention.shape == (2, 5, 6)
    np.testing.assert_allclose(steps.attention.sum(-1), 1)
    assert (np.triu(steps.attention[0], 2) == 0).all()
    assert (steps.attention[:, 4, :2] == 0).all()  # out of the reach of 4 tokens
    assert (steps.attention[:, 4, 2:] > 0).all()
    for layer in range(2):
        heads = trace[f"layers.{layer}.attention"]  # [N, heads, K], caches of earlier tokens first
        np.testing.assert_allclose(steps.attention[layer], heads[..., -6:].mean(1), atol=1e-5)


def test_step_text_takes_the_member_of_a_mixture_and_leaves_it_unchanged(make_run, corpus):
    run = make_run(corpus, "gru+ngram")
    before = run.evaluate_text(TEXT).nats_per_token

    steps = step_text(neural_part(run), TEXT)

    assert steps.cell == "gru"
    assert run.evaluate_text(TEXT).nats_per_token == before


def test_step_text_refuses_what_a_model_does_not_have(make_run, corpus):
    one, two = make_run(corpus, "gru"), make_run(corpus, "gru", layers=2)
    for run, settings, words in (
        (one, {"unit": 16}, "unit: .* 0 to 15, not 16"),
        (one, {"unit": -1}, "unit: .*not -1"),
        (one, {"layer": 1, "unit": 0}, "layer: .* 0 to 0, not 1"),
        (two, {"unit": 3}, "--layer"),
        (make_run(corpus, "transformer"), {"unit": 3}, "^unit: .*transformer"),
        (make_run(corpus, "transformer"), {"layer": 0}, "^layer: .*transformer"),
        (make_run(corpus, "window"), {}, "window"),
        (make_run(corpus, "gru+ngram").members["ngram"], {}, "ngram"),
    ):
        with pytest.raises(ConfigError, match=words):
            step_text(run, TEXT, **settings)
    with pytest.raises(TextError, match="empty"):
        step_text(one, "")
    short = make_run(corpus, "transformer", positions="sinusoidal", block_size=16)
    assert len(step_text(short, "x" * 15).tokens) == 15
    with pytest.raises(TextError, match=re.escape("15 positions")):
        step_text(short, "x" * 16)

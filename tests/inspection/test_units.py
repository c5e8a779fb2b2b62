from __future__ import annotations

import numpy as np
import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.inspection import units
from seqgen.inspection.probes import inside_quotes, probe_tokens
from seqgen.inspection.trace import trace_text
from seqgen.inspection.units import (
    Place,
    UnitTrace,
    color_scale,
    correlate,
    find_similar,
    find_units,
    first_tokens,
    trace_units,
    unit_thresholds,
)

CODE = 'def f(a, b):\n    return g("x", [a, b])\n\n' * 20
TEXT = "The sailor watches the river.\nA child"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def planted():
    """A trace of code with 2 x 5 units of noise, of which a.hidden:3 is high in quotes, and b.hidden:1 low."""
    values = noise(len(CODE), 10)
    quotes = inside_quotes(CODE)
    values[:, 3] = 2 * quotes + 0.3 * values[:, 3]
    values[:, 6] = -3 * quotes + 1.5 * values[:, 6]
    return UnitTrace([list(CODE)], {"a.hidden": 5, "b.hidden": 5}, values)


@pytest.mark.parametrize(
    ("cell", "layers"),
    [
        ("lstm", ["layers.0.hidden", "layers.0.cell"]),
        ("transformer", ["stream.0"]),
        ("window", ["layers.0.hidden"]),
    ],
)
def test_trace_units_has_the_states_of_every_document(make_run, corpus, cell, layers):
    run = make_run(corpus, cell, layers=1)
    seen = []

    trace = trace_units(run, [TEXT, "A child"], progress=lambda *done: seen.append(done))

    assert trace.layers == dict.fromkeys(layers, 16)
    assert trace.documents == [list(TEXT), list("A child")]
    assert trace.starts.tolist() == [0, len(TEXT)]
    assert seen == [(len(TEXT), len(TEXT) + 7), (len(TEXT) + 7, len(TEXT) + 7)]
    for start, text in ((0, TEXT), (len(TEXT), "A child")):
        alone = trace_text(run, text, layers[-1]).values[layers[-1]]
        np.testing.assert_array_equal(trace.values[start : start + len(text), -16:], alone)
    np.testing.assert_array_equal(trace.unit(f"{layers[-1]}:5"), trace.values[:, len(layers) * 16 - 11])


def test_trace_units_refuses_an_empty_text_and_one_with_too_many_values(make_run, corpus, monkeypatch):
    run = make_run(corpus, "rnn", layers=1)
    with pytest.raises(TextError, match="empty"):
        trace_units(run, [""])
    monkeypatch.setattr(units, "MOST_VALUES", 16 * 36)

    with pytest.raises(TextError, match=r"37 tokens.*36 tokens"):
        trace_units(run, [TEXT])
    assert len(trace_units(run, [TEXT[:36]]).values) == 36


def test_first_tokens_cuts_the_last_document(make_run, corpus):
    run = make_run(corpus, "rnn", layers=1)

    assert first_tokens(run, ["abc", "de"], 3) == ["abc"]
    assert first_tokens(run, ["abc", "de"], 4) == ["abc", "d"]
    assert first_tokens(run, ["abc", "de"], 9) == ["abc", "de"]


@pytest.mark.parametrize("name", ["c.hidden:1", "a.hidden", "a.hidden:5", "a.hidden:-1", "a.hidden:x", ""])
def test_column_refuses_an_unknown_unit(planted, name):
    with pytest.raises(ConfigError, match=r"a\.hidden:0 to a\.hidden:4"):
        planted.column(name)


def test_column_counts_through_the_layers(planted):
    assert [planted.column(name) for name in planted.names] == list(range(10))
    assert planted.column("b.hidden:02") == 7


def test_correlate_is_pearsons_correlation(monkeypatch):
    monkeypatch.setattr(units, "ROWS", 7)
    x, y = noise(50, 4) + 100, noise(50, 3)
    x[:, 2] = 0.1

    found = correlate(x, y)

    others = [0, 1, 3]
    expected = np.corrcoef(np.hstack([x[:, others], y]).astype(np.float64).T)[:3, 3:]
    np.testing.assert_allclose(found[others], expected, atol=1e-6)
    assert not found[2].any()  # a constant


def test_find_units_chooses_on_the_first_half_and_measures_on_the_second(planted):
    found = find_units(planted, ["return"], top=2)

    half = len(CODE) // 2
    quotes = probe_tokens(planted.documents)["quotes"]
    assert (found.tried, found.half, found.total) == (10, half, len(CODE))
    assert [one.unit for one in found.found if one.probe == "quotes"] == ["a.hidden:3", "b.hidden:1"]
    for one in (one for one in found.found if one.probe == "quotes"):
        values = planted.unit(one.unit)
        assert one.fitted == pytest.approx(np.corrcoef(values[:half], quotes[:half])[0, 1], abs=1e-6)
        assert one.held_out == pytest.approx(np.corrcoef(values[half:], quotes[half:])[0, 1], abs=1e-6)
    assert [one.held_out > 0 for one in found.found if one.probe == "quotes"] == [True, False]
    assert [one.probe for one in found.best()] == [
        "indentation", "brackets", "quotes", "quotes or comments", "line position", "word position", "/return/",
    ]  # fmt: skip
    assert found.best()[2] == next(one for one in found.found if one.probe == "quotes")
    assert found.absent == ["comments", "upper case", "digits"]


def test_find_units_measures_a_unit_that_is_good_only_in_the_first_half(planted):
    half = len(CODE) // 2
    planted.values[:half, 0] = inside_quotes(CODE)[:half]

    (best,) = (one for one in find_units(planted).found if one.probe == "quotes")

    assert (best.unit, round(best.fitted, 3)) == ("a.hidden:0", 1.0)
    assert abs(best.held_out) < 0.3


def test_find_units_refuses_a_text_that_is_too_short_to_be_split():
    text = "ab cd" * 20

    def trace(length: int) -> UnitTrace:
        return UnitTrace([list(text[:length])], {"hidden": 2}, noise(length, 2))

    with pytest.raises(TextError, match="99 tokens"):
        find_units(trace(99))
    assert [one.probe for one in find_units(trace(100)).found] == ["line position", "word position"]


def test_find_units_of_a_text_in_which_nothing_changes():
    found = find_units(UnitTrace([[" "] for _ in range(100)], {"hidden": 2}, noise(100, 2)))

    assert found.found == []
    assert "line position" in found.absent


def test_unit_thresholds_are_a_standard_deviation_from_the_mean(monkeypatch):
    monkeypatch.setattr(units, "ROWS", 7)
    values = noise(50, 3)
    values[:, 1] = 0.1

    low, high = unit_thresholds(values)

    np.testing.assert_allclose(low[[0, 2]], (values.mean(0) - values.std(0))[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(high[[0, 2]], (values.mean(0) + values.std(0))[[0, 2]], atol=1e-6)
    assert low[1] < values[0, 1] < high[1]  # a constant is never low or high
    assert unit_thresholds(values[:, 2]) == pytest.approx((low[2], high[2]))


def test_color_scale_is_beyond_98_of_100_values():
    values = np.array([-1, 0, 3, -5] * 24 + [0, 3, -9, 9], np.float32)

    assert 5 <= color_scale(values) < 9
    assert color_scale(np.array([0] * 99 + [-4], np.float32)) == 4
    assert color_scale(np.zeros(9, np.float32)) == 1


def spans(size: int, *on: tuple[int, int]) -> np.ndarray:
    values = np.zeros(size, np.float32)
    for start, stop in on:
        values[start:stop] = 1
    return values


def trace_of(*columns: np.ndarray, documents: tuple[int, ...] = (60,)) -> UnitTrace:
    values = np.stack(columns, axis=1).astype(np.float32)
    return UnitTrace([["a"] * length for length in documents], {"h": len(columns)}, values)


def test_find_similar_ranks_places_by_the_units_that_are_on():
    trace = trace_of(
        spans(60, (5, 8), (20, 23), (40, 44)),
        -spans(60, (5, 8), (20, 24)),
        spans(60, (5, 8), (20, 23), (40, 44), (50, 53)),
        spans(60, (4, 8), (30, 33)),  # on before the span
        spans(60, (6, 8), (35, 38)),  # not on over the whole span
    )

    found = find_similar(trace, 5, 8)

    assert found.units == ["+h:0", "+h:2", "-h:1"]
    assert found.places == [Place(20, 23, 3), Place(40, 44, 2)]
    assert find_similar(trace, 5, 8, most=1).places == [Place(20, 23, 3)]


def test_find_similar_takes_places_of_half_to_twice_the_length():
    lengths = [(5, 9), (12, 13), (16, 18), (22, 30), (35, 44)]  # 4, 1, 2, 8, 9 tokens

    found = find_similar(trace_of(*[spans(60, *lengths)] * 3), 5, 9)

    assert found.places == [Place(16, 18, 3), Place(22, 30, 3)]


def test_find_similar_falls_back_to_units_that_are_on_around_the_span():
    one_side = trace_of(*[spans(60, (4, 8), (30, 33))] * 3, spans(60, (3, 10)), *[spans(60, (5, 8))] * 2)
    both_sides = trace_of(spans(60, (4, 9), (30, 33)), *[spans(60, (4, 8))] * 2)

    assert find_similar(one_side, 5, 8).units == ["+h:0", "+h:1", "+h:2", "+h:4", "+h:5"]
    assert find_similar(both_sides, 5, 8).units == ["+h:0", "+h:1", "+h:2"]


def test_find_similar_shortens_a_span_over_which_few_units_are_on():
    lengths = [spans(60, (start, 20), (40, 42)) for start in (10, 12, 15, 16)]
    trace = trace_of(*lengths, spans(60, (0, 5)))

    found = find_similar(trace, 10, 20)

    assert (found.start, found.stop, found.units) == (15, 20, ["+h:0", "+h:1", "+h:2"])
    assert find_similar(trace, 16, 20).start == 16
    assert find_similar(trace, 0, 5) == units.SimilarPlaces(4, 5, ["+h:4"], [])
    assert find_similar(trace, 6, 8) == units.SimilarPlaces(7, 8, [], [])


def test_find_similar_does_not_reach_over_the_ends_of_documents():
    on = spans(60, (0, 3), (20, 24), (57, 60))
    trace = trace_of(*[on] * 3, spans(60, (19, 22)), documents=(22, 38))

    found = find_similar(trace, 20, 22)

    assert found.units == ["+h:0", "+h:1", "+h:2"]  # on after the span too, but in the next document
    assert found.places == [Place(0, 3, 3), Place(22, 24, 3), Place(57, 60, 3)]
    assert find_similar(trace, 57, 60).places == [Place(0, 3, 3), Place(20, 22, 3), Place(22, 24, 3)]


@pytest.mark.parametrize("span", [(3, 3), (-1, 2), (5, 61)])
def test_find_similar_refuses_a_span_outside_of_the_text(span):
    with pytest.raises(ConfigError, match=f"{span[0]}:{span[1]}"):
        find_similar(trace_of(spans(60, (5, 8))), *span)

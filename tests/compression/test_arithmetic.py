"""The range coder: what was coded comes back, in the bits that the frequencies say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.compression.arithmetic import TOTAL, RangeDecoder, RangeEncoder, cumulative_frequencies
from seqgen.errors import RunError

FREQUENCIES = st.lists(st.integers(1, 1 << 20) | st.integers(1, 3) | st.just(1 << 31), min_size=1, max_size=8)
MESSAGES = st.lists(FREQUENCIES.flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, len(rows) - 1))))
EXTREME = [[1, 1 << 32], [1 << 32, 1], [1 << 32, 1, 1 << 32]]


def encode(message):
    encoder = RangeEncoder()
    for frequencies, symbol in message:
        encoder.encode_symbol(symbol, np.cumsum(frequencies))
    return encoder.finish()


def decode(code, tables):
    decoder = RangeDecoder(code)
    return [decoder.decode_symbol(np.cumsum(frequencies)) for frequencies in tables]


def check(message):
    code = encode(message)
    bits = math.fsum(math.log2(sum(rows) / rows[symbol]) for rows, symbol in message)

    assert decode(code, [rows for rows, _ in message]) == [symbol for _, symbol in message]
    assert 8 * len(code) <= bits + 8.01


@given(MESSAGES)
def test_any_message_comes_back_in_its_bits(message):
    check(message)


@given(st.lists(st.tuples(st.sampled_from(EXTREME), st.integers(0, 1)), max_size=200))
def test_extreme_frequencies_come_back_in_their_bits(message):
    check(message)


def test_a_carry_runs_through_bytes_of_255():
    """A number just below a half that then passes it: 0x7fff... becomes 0x8000..."""
    half, width = (1 << 63) - 1, 1 << 64
    encoder = RangeEncoder()

    encoder.encode(half >> 31, 2, width >> 31)
    for _ in range(12):
        encoder.encode(255, 1, 256)
    encoder.encode(254, 2, 256)

    decoder = RangeDecoder(encoder.finish())
    assert decoder.position(width >> 31) in {half >> 31, (half >> 31) + 1}
    decoder.take(half >> 31, 2)
    assert [decoder.decode_number(256) for _ in range(12)] == [255] * 12
    assert decoder.position(256) >= 254


def test_an_empty_message_has_no_bytes():
    assert encode([]) == b""


def test_certain_symbols_take_no_bytes():
    assert len(encode([([1 << 32, 1], 0)] * 1_000)) <= 1


@given(st.binary(max_size=40), st.lists(FREQUENCIES, max_size=60))
def test_any_bytes_decode_to_symbols_of_the_tables(code, tables):
    symbols = decode(code + bytes(8 * len(tables)), tables)

    assert all(symbol < len(rows) for rows, symbol in zip(tables, symbols, strict=True))


@pytest.mark.parametrize("symbol", [0, 1])
def test_decoder_ends_where_the_code_has_no_more_symbols(symbol):
    """Also a code of zeros: the first of two equally likely symbols, again and again."""
    code = encode([([1, 1], symbol)] * 400)
    decoder = RangeDecoder(code)

    assert [decoder.decode_symbol(np.array([1, 2])) for _ in range(400)] == [symbol] * 400
    with pytest.raises(EOFError):
        [decoder.decode_symbol(np.array([1, 2])) for _ in range(200)]


@given(st.lists(st.integers(2, 1 << 32).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), max_size=40))
def test_numbers_come_back_in_their_bits(numbers):
    encoder = RangeEncoder()
    for number, total in numbers:
        encoder.encode(number, 1, total)
    code = encoder.finish()

    decoder = RangeDecoder(code)
    assert [decoder.decode_number(total) for _, total in numbers] == [number for number, _ in numbers]
    assert 8 * len(code) <= sum(math.log2(total) for _, total in numbers) + 8.01


@given(st.lists(st.floats(-800, 0), min_size=1, max_size=300))
def test_frequencies_cost_hardly_more_than_the_probabilities(logits):
    log_probs = np.array(logits) - np.logaddexp.reduce(logits)

    cumulative = cumulative_frequencies(log_probs)

    frequencies = np.diff(cumulative, prepend=0)
    assert frequencies.min() >= 1
    costs = np.log(cumulative[-1] / frequencies)
    assert (costs <= np.maximum(-log_probs, 0) + 2 * len(logits) / TOTAL).all()


def test_an_impossible_symbol_has_a_frequency_of_one():
    assert cumulative_frequencies(np.array([0.0, -np.inf, -np.inf])).tolist() == [TOTAL + 1, TOTAL + 2, TOTAL + 3]


@pytest.mark.parametrize("value", [np.nan, np.inf, 800.0])
@pytest.mark.parametrize("log_probs", [[-1.0, "value", -1.0], ["value"] * 8, ["value"] * 3])
def test_cumulative_frequencies_refuse_what_is_not_a_distribution(value, log_probs):
    """Eight times the most negative integer, to which NaN is cast, is 0."""
    with pytest.raises(RunError, match="NaN"), np.errstate(all="ignore"):
        cumulative_frequencies(np.array([value if one == "value" else one for one in log_probs]))

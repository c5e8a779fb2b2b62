from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.pages.packing import DIGITS, pack


def unpack(packed: dict) -> list[int]:
    """Read the numbers as the pages' scripts do."""
    width, digits = packed["width"], packed["digits"]
    found = []
    for place in range(packed["count"]):
        value = 0
        for digit in digits[place * width : (place + 1) * width]:
            value = 64 * value + DIGITS.index(digit)
        found.append(value + packed["low"])
    return found


@given(st.lists(st.integers(-(2**40), 2**40)))
def test_pack_keeps_numbers(values):
    packed = pack(values)

    assert unpack(packed) == values
    assert re.fullmatch(r"[A-Za-z0-9_-]*", packed["digits"])


@pytest.mark.parametrize(
    ("values", "width"),
    [([], 0), ([7, 7], 0), ([0, 63], 1), ([0, 64], 2), ([1, 64], 1), ([0, 4095], 2), ([0, 4096], 3), ([-1, 63], 2)],
)
def test_pack_uses_as_few_digits_as_the_range_of_numbers_needs(values, width):
    packed = pack(values)

    assert packed["width"] == width
    assert len(packed["digits"]) == width * len(values)

from __future__ import annotations

import pytest

from seqgen.utils.text import plural, singular_or_plural


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (0, ("step",), "0 steps"),
        (1, ("step",), "1 step"),
        (1404, ("step",), "1,404 steps"),
        (1, ("copy", "copies"), "1 copy"),
        (2, ("copy", "copies"), "2 copies"),
    ],
)
def test_plural_of_numbers(number, words, expected):
    assert plural(number, *words) == expected


def test_singular_or_plural_verb():
    assert [singular_or_plural(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]

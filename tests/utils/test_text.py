from __future__ import annotations

import pytest

from seqgen.utils.text import is_in_word, plural, singular_or_plural


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


@pytest.mark.parametrize("character", ["a", "É", "한", "7", "_", "\u0301", "\u200d", "\ufffd"])
def test_is_in_word_holds_for_letters_numbers_marks_and_joiners(character):
    assert is_in_word(character)


@pytest.mark.parametrize("character", ["", " ", "\n", ".", "'", "-", "…", "€", "\x00"])
def test_is_in_word_does_not_hold_for_spaces_punctuation_and_signs(character):
    assert not is_in_word(character)

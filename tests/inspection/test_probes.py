from __future__ import annotations

import numpy as np
import pytest

from seqgen.errors import ConfigError
from seqgen.inspection import probes
from seqgen.inspection.probes import (
    PROBES,
    bracket_depth,
    digits,
    indentation,
    inside_comments,
    inside_matches,
    inside_quotes,
    line_position,
    probe_tokens,
    upper_case,
    word_position,
)


def numbers(digits_of_each: str) -> list[int]:
    return [int(digit) for digit in digits_of_each]


@pytest.mark.parametrize(
    ("probe", "text", "expected"),
    [
        (line_position, "ab\n\ncde", "1200123"),
        (line_position, "a\r\nb\rc", "100101"),
        (word_position, "ab c_1, 가", "1201230" + "01"),
        (upper_case, "aB Éß1", "010100"),
        (digits, "a12 ٣.", "011010"),
        (indentation, "a\n  b\n\n   \nc", "00" + "2222" + "2" + "2222" + "0"),
        (indentation, "\ta\r\n b", "8888" + "11"),
        (indentation, "  \n a", "000" + "11"),
    ],
)
def test_probe_of_characters(probe, text, expected):
    assert probe(text).tolist() == numbers(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'ab' c", "111000"),
        ('"a\'b" c', "1111000"),
        ("'a\\'b'", "111110"),
        ("''.x", "1000"),
        ("f(b'a', R'c')", "0001100" + "001100"),
        ("don't 'do' it's", "000000" + "1110" + "00000"),
        ("'I don't' x", "11111111" + "000"),
        ("'a\nb'", "00000"),  # a single quote ends in its line
        ('"a\nb"', "11110"),
        ('"a\n \nb"', "0000000"),  # no quote reaches over a blank line
        ('"""a"b\n\nc""" d', "1" * 11 + "000"),
        ("'''a''b''' c", "1" * 9 + "000"),
        ('a""" b\n"""c""" d', "0000000" + "111111" + "000"),  # the text begins inside a docstring
        ('x\n"""ab', "00" + "11111"),  # and ends inside one
        ('x """', "00000"),
        ('# "a" b\n"c"', "0" * 8 + "110"),
        ("“a” «b» 「c」", "110" + "0110" + "0110"),
        ("é “a", "0000"),
    ],
)
def test_inside_quotes(text, expected):
    assert inside_quotes(text).tolist() == numbers(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a # b\nc", "0011100"),
        ("# b\r\nc", "111000"),
        ("x // y", "001111"),
        ("http://a #b #include", "0" * 20),
        ("'# a'", "00000"),
    ],
)
def test_inside_comments(text, expected):
    assert inside_comments(text).tolist() == numbers(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a(b[c]{d})e", "01122122100"),
        ("(a", "00"),  # never closed
        ("a)b", "000"),
        ("(a[b)c", "111100"),
        ("(a]b)", "11110"),
        ("('(' + a)", "111111110"),
        ("(')')", "11110"),
        ("('(a)')", "1122110"),
        ("( # )\n)", "1111110"),
    ],
)
def test_bracket_depth(text, expected):
    assert bracket_depth(text).tolist() == numbers(expected)


def test_bracket_depth_of_many_open_brackets_is_quick():
    assert not bracket_depth("(" * 50_000 + "]" * 50_000).any()


def test_inside_matches_of_a_pattern():
    assert inside_matches("to do: TODO, TODO", r"TODO").tolist() == numbers("0" * 7 + "1111" + "00" + "1111")
    assert inside_matches("ab\nab", r"^a|b$").tolist() == numbers("11011")
    assert not inside_matches("ab", "x*").any()


def test_inside_matches_refuses_invalid_and_endless_patterns(monkeypatch):
    with pytest.raises(ConfigError, match=r"\(a"):
        inside_matches("a", "(a")
    monkeypatch.setattr(probes, "SECONDS", 0.05)
    with pytest.raises(ConfigError, match=r"0\.05 seconds"):
        inside_matches("a" * 60, r"(a|aa)+[bc]")


def test_probe_tokens_have_the_number_of_their_last_character():
    found = probe_tokens([["", "ab", "", " c"], ["(", "d)"]], ["[bd]"])

    assert found.keys() == {*PROBES, "/[bd]/"}
    assert found["line position"].tolist() == [0, 2, 2, 4, 1, 3]
    assert found["brackets"].tolist() == [0, 0, 0, 0, 1, 0]
    assert found["/[bd]/"].tolist() == [0, 1, 1, 0, 0, 0]
    assert all(values.dtype == np.float32 for values in found.values())


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_has_a_number_for_each_character(name):
    text = "x = ['a', \"b\"]  # 한국어\r\n\t“” '''\n\n\x85\u2028👩‍👧 )(" * 3

    assert PROBES[name]("").shape == (0,)
    assert PROBES[name](text).shape == (len(text),)
    assert np.isfinite(PROBES[name](text)).all()

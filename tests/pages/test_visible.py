from __future__ import annotations

import pytest

from seqgen.pages.visible import show_invisible


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("a b", "a␣b"),
        ("x\n\t", "x⏎⇥"),
        ("\r", "␍"),
        ("\x1b[0m", "␛[0m"),
        ("\x7f", "␡"),
        ("\x85", "U+0085"),
        ("\xa0", "U+00A0"),
        ("\u3000가", "U+3000가"),
        ("\u2028", "U+2028"),
        ("\u202eabc", "U+202Eabc"),
        ("\ud800", "U+D800"),
        ("", "∅"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("👩‍👧", "👩‍👧"),
        ("\u200d", "U+200D"),
        ("한국어 مرحبا", "한국어␣مرحبا"),
    ],
)
def test_show_invisible(token, shown):
    assert show_invisible(token) == shown

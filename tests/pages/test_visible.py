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
        ("\u1109", "\u1109"),
        ("\u1175", "ㅣ"),
        ("\u11ab", "-ㄴ"),
        ("\u11b9 ", "-ㅄ␣"),
        ("\u1161\u11a8가", "ㅏ-ㄱ가"),
        ("\u1100\u1161\u11a8", "\u1100\u1161\u11a8"),
    ],
)
def test_show_invisible(token, shown):
    assert show_invisible(token) == shown

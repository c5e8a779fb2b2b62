"""Which script a character belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics.scripts import OTHER, script_of


@pytest.mark.parametrize(
    ("characters", "script"),
    [
        ("aZéßＡﬁ", "Latin"),
        ("λΩ", "Greek"),
        ("жЁ", "Cyrillic"),
        ("가힣ㄱㅏ\u1100\u1161\u11a8ﾡ", "Hangul"),
        ("漢字\U00020000々", "Han"),
        ("あアーｱ", "Kana"),
        ("अि", "Devanagari"),
        ("ع", "Arabic"),
        ("ꦄ", OTHER),
        ("0٣½", "digits"),
        (".,、«", "punctuation"),
        ("+€😀", "symbols"),
        (" \t\n\u3000\u2028", "white space"),
        ("\u0301", "combining marks"),
        ("\0\x1b\u200b\ufeff\ue000\uffff\ud800", "control and unassigned"),
    ],
)
def test_the_script_of(characters, script):
    assert {script_of(character) for character in characters} == {script}


@given(st.characters())
def test_every_character_has_one(character):
    assert script_of(character)

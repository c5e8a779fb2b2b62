from __future__ import annotations

from itertools import accumulate

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from seqgen.generation.graphemes import MAX_HELD, whole_graphemes

# Each is one grapheme of several code points.
FAMILY, FLAG, SKIN, KEYCAP, WALES = "👩‍👩‍👧", "🇰🇷", "👍🏽", "1️⃣", "🏴󠁧󠁢󠁷󠁬󠁳󠁿"
ACCENTED, JAMO, SECOND_FINAL, CONJUNCT, LINE_END = "e\u0301\u0327", "\u1112\u1161\u11ab", "한\u11a8", "क्ष", "\r\n"
GRAPHEMES = [FAMILY, FLAG, SKIN, KEYCAP, WALES, ACCENTED, JAMO, SECOND_FINAL, CONJUNCT, LINE_END, "a", "글", "\n", "ㅋ"]


@pytest.mark.parametrize("first", GRAPHEMES)
@pytest.mark.parametrize("second", GRAPHEMES)
def test_whole_graphemes_joins_code_points(first, second):
    text = first + second

    ends = list(accumulate(len(piece) for piece in whole_graphemes(text)))

    assert ends[-1] == len(text)
    assert set(ends) <= {len(first), len(text)}


PARTS = st.one_of(st.sampled_from([*GRAPHEMES, "\u200d", "🇺", "\u094d", "\u1161"]), st.text(max_size=3))


@given(text=st.lists(PARTS).map("".join), data=st.data())
def test_whole_graphemes_keeps_any_text_and_cuts_between_graphemes(text, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]

    released = list(whole_graphemes(pieces))

    assert "".join(released) == text
    assert [one for piece in released for one in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)
    assert all(released)


def test_whole_graphemes_holds_back_only_the_last_grapheme():
    asked = []

    def pieces():
        for piece in ("The e", "\u0301nd", "\n", "More"):
            asked.append(piece)
            yield piece

    seen = [(released, len(asked)) for released in whole_graphemes(pieces())]

    assert seen == [("The ", 1), ("e\u0301n", 2), ("d\n", 3), ("Mor", 4), ("e", 4)]


def test_whole_graphemes_releases_endless_marks():
    asked = 0

    def pieces():
        nonlocal asked
        for character in "a" + "\u0301" * 10 * MAX_HELD:
            asked += 1
            yield character

    first = next(whole_graphemes(pieces()))

    assert len(first) == asked == MAX_HELD + 1

from __future__ import annotations

import textwrap

import pytest

from seqgen.sources.prose import describe_prose

SENTENCES = [
    "The old king paints the rain on the walls of the house",
    "No one in the town has ever seen what he painted before that",
    "In the evening the river carries leaves to the mill",
    "A child counts them and forgets the number again",
    "A traveler who asks for the way gets an answer that is longer than the way itself",
]
PROSE = ". ".join(SENTENCES * 20) + "."
VERSE = ["Before we go, he said, and took his hat,", "I want to hear the river,", "And the mill beyond it.", "So"] * 9
NAMES = ["anna", "ida", "maria-louise", "jo", "elisabeth", "christopher"] * 20
TWEETS = [sentence.lower() for sentence in SENTENCES] * 20
JOKES = [f"{first}? {second}!" for first in SENTENCES for second in SENTENCES]
RECIPES = ["2 cups of flour, sifted", "1 egg", "a pinch of salt and some pepper", "Stir well; bake for an hour."] * 9
KOREAN = "왕은 집의 벽에 비를 그린다 마을의 아무도 그것을 본 적이 없다 저녁이면 강이 잎을 나른다 " * 60
KOREAN_LINES = [
    f"{who} {when} 따뜻한 밥을 {verb}."
    for who in ("나는", "동생은")
    for when in ("아침에", "저녁마다")
    for verb in ("먹는다", "먹었다고 했다")
]


@pytest.mark.parametrize("width", [40, 72, 100])
@pytest.mark.parametrize("text", [PROSE, KOREAN], ids=["English", "Korean"])
def test_wrapped_prose_is_described(text, width):
    description = describe_prose([textwrap.wrap(text, width)])

    assert description is not None
    assert "--documents paragraph" in description


def test_verse_is_described_with_its_share():
    assert "50% of its lines" in (describe_prose([VERSE]) or "")


@pytest.mark.parametrize(
    "lines", [NAMES, TWEETS, JOKES, RECIPES, KOREAN_LINES * 9, ["Smith, John,"] * 50, VERSE[:19], []]
)
def test_lists_of_short_texts_are_not_prose(lines):
    assert describe_prose([lines]) is None


def test_last_line_of_a_passage_is_not_joined_to_the_next_passage():
    lines = textwrap.wrap(PROSE, 60)

    assert describe_prose([[line] for line in lines if not line.endswith((",", ";"))]) is None

"""Documents in blocks: nothing is lost, and every place is the one that an editor shows."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics.blocks import Block, Place, blocks_of

TEXTS = st.lists(st.text(st.sampled_from("ab \r\n한"), max_size=20), max_size=6)


@given(TEXTS, st.integers(2, 9))
def test_blocks_are_the_document_with_its_line_ends_whole(chunks, size):
    blocks = list(blocks_of("a.txt", chunks, size))

    assert "".join(block.text for block in blocks) == "".join(chunks)
    assert all(0 < len(block.text) <= 2 * size for block in blocks)
    for left, right in pairwise(blocks):
        assert not (left.text.endswith("\r") and right.text.startswith("\n"))


@given(TEXTS, st.integers(2, 9))
def test_every_character_has_the_line_that_it_stands_in(chunks, size):
    text = "".join(chunks)
    ends = [match.end() for match in re.finditer(r"\r\n|\r|\n", text)]
    expected = [1 + sum(end <= position for end in ends) for position in range(len(text))]

    places = [
        block.place_of(position) for block in blocks_of("a.txt", chunks, size) for position in range(len(block.text))
    ]

    seen = [position for position in range(len(text)) if text[:position][-1:] + text[position] != "\r\n"]
    assert [places[position] for position in seen] == [Place("a.txt", expected[position]) for position in seen]


def test_a_block_ends_with_a_line_or_else_with_a_word():
    assert [block.text for block in blocks_of("a", ["one\ntwo three"], 6)] == ["one\n", "two ", "three"]
    assert [block.text for block in blocks_of("a", ["onetwothree"], 6)] == ["onetwo", "three"]
    assert [block.text for block in blocks_of("a", ["one\rtwo three"], 6)] == ["one\r", "two ", "three"]


def test_the_lines_of_a_block():
    block = Block("one\r\ntwo\rthree\n", "a", 7)

    assert block.lines == ["one", "two", "three", ""]
    assert block.place_of_line(2) == Place("a", 10)

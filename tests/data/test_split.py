from __future__ import annotations

from itertools import chain, zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.config import DataConfig
from seqgen.data.split import BLOCKS, MINIMUM, Split, split_text
from seqgen.errors import TextError


def distinct_text(length: int, line_lengths: tuple[int, ...] = ()) -> str:
    """Characters that all differ, but for the newlines that end lines of these lengths, again and again."""
    characters = [chr(0x10000 + place) for place in range(length)]
    place = -1
    for turn in range(length if line_lengths else 0):
        place += line_lengths[turn % len(line_lengths)]
        if place >= length:
            break
        characters[place] = "\n"
    return "".join(characters)


def in_order(split: Split) -> str:
    """The parts put together again, training parts first."""
    return "".join(chain.from_iterable(zip_longest(split.train, split.valid, fillvalue="")))


def test_the_default_is_twenty_even_blocks_of_five_percent():
    text = distinct_text(100_000)  # no newline: cut where the arithmetic says

    split = split_text(text, DataConfig())

    assert [len(part) for part in split.valid] == [250] * 20
    # The first block begins half a block before the middle of the first twentieth.
    assert [len(part) for part in split.train] == [2_500 - 125, *[4_750] * 19, 2_500 - 125]
    assert in_order(split) == text


def test_blocks_begin_and_end_at_line_starts_where_lines_are_short():
    text = distinct_text(100_000, (7, 13, 2))

    split = split_text(text, DataConfig())

    assert len(split.valid) == 20
    assert all(part.endswith("\n") for part in (*split.valid, *split.train[:-1]))
    assert all(237 <= len(part) <= 263 for part in split.valid)  # a cut moves by less than a line
    assert in_order(split) == text


def test_a_cut_that_already_is_a_line_start_stays():
    text = distinct_text(100_000, (125,))  # 2,375 and 2,625 are multiples of 125

    split = split_text(text, DataConfig())

    assert [len(part) for part in split.valid] == [250] * 20
    assert len(split.train[0]) == 2_375


@pytest.mark.parametrize(("line_start", "cut"), [(2_375, 2_375), (2_376, 2_376), (2_500, 2_500), (2_501, 2_375)])
def test_a_cut_moves_to_a_line_start_within_half_a_block(line_start, cut):
    text = "a" * (line_start - 1) + "\n" + "a" * (100_000 - line_start)

    assert len(split_text(text, DataConfig()).train[0]) == cut


def test_a_short_text_has_fewer_blocks_each_long_enough():
    split = split_text(distinct_text(9_000), DataConfig())  # 450 to withhold

    assert [len(part) for part in split.valid] == [225, 225]
    assert [len(part) for part in split.train] == [2138, 4275, 2137]


def test_the_tail_is_the_end_from_a_line_start():
    text = distinct_text(10_000, (30,))

    split = split_text(text, DataConfig(valid_split="tail"))

    assert split.train == (text[:9510],)  # 9,500 is inside a line that ends at 9,510
    assert split.valid == (text[9510:],)


@pytest.mark.parametrize("config", [DataConfig(valid_split="none"), DataConfig(valid="valid.txt")])
def test_nothing_is_withheld_where_nothing_is_asked_for(config):
    assert split_text("short", config) == Split(train=("short",), valid=())


@pytest.mark.parametrize("valid_split", ["spread", "tail"])
def test_a_text_too_short_is_refused_with_the_arithmetic_and_a_way_out(valid_split):
    with pytest.raises(TextError) as refusal:
        split_text("x" * 3_980, DataConfig(valid_split=valid_split))

    message = str(refusal.value)
    assert "5% of 3,980 characters is 199, too few to validate on (at least 200)" in message
    assert "--valid-split none" in message
    assert "--valid FILE" in message


def test_the_arithmetic_holds_for_shares_that_are_no_whole_percent():
    with pytest.raises(TextError, match=r"^0\.5% of 10,000 characters is 50,"):
        split_text("x" * 10_000, DataConfig(valid_share=0.005))


def test_the_shortest_text_with_a_validation_part():
    assert [len(part) for part in split_text("x" * 4_000, DataConfig()).valid] == [MINIMUM]


@settings(max_examples=60)
@given(
    length=st.integers(4_000, 19_000),
    line_lengths=st.lists(st.integers(1, 3_000) | st.integers(1, 40), max_size=4).map(tuple),
    valid_split=st.sampled_from(["spread", "tail"]),
    share=st.floats(0.05, 0.499),
)
def test_the_parts_are_the_text_each_character_once(length, line_lengths, valid_split, share):
    text = distinct_text(length, line_lengths)

    split = split_text(text, DataConfig(valid_split=valid_split, valid_share=share))

    assert in_order(split) == text
    assert all((*split.train, *split.valid))
    withheld = round(length * share)
    blocks = 1 if valid_split == "tail" else min(BLOCKS, withheld // MINIMUM)
    assert len(split.valid) == blocks
    assert all(withheld // blocks // 2 <= len(part) <= withheld // blocks * 1.5 + 1 for part in split.valid)

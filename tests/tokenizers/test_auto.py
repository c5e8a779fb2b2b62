"""The tokenizer that `--tokenizer auto` chooses."""

from __future__ import annotations

import itertools

import pytest

from seqgen.tokenizers.auto import (
    CHAR,
    CHOICES,
    LARGE_ALPHABET_CHOICES,
    LONG_PAIRS,
    SHORT_PAIR,
    Choice,
    TextStatistics,
    choose_tokenizer,
)
from seqgen.tokenizers.config import TokenizerConfig


@pytest.mark.parametrize(
    ("text", "large"),
    [
        ("왕이 문에 서 있었다.", True),
        ("国王は門の前に立っていた。", True),
        ("国王站在门前。", True),
        ("the king 왕", False),
        ("the king 왕이문에서", True),
        ("царь стоял у ворот", False),
        ("12, 34!\n", False),
        ("", False),
    ],
)
def test_statistics_find_large_alphabets(text, large):
    assert TextStatistics.of(10, [text, text]) == TextStatistics(10, large)


def test_share_of_wide_letters_is_over_all_samples():
    assert not TextStatistics.of(10, ["왕", "the king"]).has_large_alphabet
    assert TextStatistics.of(10, ["왕이문에", "the king"]).has_large_alphabet


@pytest.mark.parametrize(("choices", "large"), [(CHOICES, False), (LARGE_ALPHABET_CHOICES, True)])
def test_each_choice_holds_from_its_bounds_on(choices, large):
    for choice, smaller in itertools.pairwise(choices):
        assert choose_tokenizer(TextStatistics(choice.characters, large), choice.seconds) == choice
        assert choose_tokenizer(TextStatistics(choice.characters, large), None) == choice
        assert choose_tokenizer(TextStatistics(choice.characters, large), 1e9).characters >= choice.characters
        shorter = choose_tokenizer(TextStatistics(choice.characters - 1, large), None)
        assert shorter.characters <= smaller.characters
        assert choose_tokenizer(TextStatistics(choice.characters, large), choice.seconds - 1) != choice


def test_short_texts_and_short_runs_have_characters():
    assert choose_tokenizer(TextStatistics(100_000), None) == CHAR
    assert choose_tokenizer(TextStatistics(100_000, has_large_alphabet=True), 1e6) == CHAR
    assert choose_tokenizer(TextStatistics(10**9), 1.0) == CHAR


def test_counted_text_has_characters_up_to_two_million():
    for characters, choice in ((350_000, CHAR), (1_999_999, CHAR), (2_000_000, CHOICES[1]), (8_000_000, CHOICES[0])):
        assert choose_tokenizer(TextStatistics(characters), None, is_counted=True) == choice


def test_settings_of_every_choice_are_of_a_tokenizer():
    for choice in (*CHOICES, *LARGE_ALPHABET_CHOICES):
        config = TokenizerConfig.of(**choice.settings)
        assert (config.kind, config.vocab_size) == (choice.kind, choice.vocab_size)
    assert Choice(0, 0.0, "char").settings == {"kind": "char"}


@pytest.mark.parametrize(("characters", "sides", "length"), [(480, 10, 48.0), (10, None, None), (0, 0, 0.0)])
def test_statistics_have_the_mean_length_of_a_side_of_pairs(characters, sides, length):
    assert TextStatistics.of(characters, [], sides=sides).pair_length == length


@pytest.mark.parametrize("characters", [100, 10**9])
@pytest.mark.parametrize("large", [False, True])
def test_short_pairs_are_read_by_character_and_long_ones_by_bpe_however_many_they_are(characters, large):
    for length, choice in ((SHORT_PAIR, CHAR), (SHORT_PAIR + 0.1, LONG_PAIRS)):
        assert choose_tokenizer(TextStatistics(characters, large, pair_length=length), 1.0) == choice

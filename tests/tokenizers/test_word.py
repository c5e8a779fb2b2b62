from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import FIRST_ID, TOKENIZER_FILE, to_json
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.word import WordTokenizer, split_words


def _trained(*documents: str, vocab_size: int | None = None) -> WordTokenizer:
    return WordTokenizer.train(documents, TokenizerConfig(kind="word", vocab_size=vocab_size))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Don't stop,  rock’n’roll!\r\n", ["Don't", " ", "stop", ",", "  ", "rock’n’roll", "!", "\r\n"]),
        ("'tis the boys' 'x'", ["'", "tis", " ", "the", " ", "boys", "'", " ", "'", "x", "'"]),
        ("나는 x_1=3.14;", ["나는", " ", "x_1", "=", "3", ".", "14", ";"]),
        ("a--b...", ["a", "-", "-", "b", ".", ".", "."]),
        ("cafe\u0301 nai\u0308ve!", ["cafe\u0301", " ", "nai\u0308ve", "!"]),  # NFD
        ("\u1112\u1161\u11ab글의 끝", ["\u1112\u1161\u11ab글의", " ", "끝"]),
        ("हिन्दी में", ["हिन्दी", " ", "में"]),  # vowel signs and viramas are marks
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # joined by a zero-width non-joiner
        ("d\u0301'o\u0301r -\u0301", ["d\u0301'o\u0301r", " ", "-", "\u0301"]),  # a mark without a letter is a piece
        ("“나는, 학교에(오늘) 간다.”", ["“", "나는", ",", " ", "학교에", "(", "오늘", ")", " ", "간다", ".", "”"]),
        ("나 는 학교 에 가 ㄴ다 .", ["나", " ", "는", " ", "학교", " ", "에", " ", "가", " ", "ㄴ다", " ", "."]),
    ],
)
def test_split_words_by_hand(text, pieces):
    assert list(split_words(text)) == pieces


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_split_words_joined_are_the_text(texts, data):
    text = data.draw(texts)

    assert "".join(split_words(text)) == text


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_text_of_the_vocabulary_round_trips(texts, data):
    pieces = ["the", " ", *split_words(data.draw(texts))]
    tokenizer = _trained("".join(pieces) * 2, " the ")
    known = [word for word in tokenizer.words if not word.isspace()]
    text = " ".join(data.draw(st.lists(st.sampled_from(known))))

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids) == text
    assert ids.min(initial=FIRST_ID) >= FIRST_ID
    assert not tokenizer.unknown(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", 0),
        ("a", 0),
        ("a b", 2),
        ("a b ", 2),
        ("ab  cd\n\nef", 8),
        ("ab ", 0),
        (" ab", 1),
        ("don't", 0),
        ("a, b", 3),
    ],
)
def test_split_point_is_after_the_last_white_space_before_a_word(text, place):
    assert _trained("a a").split_point(text) == place
    assert [*split_words(text[:place]), *split_words(text[place:] + "x y")] == list(split_words(text + "x y"))


def test_split_point_cuts_only_a_very_long_word(monkeypatch):
    monkeypatch.setattr("seqgen.tokenizers.word.LONG_WORD_CHARACTERS", 4)

    assert _trained("a a").split_point("abcd") == 0
    assert _trained("a a").split_point("abcde") == 5


def test_frequent_words_come_first_and_ties_in_code_point_order():
    assert _trained("b a b a c c c d d", "d").words == (" ", "c", "d", "a", "b")


def test_words_seen_once_are_unk():
    tokenizer = _trained("a b a")

    assert tokenizer.words == (" ", "a")
    assert tokenizer.encode("a b").tolist() == [3, 2, 1]
    assert tokenizer.decode(tokenizer.encode("a b")) == "a \ufffd"


def test_text_without_repetition_keeps_all_words():
    tokenizer = _trained("hello world")

    assert tokenizer.words == (" ", "hello", "world")
    assert tokenizer.decode(tokenizer.encode("hello world")) == "hello world"


def test_vocab_size_counts_boundary_and_unk():
    tokenizer = _trained("a a a b b c c", vocab_size=4)

    assert tokenizer.words == (" ", "a")
    assert tokenizer.vocab_size == 4


def test_auto_vocabulary_has_words_with_a_hundred_examples_and_at_least_512():
    often = " ".join(f"a{number}" for number in range(600))
    seldom = " ".join(f"b{number}" for number in range(600))

    assert _trained(*[often] * 100, *[seldom] * 99, vocab_size="auto").vocab_size == 2 + 1 + 600
    assert _trained(*[often] * 99, vocab_size="auto").vocab_size == 512


def test_vocab_size_without_room_for_a_word_is_refused():
    with pytest.raises(ConfigError, match="vocab_size: a word tokenizer needs at least 3"):
        _trained("a a", vocab_size=2)


def test_unknown_words_are_counted():
    assert _trained("a a").unknown("a xy \ud800 xy\n") == {"xy": 2, " ": 3, "\ufffd": 1, "\n": 1}


def test_unk_cost_is_that_of_its_bytes_and_an_end_mark():
    tokenizer = _trained("a a")

    assert tokenizer.unk_cost("xy") == pytest.approx(3 * math.log(257))
    assert tokenizer.unk_cost("한") == pytest.approx(4 * math.log(257))


@pytest.mark.parametrize("words", [[], ["a", "a"], ["a", ""], ["a", 1], "ab"])
def test_invalid_words_are_refused(words):
    with pytest.raises(TokenizerError, match="words"):
        WordTokenizer.from_files({TOKENIZER_FILE: to_json("word", words=words)})

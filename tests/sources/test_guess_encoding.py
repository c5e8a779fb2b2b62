"""Encodings are guessed from enough bytes; unsure guesses are None."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import TextError
from seqgen.sources.decoding import decode_text
from seqgen.sources.guess_encoding import SAMPLE_BYTES, guess_encoding, sample_around

KOREAN = "나는 오늘 학교에 간다. 날씨가 맑아서 걸어가기로 했다.\n저녁에는 친구와 함께 밥을 먹었다.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
CHINESE = "我们的生活充满了阳光和希望。今天天气很好,我去公园散步,看见很多人在那里跑步。\n"
RUSSIAN = "Однажды весною, в час небывало жаркого заката, в Москве появились два гражданина.\n"
GERMAN = "Die Müller aus Köln grüßen schöne Grüße über die Straße. Äpfel und Öl für Übermut.\n"
FRENCH = "L'été dernier, nous avons mangé des pâtes à la crème près de la forêt.\n"


@pytest.mark.parametrize(
    ("text", "encoding", "guess"),
    [
        (KOREAN, "cp949", "cp949"),
        (KOREAN, "euc-kr", "cp949"),
        (KOREAN, "johab", "johab"),
        (KOREAN, "utf-16-le", "utf-16-le"),
        (JAPANESE, "shift-jis", "shift-jis"),
        (JAPANESE, "euc-jp", "euc-jp"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "big5", "big5"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (GERMAN, "latin-1", "latin-1"),
        (GERMAN, "cp437", "cp437"),
        (FRENCH, "latin-1", "latin-1"),
        ("“It’s here,” he said – and left…\n", "cp1252", "cp1252"),
    ],
)
def test_guess_encoding_and_the_error_that_names_it(text, encoding, guess):
    content = (text * 10).encode(encoding, "replace")

    assert guess_encoding(content) == guess
    with pytest.raises(TextError, match=f"valid utf-8 at byte .*; it looks like {guess}: give --encoding {guess}$"):
        decode_text(content, "utf-8", "a.txt")


@pytest.mark.parametrize("line_end", ["\n", ""])
def test_guess_encoding_of_a_long_text_with_and_without_lines(line_end):
    content = (KOREAN.replace("\n", line_end) * 900).encode("cp949")

    assert len(content) > SAMPLE_BYTES
    assert guess_encoding(content) == "cp949"


@pytest.mark.parametrize(
    "content",
    [
        b"caf\xe9 au lait",
        "한국어".encode("cp949"),
        random.Random(1).randbytes(4_000),
        (KOREAN * 20).encode()[:-50] + b"\xff" + KOREAN.encode(),  # damaged UTF-8
        ("El pingüino y la cigüeña: vergüenza.\n" * 9).encode("cp437"),  # as well shift-jis
        "Pijamalı hasta yağız şoföre çabucak güvendi.\n".encode("cp1254") * 9,
        b"plain ASCII",
        b"",
    ],
    ids=["one byte", "three syllables", "noise", "damaged", "wide by accident", "Turkish", "ASCII", "nothing"],
)
def test_guess_encoding_returns_none_when_unsure(content):
    assert guess_encoding(content) is None


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_guess_encoding_accepts_any_bytes(content):
    for some in (content, content * 9):
        guess = guess_encoding(some)
        assert guess is None or some.decode(guess, "replace")


def test_the_error_does_not_suggest_the_encoding_in_use():
    with pytest.raises(TextError, match=r"is not valid cp949 at byte .*; give --encoding"):
        decode_text((KOREAN * 9).encode("cp949") + b"\xff\xff", "cp949", "a.txt")
    with pytest.raises(TextError, match="it looks like utf-8: give --encoding utf-8"):
        decode_text(KOREAN.encode(), "ascii", "a.txt")


def test_the_error_samples_the_text_around_the_wrong_byte():
    content = b"ASCII to begin with.\n" * 20_000 + (KOREAN * 30).encode("cp949")

    with pytest.raises(TextError, match="give --encoding cp949"):
        decode_text(content, "utf-8", "a.txt")
    assert SAMPLE_BYTES // 2 < len(sample_around(content, 200_000)) <= SAMPLE_BYTES
    assert sample_around(content, 420_000).startswith(b"ASCII to begin")
    assert sample_around(b"ab\ncd", 4) == b"ab\ncd"

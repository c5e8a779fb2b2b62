"""The code of unknown pieces: exact, and at the price that evaluation counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.compression.arithmetic import RangeDecoder, RangeEncoder
from seqgen.compression.spelling import spelling_of
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer

CHARACTERS = CharTokenizer("\x00az가\U0010ffff")
WORDS = WordTokenizer([" ", "the"])
UNKNOWN = st.characters(codec="utf-8", exclude_characters=CHARACTERS.characters)


def code(tokenizer, pieces):
    """Return the code of pieces, and the pieces that it gives."""
    spelling, encoder = spelling_of(tokenizer), RangeEncoder()
    for piece in pieces:
        for number, total in spelling.symbols(piece):
            encoder.encode(number, 1, total)
    content = encoder.finish()
    decoder = RangeDecoder(content)
    return content, [spelling.read(decoder.decode_number) for _ in pieces]


@pytest.mark.parametrize(("tokenizer", "unknown"), [(CHARACTERS, UNKNOWN), (WORDS, st.text(min_size=1, max_size=5))])
def test_pieces_come_back_at_the_price_of_the_tokenizer(tokenizer, unknown):
    @given(st.lists(unknown.filter(tokenizer.unknown), max_size=20))
    def check(pieces):
        content, read = code(tokenizer, pieces)
        price = sum(tokenizer.unk_cost(piece) for piece in pieces) / math.log(2)
        assert read == pieces
        assert 8 * len(content) <= price + 8.01

    check()


@pytest.mark.parametrize("piece", ["\x01", "\ud7ff", "\ue000", "\ufffd", "\U0010fffe"])
def test_symbols_of_a_character_are_the_price(piece):
    ((number, total),) = spelling_of(CHARACTERS).symbols(piece)

    assert math.log(total) == CHARACTERS.unk_cost(piece)
    assert 0 <= number < total


def test_symbols_of_a_word_are_the_price():
    symbols = spelling_of(WORDS).symbols("바다")

    assert math.fsum(math.log(total) for _, total in symbols) == pytest.approx(WORDS.unk_cost("바다"))


def test_read_ends_with_the_code():
    """The zeros after the end of the code are an unknown word without end."""
    with pytest.raises(EOFError):
        spelling_of(WORDS).read(RangeDecoder(b"").decode_number)


def test_bytes_have_no_unknown_pieces():
    assert spelling_of(ByteTokenizer()) is None

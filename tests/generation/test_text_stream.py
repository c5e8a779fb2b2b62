"""The text of a row: incomplete characters, stop strings."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqgen.generation.text_stream import TextStream
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer

from .running import cut

JAMO = CharTokenizer(sorted("\u1100\u1102\u1161\u11abㅋe\u0301"), "nfd")
PIECES = WordTokenizer(["a", "b", "c", "ab", "bc", "abc", "cab", "한", "글"])  # one text has many encodings


def stream(tokenizer: Tokenizer, ids: list[int], stop: list[str]) -> list[str]:
    """Return every piece of a stream, the flushed one last."""
    text_stream, pieces = TextStream(tokenizer, stop), []
    for token in ids:
        pieces.append(text_stream.push(token))
        if text_stream.stopped:
            break
    return [*pieces, text_stream.flush()]


@settings(max_examples=100)
@example(ids=[7], stop=["abc", "b"])  # one stop ends inside the other
@example(ids=[2, 2, 2, 3], stop=["aab"])  # the stop begins again within itself
@given(
    ids=st.lists(st.integers(2, len(PIECES.id_to_bytes) - 1), max_size=15),
    stop=st.lists(st.text("ab", min_size=1, max_size=4) | st.text("abc한", min_size=1, max_size=4), max_size=3),
)
def test_text_stream_ends_at_the_first_stop_however_tokens_cut_it(ids, stop):
    assert "".join(stream(PIECES, ids, stop)) == cut(PIECES.decode(ids), stop)


@settings(max_examples=100)
@given(text=st.text(max_size=20), stop=st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_text_stream_of_bytes_ends_at_the_first_stop(text, stop):
    tokenizer = ByteTokenizer()

    assert "".join(stream(tokenizer, tokenizer.encode(text).tolist(), stop)) == cut(text, stop)


@settings(max_examples=100)
@example(ids=JAMO.encode("간나").tolist(), stop=["가"])  # not a stop once a final consonant has joined it
@given(
    ids=st.lists(st.integers(1, JAMO.vocab_size - 1), max_size=20),
    stop=st.lists(st.text("가간나ㅋe\u0301é", min_size=1, max_size=3), max_size=2),
)
def test_text_stream_of_jamo_ends_at_the_first_stop_in_any_form(ids, stop):
    expected = cut(JAMO.decode(ids), [unicodedata.normalize("NFC", one) for one in stop])

    assert "".join(stream(JAMO, ids, stop)) == expected


@settings(max_examples=100)
@given(ids=st.lists(st.integers(0, 256), max_size=30))
def test_text_stream_of_invalid_bytes_equals_decoding_at_once(ids):
    tokenizer = ByteTokenizer()

    assert "".join(stream(tokenizer, ids, [])) == tokenizer.decode(ids)


@settings(max_examples=100)
@given(ids=st.lists(st.integers(2, 8), max_size=15), stop=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_text_stream_holds_back_only_what_may_begin_a_stop(ids, stop):
    text_stream, shown = TextStream(PIECES, stop), ""
    for count, token in enumerate(ids, start=1):
        shown += text_stream.push(token)
        if text_stream.stopped:
            return
        held = PIECES.decode(ids[:count])[len(shown) :]
        assert not held or any(one.startswith(held) and one != held for one in stop)


def test_text_stream_never_shows_a_stop_across_tokens():
    a, ab, bc = (PIECES.words.index(word) + 2 for word in ("a", "ab", "bc"))

    assert stream(PIECES, [a, bc, ab], ["cab", "x"]) == ["a", "b", "", ""]


def test_text_stream_flushes_an_unfinished_stop():
    assert stream(ByteTokenizer(), ByteTokenizer().encode("ab\n").tolist(), ["\n\n"]) == ["a", "b", "", "\n"]


@pytest.mark.parametrize("character", ["é", "한", "🙂"])
def test_text_stream_keeps_characters_across_tokens_whole(character):
    ids = ByteTokenizer().encode("a" + character).tolist()

    assert stream(ByteTokenizer(), ids, []) == ["a", *[""] * (len(ids) - 2), character, ""]
    assert stream(ByteTokenizer(), ids[:-1], [])[-1] == "\ufffd"

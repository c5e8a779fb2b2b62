"""The laws of normalization: what comes back, where a text may be cut, and what does not come apart."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgen.errors import TokenizerError
from seqgen.tokenizers import build
from seqgen.tokenizers import normalization as normalization_module
from seqgen.tokenizers.base import TOKENIZER_FILE, Tokenizer, to_json
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import Normalization, TokenizerConfig
from seqgen.tokenizers.normalization import (
    combines_with_previous,
    compose_chunks,
    count_changed_characters,
    last_boundary_at_multiple,
    last_normalization_boundary,
    normalize,
)

law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NORMALIZING: list[Normalization] = ["nfc", "nfd"]
CLOSE = [
    *map(chr, range(0x1100, 0x1200)),  # conjoining jamo, in any order
    *"가각한힣ㄱㅋㅏ\ua960\ud7b0",  # syllables, compatibility jamo, jamo of Old Korean
    *"aeo<=;\n\r",
    *"\u0300\u0301\u0327\u0338\u0345\u05b0\u094d\u3099",  # marks of several classes
    *"\u09c7\u09be\u09d7\u0dd9\u0dcf\u0ddc",  # composed although the second is no mark of a class
    *"\u00e9\u1e69\u1ea5\u2126\u212b\uf900",  # composed, and singletons
    *"\u0344\u0f73\u0958\u2adc\ufb1d\ufb2c\U0001d15e\U0001d160",  # excluded from composition: their NFC is longer
]
TEXTS = st.text(st.one_of(st.sampled_from(CLOSE), st.characters(exclude_categories=["Cs"])), max_size=30)


def normalizing(tokenizer: Tokenizer, normalization: Normalization) -> Tokenizer:
    """The same vocabulary, over texts of another form."""
    files = tokenizer.to_files()
    named = b'"none"', f'"{normalization}"'.encode()
    return type(tokenizer).from_files({**files, TOKENIZER_FILE: files[TOKENIZER_FILE].replace(*named, 1)})


def cuts(text: str, places: list[int]) -> list[str]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


# what comes back


@law
@given(text=TEXTS)
def test_round_trip_without_normalization_is_exact(lossless, text):
    assert lossless.normalization == "none"
    assert lossless.decode(lossless.encode(text)) == lossless.written(text) == text


@pytest.mark.parametrize("normalization", NORMALIZING)
@law
@given(text=TEXTS)
def test_round_trip_with_normalization_is_nfc(lossless, normalization, text):
    tokenizer = normalizing(lossless, normalization)
    nfc = unicodedata.normalize("NFC", text)

    assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.written(text) == nfc
    assert not tokenizer.unknown(text)


@pytest.mark.parametrize("normalization", NORMALIZING)
@pytest.mark.parametrize("kind", ["char", "word"])
@law
@given(text=TEXTS.filter(bool))
def test_round_trip_of_char_and_word_is_nfc(kind, normalization, text):
    tokenizer = build([text, text], TokenizerConfig(kind=kind, normalization=normalization))
    known = text if kind == "char" or not tokenizer.unknown(text) else ""

    assert tokenizer.decode(tokenizer.encode(known)) == unicodedata.normalize("NFC", known)
    assert tokenizer.unknown(text).total() == (tokenizer.encode(text) == tokenizer.unknown_id).sum()


@pytest.mark.parametrize("normalization", NORMALIZING)
@law
@given(data=st.data())
def test_stream_decoder_equals_decode_on_any_ids(tokenizer, normalization, data):
    tokenizer = normalizing(tokenizer, normalization)
    any_id = st.integers(0, tokenizer.vocab_size - 1)
    ids = data.draw(st.one_of(st.lists(any_id), TEXTS.map(lambda text: tokenizer.encode(text).tolist())))
    decoder = tokenizer.stream_decoder()

    streamed = "".join([decoder.push(token) for token in ids]) + decoder.flush()

    assert streamed == tokenizer.decode(ids)
    assert unicodedata.is_normalized("NFC", streamed)


def test_stream_decoder_writes_a_syllable_once_it_is_complete():
    tokenizer = CharTokenizer.train(["한글 ㅋㅋ!"], TokenizerConfig(normalization="nfd"))
    decoder = tokenizer.stream_decoder()

    pieces = [decoder.push(token) for token in tokenizer.encode("한글 ㅋㅋ!")]

    assert pieces == ["", "", "", "한", "", "", "글", " ", "ㅋ", "ㅋ"]
    assert (decoder.flush(), decoder.flush()) == ("!", "")


def test_compatibility_jamo_are_not_decomposed():
    """Compatibility jamo are characters of their own, and a second final consonant finds no place in a syllable."""
    assert normalize("ㅋㅋ ㅠㅠ ㄳ", "nfd") == normalize("ㅋㅋ ㅠㅠ ㄳ", "nfc") == "ㅋㅋ ㅠㅠ ㄳ"
    second_final = "한\u11a8"
    assert normalize(second_final, "nfd") == "\u1112\u1161\u11ab\u11a8"
    assert normalize(normalize(second_final, "nfd"), "nfc") == second_final

    tokenizer = CharTokenizer.train(["앉다 ㅋㅋ"], TokenizerConfig(normalization="nfd"))
    assert tokenizer.characters == tuple(sorted("\u110b\u1161\u11ac \u1103ㅋ"))  # ㄵ is one jamo, not ㄴ and ㅈ


@pytest.mark.parametrize("surrogate", ["\ud800", "e\udc80\u0301"])
@pytest.mark.parametrize("normalization", NORMALIZING)
def test_lone_surrogates_become_replacement_characters(lossless, normalization, surrogate):
    tokenizer = normalizing(lossless, normalization)
    replaced = surrogate.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    assert tokenizer.decode(tokenizer.encode(surrogate)) == tokenizer.written(surrogate) == replaced


# what is kept of it


@pytest.mark.parametrize("normalization", NORMALIZING)
def test_normalization_is_in_the_fingerprint_and_the_file(tmp_path, tokenizer, normalization):
    other = normalizing(tokenizer, normalization)
    other.save(tmp_path)

    from seqgen.tokenizers import load

    assert f'"normalization": "{normalization}"' in (tmp_path / TOKENIZER_FILE).read_text("utf-8")
    assert load(tmp_path, other.fingerprint).normalization == normalization
    assert other.fingerprint != tokenizer.fingerprint


@pytest.mark.parametrize("name", ["nfkc", "NFC", "", None, 1])
def test_unknown_normalization_is_refused(name):
    with pytest.raises(TokenizerError, match="normalization"):
        ByteTokenizer.from_files({TOKENIZER_FILE: to_json("byte", normalization=name)})


# where a text may be cut


@law
@given(text=TEXTS, more=TEXTS)
def test_cut_at_a_boundary_normalizes_as_the_whole(text, more):
    place = last_normalization_boundary(text)

    for form in NORMALIZING:
        parts = normalize(text[:place], form) + normalize(text[place:] + more, form)
        assert parts == normalize(text + more, form)


@law
@given(text=TEXTS, more=TEXTS)
def test_cut_after_a_newline_normalizes_as_the_whole(text, more):
    for form in NORMALIZING:
        assert normalize(f"{text}\n", form) + normalize(more, form) == normalize(f"{text}\n{more}", form)


@law
@given(before=TEXTS, character=st.one_of(st.sampled_from(CLOSE), st.characters(exclude_categories=["Cs"])))
def test_character_that_does_not_combine_changes_nothing_before_it(before, character):
    if not combines_with_previous(character):
        for form in NORMALIZING:
            assert normalize(before + character, form) == normalize(before, form) + normalize(character, form)


@law
@given(text=TEXTS, places=st.lists(st.integers(0, 100), max_size=5))
def test_compose_chunks_equals_nfc_of_the_whole(text, places):
    assert "".join(compose_chunks(cuts(text, places))) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", 0), ("a", 0), ("ab", 1), ("e\u0301", 0), ("ae\u0301\u0327", 1), ("\u0301\u0301", 0), ("한글", 1),
        ("\u1112\u1161\u11ab", 0), ("가\u1112\u1161", 1), ("\u09c7\u09be", 0), ("a\u0f73", 0), ("가ㅋ", 1),
    ],
)  # fmt: skip
def test_last_normalization_boundary_by_hand(text, place):
    assert last_normalization_boundary(text) == place


def test_nothing_combines_with_white_space():
    parts = [found.split() for found in map(unicodedata.decomposition, map(chr, range(sys.maxunicode + 1))) if found]
    firsts = {chr(int(first, 16)) for first, *others in parts if others and first[0] != "<"}

    assert not [first for first in firsts if first.isspace() or first == "\u2581"]


@pytest.mark.parametrize("form", ["none", *NORMALIZING])
@law
@given(text=TEXTS.map(lambda text: text * 9), length=st.integers(1, 9), search=st.integers(1, 9))
def test_last_boundary_at_multiple_is_the_last_one(form, text, length, search):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalization_module, "SEARCH_CHARACTERS", search)
        place = last_boundary_at_multiple(text, length, form)

    assert len(normalize(text[:place], form)) % length == 0
    assert normalize(text[:place], form) + normalize(text[place:], form) == normalize(text, form)
    later = [at for at in range(place + 1, len(text)) if len(normalize(text[:at], form)) % length == 0]
    assert all(form != "none" and (combines_with_previous(text[at])) for at in later if at > 0)


def test_last_boundary_at_multiple_of_a_long_text():
    text = "한글 é " * 100_000

    assert len(text) - last_boundary_at_multiple(text, 1_024, "nfd") < 4_096
    assert last_boundary_at_multiple("a" + "한" * 100_000, 9, "nfd") == 0  # 1, 4, 7 ... characters


# what it costs


@law
@given(text=TEXTS, places=st.lists(st.integers(0, 100), max_size=3))
def test_changed_characters_are_where_nfc_differs(text, places):
    count = count_changed_characters(text)

    assert (count == 0) == unicodedata.is_normalized("NFC", text)
    assert count <= len(text)
    place = last_normalization_boundary(text)
    assert count_changed_characters(text[:place]) + count_changed_characters(text[place:]) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("한글 é ㅋㅋ", 0), ("e\u0301te\u0301", 4), ("\u1112\u1161\u11ab글", 3), ("\u212b\u212bA", 2), ("한\u11a8", 0)],
)
def test_changed_characters_by_hand(text, count):
    assert count_changed_characters(text) == count
    assert ByteTokenizer("nfd").changed_characters(text) == count
    assert ByteTokenizer().changed_characters(text) == 0


def test_long_run_of_marks_is_composed_in_linear_time():
    marks = "a" + "\u0301" * 200_000  # read anew at every mark, it would take minutes

    *held, released = compose_chunks(marks)

    assert "".join(held) == ""
    assert released == unicodedata.normalize("NFC", marks)


def test_normalizing_needs_no_numpy():
    code = "import sys, seqgen.tokenizers.normalization; print(*({'torch', 'numpy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"

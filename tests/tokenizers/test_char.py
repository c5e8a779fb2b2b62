from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import FIRST_ID, TOKENIZER_FILE, to_json
from seqgen.tokenizers.char import CALL_CHARACTERS, CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig


def _trained(*documents: str) -> CharTokenizer:
    return CharTokenizer.train(documents, TokenizerConfig(kind="char"))


@settings(deadline=None)
@given(vocabulary=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), data=st.data())
def test_text_of_the_vocabulary_round_trips(vocabulary, data):
    tokenizer = _trained(vocabulary)
    text = data.draw(st.text(st.sampled_from(vocabulary)))

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids) == text
    assert ids.min(initial=FIRST_ID) >= FIRST_ID
    assert not tokenizer.unknown(text)


def test_characters_are_in_code_point_order_after_boundary_and_unk():
    tokenizer = _trained("cab", "가a")

    assert tokenizer.id_to_bytes == (b"", b"\xef\xbf\xbd", b"a", b"b", b"c", "가".encode())
    assert tokenizer.encode("가bc").tolist() == [5, 3, 4]


@pytest.mark.parametrize("unseen", ["\x00", "`", "z", "가", "\ufffe", "\U0010ffff", "😀"])
def test_encode_returns_unk_for_unseen_characters(unseen):
    tokenizer = _trained("abc")

    assert tokenizer.encode(f"a{unseen}b").tolist() == [2, 1, 3]
    assert tokenizer.decode(tokenizer.encode(f"a{unseen}b")) == "a\ufffdb"


@pytest.mark.parametrize(("largest", "beyond"), [("\ufffd", "\ufffe"), ("\ufffd", "😀"), ("😀", "🙏"), ("😀", "😁")])
def test_encode_returns_unk_beyond_the_largest_character(largest, beyond):
    assert _trained(f"a{largest}").encode(largest + beyond).tolist() == [3, 1]


def test_unknown_characters_are_counted():
    assert _trained("ab").unknown("axbxy\ud800\ufffd") == {"x": 2, "y": 1, "\ufffd": 2}


def test_first_and_last_code_point_have_ids():
    assert _trained("\x00\U0010ffff").encode("\U0010ffff\x00b").tolist() == [3, 2, 1]


def test_surrogate_in_the_training_text_is_a_replacement_character():
    tokenizer = _trained("a\ud800")

    assert tokenizer.characters == ("a", "\ufffd")
    assert tokenizer.encode("\udfff\ufffda").tolist() == [3, 3, 2]


def test_text_longer_than_one_numpy_call_is_encoded_whole():
    text = "ab가" * CALL_CHARACTERS

    tokenizer = _trained("ab가")

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_unk_cost_is_one_of_all_other_code_points():
    # 1,114,112 code points, less 2,048 surrogates, less the two that are known.
    assert _trained("ab").unk_cost("x") == math.log(1_112_062)


def test_vocab_size_is_refused():
    with pytest.raises(ConfigError, match="vocab_size"):
        CharTokenizer.train(["abc"], TokenizerConfig(kind="char", vocab_size=3))


@pytest.mark.parametrize("characters", ["", "ba", "aab"])
def test_invalid_characters_are_refused(characters):
    with pytest.raises(TokenizerError, match="characters: "):
        CharTokenizer.from_files({TOKENIZER_FILE: to_json("char", characters=characters)})


def test_file_contains_the_characters_as_one_string():
    assert json.loads(_trained("b\na").to_files()[TOKENIZER_FILE]) == {
        "format_version": 1,
        "kind": "char",
        "normalization": "none",
        "characters": "\nab",
    }

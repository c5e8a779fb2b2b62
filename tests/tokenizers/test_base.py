"""The laws of the contract, for every kind, and the files that all kinds share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgen.errors import SaveError, TokenizerError
from seqgen.tokenizers.base import (
    BOUNDARY,
    MODEL_FILE,
    TOKENIZER_FILE,
    StreamDecoder,
    Tokenizer,
    fingerprint_of,
    kind_of,
    line_split_point,
    not_empty,
    to_json,
)
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.utils.text import without_surrogates

# The fixtures are immutable, so sharing them between examples is sound.
law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@law
@given(data=st.data())
def test_lossless_tokenizers_round_trip_any_text(lossless, texts, data):
    text = data.draw(texts)

    ids = lossless.encode(text)

    assert lossless.decode(ids) == text
    assert ids.dtype == np.int32
    assert BOUNDARY not in ids
    assert not lossless.unknown(text)


@law
@given(data=st.data())
def test_encode_gives_ids_of_the_vocabulary_and_unknown_counts_unk(tokenizer, texts, data):
    text = data.draw(texts)

    ids = tokenizer.encode(text)

    assert all(0 < token < tokenizer.vocab_size for token in ids)
    assert tokenizer.unknown(text).total() == (ids == tokenizer.unknown_id).sum()


@law
@given(data=st.data())
def test_stream_decoder_equals_decode_on_any_ids(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = tokenizer.stream_decoder()

    streamed = "".join([decoder.push(token) for token in ids]) + decoder.flush()

    assert streamed == tokenizer.decode(ids)


@law
@given(data=st.data())
def test_token_texts_joined_are_the_text(tokenizer, texts, data):
    text = data.draw(texts)

    spelled = tokenizer.token_texts(text)

    assert "".join(spelled) == text
    for token, part in zip(tokenizer.encode(text).tolist(), spelled, strict=True):
        assert token == tokenizer.unknown_id or part.encode() == tokenizer.id_to_bytes[token] or len(part) <= 1


def test_token_texts_put_a_character_at_its_last_id(trained):
    assert trained["byte"].token_texts("한!") == ["", "", "한", "!"]


def test_stream_decoder_holds_back_an_incomplete_character(trained):
    decoder = trained["byte"].stream_decoder()

    assert [decoder.push(token) for token in trained["byte"].encode("한!")] == ["", "", "한", "!"]
    assert decoder.flush() == ""


def test_stream_decoder_flushes_an_incomplete_character_as_replacement():
    decoder = StreamDecoder([b"", b"\xed\x95"])

    assert (decoder.push(1), decoder.flush()) == ("", "\ufffd")


@pytest.mark.parametrize("token", [-1, 100_000])
def test_decode_refuses_ids_outside_the_vocabulary(tokenizer, token):
    with pytest.raises(TokenizerError, match=f"id {token} .* {tokenizer.vocab_size} "):
        tokenizer.decode([1, token])
    with pytest.raises(TokenizerError, match=f"id {token} "):
        tokenizer.stream_decoder().push(token)


def test_decode_takes_any_iterable(tokenizer):
    ids = tokenizer.encode("the day")

    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == tokenizer.decode(iter(ids)) == "the day"


def test_empty_text_has_no_ids(tokenizer):
    ids = tokenizer.encode("")

    assert (ids.shape, ids.dtype, tokenizer.decode(ids)) == ((0,), np.int32, "")


def test_boundary_decodes_to_nothing(tokenizer):
    assert tokenizer.decode([BOUNDARY, *tokenizer.encode("the day"), BOUNDARY]) == "the day"


@pytest.mark.parametrize("surrogate", ["\ud800", "\udfff_", "\ud83d\ude00", "a\udc80b"])
def test_lone_surrogates_are_encoded_as_replacement_characters(tokenizer, surrogate):
    replaced = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in surrogate)

    assert without_surrogates(surrogate) == replaced
    assert tokenizer.encode(surrogate).tolist() == tokenizer.encode(replaced).tolist()
    assert tokenizer.unknown(surrogate) == tokenizer.unknown(replaced)


def test_lossless_tokenizers_have_no_unk_cost(lossless):
    assert lossless.unknown_id is None
    with pytest.raises(TokenizerError, match=f"a {lossless.kind} tokenizer has no unknown pieces"):
        lossless.unk_cost("x")


def test_files_round_trip(tokenizer, corpus):
    again = type(tokenizer).from_files(tokenizer.to_files())

    assert again.encode(corpus).tolist() == tokenizer.encode(corpus).tolist()
    assert again.id_to_bytes == tokenizer.id_to_bytes
    assert again.fingerprint == tokenizer.fingerprint == fingerprint_of(tokenizer.to_files())
    assert kind_of(tokenizer.to_files()) == tokenizer.kind


def test_json_is_readable(trained):
    content = trained["char"].to_files()[TOKENIZER_FILE].decode()

    assert json.loads(content)["format_version"] == 1
    assert "한" not in content
    assert "학교" not in content
    assert "학" in content


def test_fingerprint_depends_on_names_and_contents_not_on_order():
    assert fingerprint_of({"a": b"1", "b": b"2"}) == fingerprint_of({"b": b"2", "a": b"1"})
    different = [{}, {"a": b"1"}, {"b": b"1"}, {"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}, {"a": b"", "b": b"12"}]
    assert len({fingerprint_of(files) for files in different}) == len(different)


def _changed(tokenizer: Tokenizer, **fields: object) -> dict[str, bytes]:
    files = tokenizer.to_files()
    return {**files, TOKENIZER_FILE: json.dumps({**json.loads(files[TOKENIZER_FILE]), **fields}).encode()}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format_version": 2}, "format_version: should be 1, not 2"),
        ({"format_version": "1"}, "format_version"),
        ({"kind": "pickle"}, "kind: should be"),
        ({"surprise": 1}, "surprise: unknown setting"),
    ],
)
def test_invalid_json_fields_are_refused(tokenizer, fields, complaint):
    with pytest.raises(TokenizerError, match=complaint):
        type(tokenizer).from_files(_changed(tokenizer, **fields))


def test_missing_and_surplus_files_are_named(tokenizer):
    files = tokenizer.to_files()
    for name in files:
        with pytest.raises(TokenizerError, match=f"{name} is missing"):
            type(tokenizer).from_files({other: files[other] for other in files if other != name})
    with pytest.raises(TokenizerError, match=r"merges\.txt"):
        type(tokenizer).from_files({**files, "merges.txt": b""})


@law
@given(content=st.one_of(st.binary(), st.just(b"[" * 100_000), st.just(b'{"kind": "\\ud800"}'), st.just(b"1" * 5000)))
def test_random_json_raises_only_tokenizer_errors(tokenizer, content):
    files = {**tokenizer.to_files(), TOKENIZER_FILE: content}

    with pytest.raises(TokenizerError, match=TOKENIZER_FILE):
        kind_of(files)
    with pytest.raises(TokenizerError, match=TOKENIZER_FILE):
        type(tokenizer).from_files(files)


@law
@given(data=st.data())
def test_damaged_files_raise_only_tokenizer_errors(tokenizer, data):
    files = tokenizer.to_files()
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        damaged = type(tokenizer).from_files({**files, name: bytes(content)})
    except TokenizerError:
        return
    # What still reads is another tokenizer, or the same JSON written differently.
    assert name == TOKENIZER_FILE
    assert damaged.decode(damaged.encode("a")) in {"a", "\ufffd"}


def test_save_removes_files_of_another_kind(tmp_path, trained):
    trained["bpe"].save(tmp_path / "new" / "tokenizer")
    trained["char"].save(tmp_path / "new" / "tokenizer")

    assert [path.name for path in (tmp_path / "new" / "tokenizer").iterdir()] == [TOKENIZER_FILE]


def test_save_raises_save_error(tmp_path, tokenizer):
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match="file"):
        tokenizer.save(tmp_path / "file")


def test_not_empty_leaves_out_empty_documents():
    assert list(not_empty(["", "a\ud800", ""])) == ["a\ufffd"]
    with pytest.raises(TokenizerError, match="the text is empty"):
        list(not_empty(["", ""]))


def test_only_subword_tokenizers_have_a_model_file(tokenizer):
    assert (MODEL_FILE in tokenizer.to_files()) == (tokenizer.kind in {"unigram", "bpe"})


@pytest.mark.parametrize(
    ("text", "place"),
    [("a\nb", 2), ("a\n", 0), ("\nb", 1), ("\n b", 0), ("a\nb\n c", 2), ("a\nb\n\nc\n", 5), ("ab", 0), ("", 0)],
)
def test_line_split_point_is_after_a_newline_and_before_a_character(text, place):
    assert line_split_point(text) == place


def test_to_json_is_readable_and_always_the_same():
    assert to_json("char", characters="한") == (
        '{\n "format_version": 1,\n "kind": "char",\n "characters": "한"\n}\n'.encode()
    )


def test_token_name_shows_ends_unknown_tokens_and_parts_of_characters():
    characters, octets = CharTokenizer("ab"), ByteTokenizer()
    lead, *_ = octets.encode("왕").tolist()

    assert [characters.token_name(token) for token in range(4)] == ["<end>", "<unk>", "a", "b"]
    assert octets.token_name(lead) == "\\xec"

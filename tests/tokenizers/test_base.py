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
    not_empty,
    without_surrogates,
)

# The fixtures are immutable, so sharing them between examples is sound.
law = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@law
@given(data=st.data())
def test_any_text_comes_back_whole(lossless, texts, data):
    text = data.draw(texts)

    ids = lossless.encode(text)

    assert lossless.decode(ids) == text
    assert ids.dtype == np.int32
    assert BOUNDARY not in ids
    assert not lossless.unknown(text)


@law
@given(data=st.data())
def test_ids_are_in_the_vocabulary_and_unknown_counts_them(tokenizer, texts, data):
    text = data.draw(texts)

    ids = tokenizer.encode(text)

    assert all(0 < token < tokenizer.vocab_size for token in ids)
    assert tokenizer.unknown(text).total() == (ids == tokenizer.unknown_id).sum()


@law
@given(data=st.data())
def test_a_stream_gives_what_one_call_gives_on_any_ids(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = tokenizer.stream_decoder()

    streamed = "".join([decoder.push(token) for token in ids]) + decoder.flush()

    assert streamed == tokenizer.decode(ids)


@law
@given(data=st.data())
def test_what_each_id_stands_for_is_the_text(tokenizer, texts, data):
    text = data.draw(texts)

    spelled = tokenizer.spelled(text)

    assert "".join(spelled) == text
    for token, part in zip(tokenizer.encode(text).tolist(), spelled, strict=True):
        assert token == tokenizer.unknown_id or part.encode() == tokenizer.id_to_bytes[token] or len(part) <= 1


def test_a_character_of_several_ids_stands_with_the_last(trained):
    assert trained["byte"].spelled("한!") == ["", "", "한", "!"]


def test_a_stream_holds_a_character_back_until_it_is_whole(trained):
    decoder = trained["byte"].stream_decoder()

    assert [decoder.push(token) for token in trained["byte"].encode("한!")] == ["", "", "한", "!"]
    assert decoder.flush() == ""


def test_a_stream_that_ends_within_a_character_says_so():
    decoder = StreamDecoder([b"", b"\xed\x95"])

    assert (decoder.push(1), decoder.flush()) == ("", "\ufffd")


@pytest.mark.parametrize("token", [-1, 100_000])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, token):
    with pytest.raises(TokenizerError, match=f"no id {token} in a vocabulary of {tokenizer.vocab_size}"):
        tokenizer.decode([1, token])
    with pytest.raises(TokenizerError, match=f"no id {token} "):
        tokenizer.stream_decoder().push(token)


def test_ids_may_come_in_any_iterable(tokenizer):
    ids = tokenizer.encode("the day")

    assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == tokenizer.decode(iter(ids)) == "the day"


def test_the_empty_text_has_no_ids(tokenizer):
    ids = tokenizer.encode("")

    assert (ids.shape, ids.dtype, tokenizer.decode(ids)) == ((0,), np.int32, "")


def test_the_boundary_stands_for_no_text(tokenizer):
    assert tokenizer.decode([BOUNDARY, *tokenizer.encode("the day"), BOUNDARY]) == "the day"


@pytest.mark.parametrize("surrogate", ["\ud800", "\udfff_", "\ud83d\ude00", "a\udc80b"])
def test_each_lone_surrogate_counts_as_a_replacement_character(tokenizer, surrogate):
    replaced = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in surrogate)

    assert without_surrogates(surrogate) == replaced
    assert tokenizer.encode(surrogate).tolist() == tokenizer.encode(replaced).tolist()
    assert tokenizer.unknown(surrogate) == tokenizer.unknown(replaced)


def test_kinds_without_unknown_pieces_have_no_spelling_for_them(lossless):
    assert lossless.unknown_id is None
    with pytest.raises(TokenizerError, match=f"a {lossless.kind} tokenizer has no unknown pieces"):
        lossless.unk_cost("x")


def test_files_give_the_same_tokenizer_back(tokenizer, corpus):
    again = type(tokenizer).from_files(tokenizer.to_files())

    assert again.encode(corpus).tolist() == tokenizer.encode(corpus).tolist()
    assert again.id_to_bytes == tokenizer.id_to_bytes
    assert again.fingerprint == tokenizer.fingerprint == fingerprint_of(tokenizer.to_files())
    assert kind_of(tokenizer.to_files()) == tokenizer.kind


def test_the_json_is_for_people_to_read(trained):
    content = trained["char"].to_files()[TOKENIZER_FILE].decode()

    assert json.loads(content)["format_version"] == 1
    assert "한" not in content
    assert "학교" not in content
    assert "학" in content


def test_the_fingerprint_is_over_names_and_contents_in_any_order():
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
def test_foreign_json_is_refused(tokenizer, fields, complaint):
    with pytest.raises(TokenizerError, match=complaint):
        type(tokenizer).from_files(_changed(tokenizer, **fields))


def test_a_missing_file_and_one_too_many_are_named(tokenizer):
    files = tokenizer.to_files()
    for name in files:
        with pytest.raises(TokenizerError, match=f"{name} is missing"):
            type(tokenizer).from_files({other: files[other] for other in files if other != name})
    with pytest.raises(TokenizerError, match=r"merges\.txt is no part of"):
        type(tokenizer).from_files({**files, "merges.txt": b""})


@law
@given(content=st.one_of(st.binary(), st.just(b"[" * 100_000), st.just(b'{"kind": "\\ud800"}'), st.just(b"1" * 5000)))
def test_whatever_the_bytes_only_a_tokenizer_error_comes(tokenizer, content):
    files = {**tokenizer.to_files(), TOKENIZER_FILE: content}

    with pytest.raises(TokenizerError, match=TOKENIZER_FILE):
        kind_of(files)
    with pytest.raises(TokenizerError, match=TOKENIZER_FILE):
        type(tokenizer).from_files(files)


@law
@given(data=st.data())
def test_damaged_files_raise_nothing_but_tokenizer_errors(tokenizer, data):
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


def test_saving_replaces_what_another_kind_left(tmp_path, trained):
    trained["bpe"].save(tmp_path / "new" / "tokenizer")
    trained["char"].save(tmp_path / "new" / "tokenizer")

    assert [path.name for path in (tmp_path / "new" / "tokenizer").iterdir()] == [TOKENIZER_FILE]


def test_what_cannot_be_written_is_a_save_error(tmp_path, tokenizer):
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match="file"):
        tokenizer.save(tmp_path / "file")


def test_documents_without_text_are_left_out():
    assert list(not_empty(["", "a\ud800", ""])) == ["a\ufffd"]
    with pytest.raises(TokenizerError, match="the text is empty"):
        list(not_empty(["", ""]))


def test_only_subword_tokenizers_have_a_model_file(tokenizer):
    assert (MODEL_FILE in tokenizer.to_files()) == (tokenizer.kind in {"unigram", "bpe"})

from __future__ import annotations

import hashlib
import io
import json
from itertools import chain
from pydoc_data.topics import topics
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers import subword
from seqgen.tokenizers.base import MODEL_FILE, TOKENIZER_FILE, to_json
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.subword import LINE_CAP, BpeTokenizer, SubwordTokenizer, UnigramTokenizer

CLASSES = {"unigram": UnigramTokenizer, "bpe": BpeTokenizer}


@pytest.fixture(params=CLASSES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def _trained(kind: str, *documents: str, **config: object) -> SubwordTokenizer:
    return CLASSES[kind].train(documents, TokenizerConfig.of(kind=kind, **config))


def test_pieces_longer_than_a_character_are_trained(trained, kind):
    assert {b"un", b"ne", b" it", " 👩‍👩‍👧".encode()} <= set(trained[kind].id_to_bytes)


def test_boundary_newline_and_bytes_come_first(trained, kind):
    assert trained[kind].id_to_bytes[:258] == (b"", b"\n", *(bytes([byte]) for byte in range(256)))


def test_literal_unk_is_trained_as_text(trained):
    assert b"unk" in trained["bpe"].id_to_bytes


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), cap=st.integers(1, 5), block=st.integers(1, 3))
def test_line_groups_change_no_id(trained, texts, kind, data, cap, block):
    tokenizer = CLASSES[kind](trained[kind].to_files()[MODEL_FILE], line_cap=cap)
    text = data.draw(texts)
    whole = tokenizer.encode(text).tolist()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subword, "CALL_LINES", block)
        assert tokenizer.encode(text).tolist() == whole


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lines_give_the_ids_of_the_whole(trained, texts, kind, data):
    lines = data.draw(st.lists(texts, max_size=4))
    tokenizer = trained[kind]

    parts = [tokenizer.encode(line + "\n").tolist() for line in lines]

    assert list(chain(*parts)) == tokenizer.encode("".join(line + "\n" for line in lines)).tolist()


def test_line_is_cut_at_the_cap(trained, kind):
    line = "the day " * (LINE_CAP // 8)
    tokenizer = trained[kind]

    assert tokenizer.encode(line * 3).tolist() == tokenizer.encode(line).tolist() * 3


def test_line_cap_is_in_the_fingerprint(trained, kind):
    tokenizer = trained[kind]
    model = tokenizer.to_files()[MODEL_FILE]

    assert CLASSES[kind](model).fingerprint == tokenizer.fingerprint
    assert CLASSES[kind](model, line_cap=7).fingerprint != tokenizer.fingerprint


def test_training_is_deterministic(trained, corpus, kind):
    assert _trained(kind, corpus).fingerprint == trained[kind].fingerprint


@pytest.mark.parametrize("text", ["a", "hello", "a" * 100_000, "ab " * 50_000, "▁a▅", "a\x00", " "])
def test_tiny_and_very_long_lines_train(kind, text):
    tokenizer = _trained(kind, text)

    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert 258 < tokenizer.vocab_size < 300


@pytest.mark.parametrize("text", ["\n", "\n\n\n", "▁\n", "▅▅", "\x00", "\r", "\r\r\n", "<0x00>"])
def test_empty_lines_train_only_the_space(kind, text):
    tokenizer = _trained(kind, text)

    assert tokenizer.id_to_bytes[258:] == (b" ",)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_sentencepiece_error_is_a_tokenizer_error(kind, monkeypatch):
    monkeypatch.setattr(subword.SentencePieceTrainer, "train", lambda **_: SentencePieceProcessor(model_proto=b"junk"))

    with pytest.raises(TokenizerError, match=f"sentencepiece cannot train {kind} pieces: .*use char or byte"):
        _trained(kind, "hello world")


def test_too_large_vocab_size_gives_what_the_text_allows(trained, corpus, kind):
    assert trained[kind].vocab_size < 1_000
    assert _trained(kind, corpus, vocab_size=5_000).vocab_size < 1_000


def test_possible_vocab_size_is_kept(corpus, kind):
    assert _trained(kind, corpus, vocab_size=320).vocab_size == 320


def test_too_small_vocab_size_names_the_smallest(kind):
    with pytest.raises(ConfigError, match=r"at least 266 .* and 8 characters"):
        _trained(kind, "hello world", vocab_size=265, character_coverage=1.0)

    assert _trained(kind, "hello world", vocab_size=266, character_coverage=1.0).vocab_size == 266


def test_too_small_vocab_size_grows_where_asked(kind):
    syllables = [chr(0xAC00 + number) for number in range(300)]
    texts = ["".join(syllables[start::50]) for start in range(50)]

    grown = _trained(kind, *texts, vocab_size=300, character_coverage=1.0, grow=True)

    assert {syllable.encode() for syllable in syllables} <= set(grown.id_to_bytes)
    assert _trained(kind, "hello world", vocab_size=266, character_coverage=1.0, grow=True).vocab_size == 266


def test_default_size_grows_with_the_characters(kind):
    syllables = [chr(0xAC00 + number) for number in range(2_500)]

    tokenizer = _trained(kind, *("".join(syllables[start::50]) for start in range(50)), character_coverage=1.0)

    assert {syllable.encode() for syllable in syllables} <= set(tokenizer.id_to_bytes)


def _zipf(pieces: list[str], length: int, between: str) -> str:
    """A text in which the n-th piece is as frequent as 1/n."""
    return between.join(Random(0).choices(pieces, [1 / rank for rank in range(1, len(pieces) + 1)], k=length))


def test_auto_vocabulary_has_a_hundred_examples_each():
    text = "".join(topics.values())[:300_000] * 3

    tokenizer = _trained("bpe", text, vocab_size="auto")

    times = np.bincount(tokenizer.encode(text), minlength=tokenizer.vocab_size)[258:]
    assert 550 < tokenizer.vocab_size < 1_500
    assert 50 < np.quantile(times, 0.1) < 200


def test_auto_vocabulary_of_a_short_text_has_frequent_characters(kind):
    syllables = [chr(0xAC00 + number) for number in range(1_500)]
    text = _zipf(syllables, 40_000, "")

    tokenizer = _trained(kind, text, vocab_size="auto")

    assert tokenizer.vocab_size == 512  # where all of them would take 2,090 pieces, each seen 20 times
    assert {syllable.encode() for syllable in syllables[:40]} <= set(tokenizer.id_to_bytes)
    assert syllables[-1].encode() not in tokenizer.id_to_bytes
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_auto_vocabulary_has_an_id_for_each_frequent_character(kind):
    syllables = [chr(0xAC00 + number) for number in range(300)]
    text = "".join(Random(0).sample(syllables * 100, 30_000))

    tokenizer = _trained(kind, text, vocab_size="auto")

    # the boundary, the bytes, the newline, the space, and no pair of syllables, for which the text is too short
    assert tokenizer.vocab_size == 1 + 256 + 1 + 1 + 300
    assert {syllable.encode() for syllable in syllables} <= set(tokenizer.id_to_bytes)


@pytest.mark.parametrize("text", ["\n", "x", "한국어", "hello world\n" * 20])
def test_auto_vocabulary_of_a_tiny_text(kind, text):
    tokenizer = _trained(kind, text, vocab_size="auto")

    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size < 512


def test_characters_outside_the_coverage_are_spelled_in_bytes(kind):
    tokenizer = _trained(kind, "ab" * 5_000 + "한", character_coverage=0.99)

    assert "한".encode() not in tokenizer.id_to_bytes
    assert tokenizer.decode(tokenizer.encode("한")) == "한"
    assert len(tokenizer.encode("한")) == 3


def test_long_text_is_sampled_by_lines(monkeypatch):
    monkeypatch.setattr(subword, "TRAINING_CHARACTERS", 4_000)
    documents = [f"{number:05}\n" for number in range(20_000)]

    lines, characters = subword._training_lines(documents)

    assert characters == 100_000
    assert 2_000 < 5 * len(lines) <= 4_000
    assert lines == sorted(lines)  # in their order
    assert lines == subword._training_lines(documents)[0]  # the same again
    assert 0.4 < sum(line < "10000" for line in lines) / len(lines) < 0.6  # from everywhere alike


def test_training_lines_have_nothing_that_sentencepiece_skips():
    assert subword._training_lines(["a▁b▅c\n\nd", "e" * (LINE_CAP + 1)])[0] == [*"abcd", "e" * LINE_CAP, "e"]


def test_sentencepiece_prints_nothing(corpus, kind, capfd):
    _trained(kind, corpus).encode(corpus)

    assert capfd.readouterr() == ("", "")


def test_damaged_model_never_reaches_sentencepiece(trained, kind, monkeypatch):
    files = trained[kind].to_files()
    files[MODEL_FILE] = files[MODEL_FILE][:-1]
    monkeypatch.setattr(subword, "SentencePieceProcessor", None)

    with pytest.raises(TokenizerError, match=r"sentencepiece\.model is damaged"):
        CLASSES[kind].from_files(files)


def _with_model(kind: str, model: bytes) -> dict[str, bytes]:
    described = to_json(kind, line_cap=LINE_CAP, model_sha256=hashlib.sha256(model).hexdigest())
    return {TOKENIZER_FILE: described, MODEL_FILE: model}


@pytest.mark.parametrize("model", [b"", b"junk", b"\x0a\x02\x0a\x00"])
def test_invalid_model_is_refused(kind, model):
    with pytest.raises(TokenizerError, match=r"sentencepiece\.model cannot be read"):
        CLASSES[kind].from_files(_with_model(kind, model))


@pytest.mark.parametrize(
    ("foreign", "complaint"),
    [({}, "lacks the boundary or a byte"), ({"byte_fallback": True}, "changes the text that it encodes")],
)
def test_lossy_model_is_refused(kind, corpus, foreign, complaint):
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.split("\n")),
        model_writer=model,
        model_type=kind,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=2,
        **foreign,
    )

    with pytest.raises(TokenizerError, match=complaint):
        CLASSES[kind].from_files(_with_model(kind, model.getvalue()))


def test_other_subword_kind_is_refused(trained, kind):
    other = ({*CLASSES} - {kind}).pop()

    with pytest.raises(TokenizerError, match=f"kind: should be {kind}, not {other}"):
        CLASSES[kind].from_files(trained[other].to_files())


def test_file_names_the_cap_and_the_model(trained, kind):
    files = trained[kind].to_files()

    assert json.loads(files[TOKENIZER_FILE]) == {
        "format_version": 1,
        "kind": kind,
        "normalization": "none",
        "line_cap": LINE_CAP,
        "model_sha256": hashlib.sha256(files[MODEL_FILE]).hexdigest(),
    }

"""From settings to parts, a tokenizer and ids: one way, for training and for commands."""

from __future__ import annotations

import hashlib

import pytest

from seqgen.data.config import DataConfig
from seqgen.data.texts import read_texts
from seqgen.errors import RunError, TextError
from seqgen.run import TextRecord
from seqgen.tokenizers.config import TokenizerConfig


@pytest.fixture
def data(corpus):
    """The settings of the corpus."""
    return DataConfig(text=str(corpus))


def test_the_parts_together_are_the_text(corpus, data):
    texts = read_texts(data)

    both = texts.parts.train.documents() + texts.parts.valid.documents()
    assert sum(map(len, both)) == len(corpus.read_text("utf-8"))
    assert texts.text.manifest.sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert texts.valid is None


def test_a_text_of_its_own_validates_whole(corpus, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("No one paints.\n" * 14, "utf-8")

    texts = read_texts(DataConfig.of(text=str(corpus), valid=str(valid)))

    assert texts.parts.train.documents() == (corpus.read_text("utf-8"),)
    assert texts.parts.valid.documents() == ("No one paints.\n" * 14,)
    assert texts.valid.manifest.sha256 == hashlib.sha256(valid.read_bytes()).hexdigest()


@pytest.mark.parametrize("characters", [1, 199])
def test_a_text_too_short_to_validate_on_is_refused_with_the_arithmetic(corpus, tmp_path, characters):
    valid = tmp_path / "valid.txt"
    valid.write_text("왕" * characters, "utf-8")

    with pytest.raises(
        TextError, match=rf"valid\.txt has {characters} characters?, too few .* \(at least 200\).*--valid"
    ):
        read_texts(DataConfig.of(text=str(corpus), valid=str(valid)))
    valid.write_text("왕" * 200, "utf-8")
    assert read_texts(DataConfig.of(text=str(corpus), valid=str(valid))).valid.manifest.characters == 200


@pytest.mark.parametrize("content", ["a", "a short text"])
def test_a_text_that_is_too_short_is_named(corpus, data, content):
    corpus.write_text(content, "utf-8")

    with pytest.raises(TextError, match=r"corpus\.txt.*\d+ char"):
        read_texts(data)


def test_two_characters_are_enough_where_nothing_is_withheld(corpus, data):
    corpus.write_text("ab", "utf-8")

    assert read_texts(data.model_copy(update={"valid_split": "none"})).parts.train.documents() == ("ab",)


def test_a_recorded_store_is_looked_into_and_not_written(corpus, data, tmp_path):
    sha256 = hashlib.sha256(corpus.read_bytes()).hexdigest()
    record = TextRecord(sha256=sha256, characters=1, train_tokens=1, valid_tokens=0)
    (tmp_path / "named").mkdir()

    read_texts(data.model_copy(update={"store": str(tmp_path / "named")}), record=record)

    assert list((tmp_path / "named").iterdir()) == []


def test_from_texts_to_ids(data):
    texts = read_texts(data)

    tokenizer = texts.tokenizer(TokenizerConfig())
    ids = texts.ids(tokenizer)

    for documents, portion in ((ids.train, texts.parts.train), (ids.valid, texts.parts.valid)):
        assert tuple(map(tokenizer.decode, documents)) == portion.documents()


def test_stdin_of_a_run_that_goes_on_is_looked_for_by_its_hash(data):
    record = TextRecord(sha256="1" * 64, characters=1, train_tokens=1, valid_tokens=0)

    with pytest.raises(RunError, match=r"stdin, which can be read once, and the store in .* has its text no more"):
        read_texts(data.model_copy(update={"text": ("-",)}), record=record)

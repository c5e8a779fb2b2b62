"""Building by config and loading from a directory."""

from __future__ import annotations

import pytest

import seqgen.tokenizers
from seqgen.errors import TokenizerError
from seqgen.tokenizers import KINDS, build, load
from seqgen.tokenizers.base import MODEL_FILE, TOKENIZER_FILE
from seqgen.tokenizers.config import TokenizerConfig


def test_each_kind_builds_the_class_of_its_name(trained):
    assert {kind: type(tokenizer).__name__ for kind, tokenizer in trained.items()} == {
        kind: name for kind, (_, name) in KINDS.items()
    }
    assert all(tokenizer.kind == kind for kind, tokenizer in trained.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("documents", [[], [""], ["", ""]])
def test_empty_texts_are_one_clear_error(kind, documents):
    with pytest.raises(TokenizerError, match="the text is empty"):
        build(iter(documents), TokenizerConfig(kind=kind))


def test_what_was_saved_is_loaded(tmp_path, tokenizer, corpus):
    tokenizer.save(tmp_path)

    for loaded in (load(tmp_path), load(tmp_path, tokenizer.fingerprint)):
        assert type(loaded) is type(tokenizer)
        assert loaded.encode(corpus).tolist() == tokenizer.encode(corpus).tolist()
        assert loaded.fingerprint == tokenizer.fingerprint


def test_a_changed_byte_is_refused_before_anything_is_parsed(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(seqgen.tokenizers, "import_module", None)  # what parses is never reached
    for name, content in tokenizer.to_files().items():
        for place in (0, len(content) // 2, len(content) - 1):
            tokenizer.save(tmp_path)
            changed = bytearray(content)
            changed[place] ^= 1
            (tmp_path / name).write_bytes(changed)

            with pytest.raises(TokenizerError, match=f"{tmp_path}: this is not the tokenizer that belongs here"):
                load(tmp_path, tokenizer.fingerprint)


def test_another_tokenizer_is_refused(tmp_path, trained):
    trained["bpe"].save(tmp_path)

    with pytest.raises(TokenizerError, match="fingerprint"):
        load(tmp_path, trained["unigram"].fingerprint)


def test_what_is_missing_is_named(tmp_path, trained):
    with pytest.raises(TokenizerError, match=f"{tmp_path / 'none'}: there is no such directory"):
        load(tmp_path / "none")
    with pytest.raises(TokenizerError, match=f"{tmp_path}: {TOKENIZER_FILE} is missing"):
        load(tmp_path)
    trained["bpe"].save(tmp_path)
    (tmp_path / MODEL_FILE).unlink()
    with pytest.raises(TokenizerError, match=f"{tmp_path}: {MODEL_FILE} is missing"):
        load(tmp_path)


def test_files_of_others_in_the_directory_are_left_alone(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    assert load(tmp_path, tokenizer.fingerprint).kind == tokenizer.kind


def test_files_too_large_for_a_tokenizer_are_not_read_whole(tmp_path, trained, monkeypatch):
    trained["bpe"].save(tmp_path)
    monkeypatch.setattr(seqgen.tokenizers, "SIZE_CAP", 1_000)

    with pytest.raises(TokenizerError, match=f"{MODEL_FILE} is too large"):
        load(tmp_path)


def test_what_cannot_be_read_is_an_error_too(tmp_path, trained, monkeypatch):
    trained["char"].save(tmp_path)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(TokenizerError, match=f"{tmp_path}: the tokenizer cannot be read: Permission denied"):
        load(tmp_path)

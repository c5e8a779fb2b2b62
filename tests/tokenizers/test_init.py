"""Building by config and loading from a directory."""

from __future__ import annotations

import pytest

import seqgen.tokenizers
from seqgen.errors import TokenizerError
from seqgen.tokenizers import KINDS, build, load
from seqgen.tokenizers.base import MODEL_FILE, TOKENIZER_FILE
from seqgen.tokenizers.config import TokenizerConfig


def test_each_kind_builds_its_class(trained):
    assert {kind: type(tokenizer).__name__ for kind, tokenizer in trained.items()} == {
        kind: name for kind, (_, name) in KINDS.items()
    }
    assert all(tokenizer.kind == kind for kind, tokenizer in trained.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("documents", [[], [""], ["", ""]])
def test_empty_texts_are_refused(kind, documents):
    with pytest.raises(TokenizerError, match="the text is empty"):
        build(iter(documents), TokenizerConfig(kind=kind))


def test_save_and_load_round_trip(tmp_path, tokenizer, corpus):
    tokenizer.save(tmp_path)

    for loaded in (load(tmp_path), load(tmp_path, tokenizer.fingerprint)):
        assert type(loaded) is type(tokenizer)
        assert loaded.encode(corpus).tolist() == tokenizer.encode(corpus).tolist()
        assert loaded.fingerprint == tokenizer.fingerprint


def test_changed_byte_is_refused_before_parsing(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(seqgen.tokenizers, "import_module", None)  # what parses is never reached
    for name, content in tokenizer.to_files().items():
        for place in (0, len(content) // 2, len(content) - 1):
            tokenizer.save(tmp_path)
            changed = bytearray(content)
            changed[place] ^= 1
            (tmp_path / name).write_bytes(changed)

            with pytest.raises(TokenizerError, match=f"{tmp_path}: this is not the tokenizer that belongs here"):
                load(tmp_path, tokenizer.fingerprint)


def test_other_fingerprint_is_refused(tmp_path, trained):
    trained["bpe"].save(tmp_path)

    with pytest.raises(TokenizerError, match="fingerprint"):
        load(tmp_path, trained["unigram"].fingerprint)


def test_missing_files_are_named(tmp_path, trained):
    with pytest.raises(TokenizerError, match=f"{tmp_path / 'none'}: the directory is missing"):
        load(tmp_path / "none")
    with pytest.raises(TokenizerError, match=f"{tmp_path}: {TOKENIZER_FILE} is missing"):
        load(tmp_path)
    trained["bpe"].save(tmp_path)
    (tmp_path / MODEL_FILE).unlink()
    with pytest.raises(TokenizerError, match=f"{tmp_path}: {MODEL_FILE} is missing"):
        load(tmp_path)


def test_load_ignores_other_files(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    assert load(tmp_path, tokenizer.fingerprint).kind == tokenizer.kind


def test_too_large_files_are_not_read(tmp_path, trained, monkeypatch):
    trained["bpe"].save(tmp_path)
    monkeypatch.setattr(seqgen.tokenizers, "MAX_BYTES", 1_000)

    with pytest.raises(TokenizerError, match=f"{MODEL_FILE} is too large"):
        load(tmp_path)


def test_unreadable_file_is_a_tokenizer_error(tmp_path, trained, monkeypatch):
    trained["char"].save(tmp_path)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(TokenizerError, match=f"{tmp_path}: the tokenizer cannot be read: Permission denied"):
        load(tmp_path)

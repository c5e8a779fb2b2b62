from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from seqgen.errors import SaveError, TextError
from seqgen.sources.catalog.download_cache import cache_directory, corpus_directory, hash_file, held_hash, hold_hash

HASH = hashlib.sha256(b"held").hexdigest()


def test_the_environment_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))

    assert cache_directory() == tmp_path
    assert corpus_directory("text8") == tmp_path / "corpora" / "text8"


def test_else_it_is_the_users_own(monkeypatch):
    monkeypatch.delenv("SEQGEN_CACHE", raising=False)

    assert cache_directory().is_absolute()
    assert cache_directory().parts[-1] in {"seqgen", "Cache"}
    assert cache_directory() != Path.home()


def test_a_file_is_known_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"held")

    assert hash_file(tmp_path / "a") == HASH


def test_a_hash_is_held_although_the_file_goes(tmp_path):
    assert held_hash(tmp_path / "a") is None

    hold_hash(tmp_path / "a", HASH)

    assert not (tmp_path / "a").exists()
    assert held_hash(tmp_path / "a") == HASH


@pytest.mark.parametrize("content", [b"", b"no hash", HASH.upper().encode(), b"\xff" * 64])
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "a.sha256").write_bytes(content)

    with pytest.raises(TextError, match=r"a.sha256 holds no SHA-256; remove it"):
        held_hash(tmp_path / "a")


def test_a_record_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "a.sha256").mkdir()

    with pytest.raises(TextError, match=r"a.sha256 cannot be read"):
        held_hash(tmp_path / "a")


def test_what_cannot_be_held_is_said(tmp_path):
    with pytest.raises(SaveError, match="could not be written"):
        hold_hash(tmp_path / "nowhere" / "a", HASH)

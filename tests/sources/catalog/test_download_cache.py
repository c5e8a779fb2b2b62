from __future__ import annotations

import hashlib

import pytest

from seqgen.errors import SaveError, TextError
from seqgen.sources.catalog.download_cache import held_hash, hold_hash

HASH = hashlib.sha256(b"held").hexdigest()


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

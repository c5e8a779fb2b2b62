"""Stored ids: what is in the files, and when they are none. `test_cache.py` has how they are found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.cache import cached_ids
from seqgen.data.cache.cached_ids import CachedIds, dtype_for, write_ids
from seqgen.data.cache.cached_text import MANIFEST, PROGRESS, Span
from seqgen.data.split import Split
from seqgen.errors import ConfigError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.progress import silent

from ..caching import cache_text

TRAIN, VALID = ["the first document\n", "the second\n"], ["what is withheld?\n"]


@pytest.fixture
def split(tmp_path):
    """Two documents to learn from, and a text to validate on."""
    return Split(Span.whole(cache_text(tmp_path, *TRAIN)), Span.whole(cache_text(tmp_path, *VALID)))


@pytest.fixture
def tokenizer():
    return tokenizers.build(TRAIN, TokenizerConfig())


@pytest.fixture
def folder(tmp_path, split, tokenizer):
    """Where the ids of both are."""
    write_ids(tmp_path / "ids", split, tokenizer, silent)
    return tmp_path / "ids"


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(2, "<u1"), (256, "<u1"), (257, "<u2"), (1 << 16, "<u2"), ((1 << 16) + 1, "<u4")]
)
def test_every_id_fits_its_type_and_no_smaller_one(vocab_size, dtype):
    assert dtype_for(vocab_size) == dtype
    assert np.array(vocab_size - 1).astype(dtype) == vocab_size - 1


def test_both_parts_come_back_document_by_document(folder, tokenizer):
    stored = CachedIds(folder).check()

    assert [ids.tolist() for ids in stored.train] == [tokenizer.encode(text).tolist() for text in TRAIN]
    assert [ids.tolist() for ids in stored.valid] == [tokenizer.encode(text).tolist() for text in VALID]


def test_the_manifest_counts_both_and_names_what_made_them(folder, split, tokenizer):
    manifest = CachedIds(folder).manifest

    assert (manifest.train.documents, manifest.valid.documents) == (2, 1)
    assert (manifest.train.characters, manifest.valid.characters) == (len("".join(TRAIN)), len("".join(VALID)))
    strange = sum(character not in "".join(TRAIN) for character in VALID[0])
    assert (manifest.train.unknown, manifest.valid.unknown) == (0, strange)
    assert manifest.valid.unk_cost > manifest.train.unk_cost == 0
    assert manifest.text_sha256 == split.train.text.manifest.sha256
    assert manifest.valid_sha256 == split.valid.text.manifest.sha256
    assert manifest.tokenizer == tokenizers.load(folder / "tokenizer").fingerprint == tokenizer.fingerprint


def test_it_is_told_how_far_it_is(tmp_path, split, tokenizer):
    told = []
    write_ids(tmp_path / "told", split, tokenizer, lambda *given: told.append(given))

    total = split.train.bytes + split.valid.bytes
    done = [given[1] for given in told if given[0] == "encoding"]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert {given[2] for given in told if given[0] == "encoding"} == {total}


@pytest.mark.parametrize("name", ["ids.bin", "starts.i64"])
def test_ids_that_are_cut_short_are_none(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])

    with pytest.raises((OSError, ValueError)):
        CachedIds(folder)


@pytest.mark.parametrize("name", ["ids.bin", "starts.i64"])
def test_ids_of_which_a_byte_was_changed_are_not_as_they_were_written(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(OSError, match="not as it was written"):
        CachedIds(folder).check()


@pytest.mark.parametrize("change", [{"dtype": "<f8"}, {"vocab_size": "5"}, {"more": 1}])
def test_a_manifest_that_is_none_is_refused(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, **change}), "utf-8")

    with pytest.raises(ConfigError, match=next(iter(change))):
        CachedIds(folder)


def test_what_is_being_written_anew_is_not_whole(folder, split, tokenizer, monkeypatch):
    def interrupt(*given, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cached_ids, "encode_portion", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_ids(folder, split, tokenizer, silent)

    with pytest.raises(FileNotFoundError):
        CachedIds(folder)


@pytest.mark.parametrize("note", ["{", '{"train_shards": 1, "train": {"tokens": 30, "documents": 9}}', "[]"])
def test_a_note_of_progress_that_is_none_is_not_gone_on_from(folder, split, tokenizer, note):
    expected = [path.read_bytes() for path in sorted(folder.glob("*.*"))]
    (folder / PROGRESS).write_text(note, "utf-8")

    write_ids(folder, split, tokenizer, silent)

    assert [path.read_bytes() for path in sorted(folder.glob("*.*"))] == expected

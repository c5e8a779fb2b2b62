"""Cached ids: what is in the files, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.cache.cached_ids import CachedIds, smallest_dtype
from seqgen.data.cache.cached_text import MANIFEST, Span
from seqgen.data.cache.write_ids import write_ids
from seqgen.data.split import Split
from seqgen.errors import ConfigError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.progress import silent

from ..caching import cache_text

TRAIN, VALID = ["the first document\n", "the second\n"], ["what is withheld?\n"]


@pytest.fixture
def tokenizer():
    return tokenizers.build(TRAIN, TokenizerConfig())


@pytest.fixture
def split(tmp_path):
    return Split(Span.whole(cache_text(tmp_path, *TRAIN)), Span.whole(cache_text(tmp_path, *VALID)), "none")


@pytest.fixture
def folder(tmp_path, split, tokenizer):
    """The ids of both texts."""
    write_ids(tmp_path / "ids", split, tokenizer, silent)
    return tmp_path / "ids"


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(2, "<u1"), (256, "<u1"), (257, "<u2"), (1 << 16, "<u2"), ((1 << 16) + 1, "<u4")]
)
def test_smallest_dtype_holds_every_id(vocab_size, dtype):
    assert smallest_dtype(vocab_size) == dtype
    assert np.array(vocab_size - 1).astype(dtype) == vocab_size - 1


def test_ids_come_back_document_by_document(folder, split, tokenizer):
    ids = CachedIds(folder, split).verify()

    assert [document.tolist() for document in ids.train] == [tokenizer.encode(text).tolist() for text in TRAIN]
    assert [document.tolist() for document in ids.valid] == [tokenizer.encode(text).tolist() for text in VALID]


@pytest.mark.parametrize("name", ["ids.bin", "starts.i64"])
def test_file_that_is_cut_short_is_refused(folder, split, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])

    with pytest.raises((OSError, ValueError)):
        CachedIds(folder, split)


@pytest.mark.parametrize("name", ["ids.bin", "starts.i64"])
def test_verify_notices_a_changed_byte(folder, split, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(OSError, match="changed"):
        CachedIds(folder, split).verify()


@pytest.mark.parametrize("change", [{"dtype": "<f8"}, {"vocab_size": "5"}, {"more": 1}])
def test_invalid_manifest_is_refused(folder, split, change):
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**manifest, **change}), "utf-8")

    with pytest.raises(ConfigError, match=next(iter(change))):
        CachedIds(folder, split)

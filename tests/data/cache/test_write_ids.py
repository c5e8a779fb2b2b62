"""Writing ids: the same by any number of processes, with progress, and complete or not at all."""

from __future__ import annotations

import pytest

from seqgen import tokenizers
from seqgen.data.cache import write_ids as module
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.cache.cached_text import Span
from seqgen.data.cache.write_ids import write_ids
from seqgen.data.config import DataConfig
from seqgen.data.split import Split, split_text
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.progress import silent

from ...conftest import TEXT
from ..caching import as_lists, cache_text

TRAIN, VALID = ["the first document\n", "the second\n"], ["what is withheld?\n"]


@pytest.fixture
def split(tmp_path):
    """Two documents to train on, and a text to validate on."""
    return Split(Span.whole(cache_text(tmp_path, *TRAIN)), Span.whole(cache_text(tmp_path, *VALID)), "none")


@pytest.fixture
def tokenizer():
    return tokenizers.build(TRAIN, TokenizerConfig())


def test_manifest_counts_both_texts_and_names_what_made_the_ids(tmp_path, split, tokenizer):
    write_ids(tmp_path / "ids", split, tokenizer, silent)

    manifest = CachedIds(tmp_path / "ids", split).manifest
    assert (manifest.train.documents, manifest.valid.documents) == (2, 1)
    assert (manifest.train.characters, manifest.valid.characters) == (len("".join(TRAIN)), len("".join(VALID)))
    unseen = sum(character not in "".join(TRAIN) for character in VALID[0])
    assert (manifest.train.unknown, manifest.valid.unknown) == (0, unseen)
    assert manifest.valid.unk_cost == pytest.approx(unseen * tokenizer.unk_cost("?"))
    assert manifest.train.unk_cost == 0
    assert manifest.text_sha256 == split.train.text.manifest.sha256
    assert manifest.valid_sha256 == split.valid.text.manifest.sha256
    assert manifest.tokenizer == tokenizers.load(tmp_path / "ids" / "tokenizer").fingerprint == tokenizer.fingerprint
    assert manifest.leakage is not None


def test_one_text_has_no_validation_hash_and_without_validation_no_leakage(tmp_path, split, tokenizer):
    alone = Split(split.train, Span(split.train.text, split.train.ranges[:0]), "none")
    write_ids(tmp_path / "ids", alone, tokenizer, silent)

    manifest = CachedIds(tmp_path / "ids", alone).manifest
    assert (manifest.valid_sha256, manifest.leakage, manifest.valid.tokens) == (None, None, 0)


def test_report_receives_the_bytes_of_both_texts(tmp_path, split, tokenizer):
    reports = []
    write_ids(tmp_path / "ids", split, tokenizer, lambda *given: reports.append(given))

    total = split.train.bytes + split.valid.bytes
    encoding = [given[1:] for given in reports if given[0] == "encoding"]
    assert encoding == [(0, total), (split.train.bytes, total), (total, total)]


def test_report_of_raw_bytes_ends_at_the_total(tmp_path):
    text = Span.whole(cache_text(tmp_path, "\x80\xffa" * 9))
    tokenizer = tokenizers.build(["a"], TokenizerConfig(kind="byte", raw=True))
    reports = []

    split = Split(text, Span(text.text, text.ranges[:0]), "none")
    write_ids(tmp_path / "ids", split, tokenizer, lambda *given: reports.append(given))

    assert [given[1] for given in reports if given[0] == "encoding"][-1] == text.bytes == 45
    assert CachedIds(tmp_path / "ids", split).manifest.train.bytes == 27


@pytest.mark.slow
def test_number_of_processes_changes_no_id(tmp_path):
    text = cache_text(tmp_path, "".join(f"{number} {TEXT}" for number in range(5)))
    split = split_text(text, DataConfig(text="long.txt"))
    tokenizer = tokenizers.build([TEXT], TokenizerConfig(kind="bpe", vocab_size=300))

    for count in (1, 2):
        write_ids(tmp_path / f"by {count}", split, tokenizer, silent, count)

    one, two = (CachedIds(tmp_path / f"by {count}", split).verify() for count in (1, 2))
    assert as_lists(two) == as_lists(one)
    assert two.manifest == one.manifest
    assert sorted(path.name for path in (tmp_path / "by 2").iterdir()) == [
        "ids.bin", "manifest.json", "starts.i64", "tokenizer",
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "size", "expected"), [("char", 0, 1), ("bpe", 0, 7), ("bpe", 1 << 30, 1)])
def test_slow_tokenizers_encode_long_texts_in_processes(tmp_path, monkeypatch, split, kind, size, expected):
    seen = []
    monkeypatch.setattr(module, "processors", lambda: 7)
    monkeypatch.setattr(module, "PARALLEL_BYTES", size)
    encode = module.encode_span
    monkeypatch.setattr(module, "encode_span", lambda *a, **k: seen.append(1) or encode(*a, **k))

    def in_processes(folder, span, processes, files, **settings):
        seen.append(processes)
        return encode(span, tokenizer, files)

    monkeypatch.setattr(module, "_encode_in_processes", in_processes)
    tokenizer = tokenizers.build(TRAIN, TokenizerConfig(kind=kind))

    write_ids(tmp_path / "ids", split, tokenizer, silent)

    assert seen == [expected, expected]


def test_interrupted_writing_is_incomplete(tmp_path, split, tokenizer, monkeypatch):
    def interrupt(*given, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "encode_span", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_ids(tmp_path / "ids", split, tokenizer, silent)

    with pytest.raises(FileNotFoundError):
        CachedIds(tmp_path / "ids", split)

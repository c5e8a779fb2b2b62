"""Entries of the cache and downloads: what is listed, and what is removed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqgen.data.cache.cache import Cache, size_of
from seqgen.data.cache.entries import Entry, choose, list_entries, remove
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.sources import source as sources
from seqgen.sources.catalog.downloads import download_directory
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.locks import build_folder, hold_lock


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, without downloads."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")


def encode(cache: Cache, name: object, kind: str = "char") -> object:
    """The ids of a text by its own tokenizer, to be held or dropped."""
    data = DataConfig.of(text=str(name), valid_split="none")
    split = split_text(cache.text(data.text, data), data)
    return cache.ids(split, data, cache.tokenizer(split, data, TokenizerConfig(kind=kind)))


def shown(cache: Cache) -> list[tuple[str, str]]:
    return sorted((entry.kind, entry.made_from) for entry in list_entries(cache.path))


def test_entries_say_what_they_are_and_what_they_were_made_from(cache, corpus):
    assert list_entries(cache.path) == []
    encode(cache, corpus)
    encode(cache, corpus, "byte")

    assert shown(cache) == [
        ("ids", f"byte of {corpus}"), ("ids", f"char of {corpus}"), ("text", str(corpus)),
        ("tokenizer", f"byte of {corpus}"), ("tokenizer", f"char of {corpus}"),
    ]  # fmt: skip
    assert sum(entry.bytes for entry in list_entries(cache.path)) == size_of(cache.path)


def test_last_used_entry_comes_first(cache, corpus):
    encode(cache, corpus)
    for number, entry in enumerate(list_entries(cache.path)):
        os.utime(entry.path, (number, number))
    before = list_entries(cache.path)
    assert [entry.last_used for entry in before] == [2.0, 1.0, 0.0]

    encode(cache, corpus)

    assert all(entry.last_used > 1e9 for entry in list_entries(cache.path))


def test_removed_entries_are_built_again(cache, corpus):
    expected = [ids.tolist() for ids in encode(cache, corpus).train]
    remove(list_entries(cache.path))

    assert [ids.tolist() for ids in encode(cache, corpus).train] == expected


def test_text_from_stdin_is_removed_only_with_everything(cache, monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a text from nowhere else")))
    encode(cache, "-")
    entries = list_entries(cache.path)

    assert [entry.kind for entry in entries if entry.only_copy] == ["text"]
    assert {entry.kind for entry in choose(entries, 1e12, older_than=0.0, max_bytes=0)} == {"ids", "tokenizer"}
    assert len(choose(entries, 0.0, everything=True)) == 3


def test_text_of_the_catalog_is_not_the_only_copy(cache):
    encode(cache, "corpus:pydoc")

    assert not any(entry.only_copy for entry in list_entries(cache.path))


def test_unfinished_entry_is_listed_and_removed_once_nobody_builds_it(cache):
    (cache.path / "texts").mkdir(parents=True)
    with build_folder(cache.path / "texts", "name") as building:
        building.mkdir()
        (building / "half").write_bytes(b"12345")
        (entry,) = list_entries(cache.path)
        assert (entry.kind, entry.bytes) == ("unfinished", 5)
        assert remove([entry]) == []
        building.rename(building.with_name(".building-killed"))
    (entry,) = list_entries(cache.path)

    assert remove([entry]) == [entry]
    assert list_entries(cache.path) == []


def test_download_is_listed_and_removed(cache):
    folder = download_directory("cheese")
    folder.mkdir(parents=True)
    (folder / "cheese.zip").write_bytes(b"1234567")

    with hold_lock(folder, "fetching"):
        (entry,) = list_entries(cache.path)
        assert (entry.kind, entry.made_from, entry.bytes) == ("download", "corpus:cheese", 7)
        assert remove([entry]) == []
    (entry,) = list_entries(cache.path)
    assert list_entries(cache.path, downloads=False) == []
    assert choose([entry], 0.0, max_bytes=0) == [entry]
    assert remove([entry]) == [entry]

    assert not folder.exists()
    assert list_entries(cache.path) == []


def entry(number: int, *, used: float, only_copy: bool = False) -> Entry:
    return Entry("ids", Path(str(number)), "", 10, used, only_copy)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({"older_than": 50.0}, [0, 1]),
        ({"older_than": 60.0}, [0]),  # unused for longer than that, not just as long
        ({"older_than": 1e9}, []),
        ({"max_bytes": 25}, [0, 1, 2]),
        ({"max_bytes": 30}, [0, 1]),
        ({"max_bytes": 50}, []),
        ({"older_than": 75.0, "max_bytes": 35}, [0, 1]),
        ({"max_bytes": 0}, [0, 1, 2, 3]),
        ({"everything": True}, [0, 1, 2, 3, 4]),
    ],
)
def test_choose_removes_the_longest_unused_first(wanted, chosen):
    entries = [entry(number, used=20.0 * number) for number in range(4)] + [entry(4, used=1.0, only_copy=True)]

    assert sorted(int(str(one.path)) for one in choose(entries, 80.0, **wanted)) == chosen


def test_damaged_entry_is_listed_and_removed(cache, corpus):
    encode(cache, corpus)
    for path in cache.path.rglob("entry.json"):
        path.write_text("{")

    assert ("text", "unknown") in shown(cache)
    assert len(remove(list_entries(cache.path))) == 3

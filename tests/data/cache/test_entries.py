"""What the cache and the downloads hold, which of it is removed, and what never is."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqgen.data.cache import cache as cache_module
from seqgen.data.cache.cache import Cache, size_of
from seqgen.data.cache.entries import Entry, choose, list_entries, remove
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.sources import source as sources
from seqgen.sources.catalog.download_cache import download_directory, hold_hash
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.locks import alone, making


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, and a cache without downloads; files of a moment ago are trusted."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache_module, "SETTLED", -60.0)
    return Cache(tmp_path / "cache")


def encode(cache: Cache, name: object, kind: str = "char") -> object:
    """The ids of a text by its own tokenizer, to be held or dropped."""
    data = DataConfig.of(text=str(name), valid_split="none")
    split = split_text(cache.text(data.text, data), data)
    return cache.ids(split, data, cache.tokenizer(split, data, TokenizerConfig(kind=kind)))


def shown(cache: Cache) -> list[tuple[str, str]]:
    return sorted((entry.kind, entry.made_from) for entry in list_entries(cache.path))


def test_an_entry_says_what_it_is_and_what_it_was_made_from(cache, corpus):
    assert list_entries(cache.path) == []
    encode(cache, corpus)
    encode(cache, corpus, "byte")

    assert shown(cache) == [
        ("ids", f"byte of {corpus}"), ("ids", f"char of {corpus}"), ("text", str(corpus)),
        ("tokenizer", f"byte of {corpus}"), ("tokenizer", f"char of {corpus}"),
    ]  # fmt: skip
    known = size_of(cache.path / "known")
    assert sum(entry.bytes for entry in list_entries(cache.path)) == size_of(cache.path) - known


def test_what_was_used_last_comes_first(cache, corpus):
    encode(cache, corpus)
    for number, entry in enumerate(list_entries(cache.path)):
        os.utime(entry.path, (number, number))
    before = list_entries(cache.path)
    assert [entry.last_used for entry in before] == [2.0, 1.0, 0.0]

    encode(cache, corpus)

    assert all(entry.last_used > 1e9 for entry in list_entries(cache.path))


def test_what_is_used_is_never_removed(cache, corpus):
    ids = encode(cache, corpus)
    train = ids.train
    del ids
    text = cache.text([str(corpus)], DataConfig())
    entries = list_entries(cache.path)
    assert {entry.kind for entry in entries if entry.in_use} == {"ids", "text"}
    assert [entry.kind for entry in choose(entries, 0.0, everything=True)] == ["tokenizer"]

    gone = remove(entries)  # as if they had come into use meanwhile
    assert [entry.kind for entry in gone] == ["tokenizer"]
    assert text.read(0, 3) == "The"
    del text, train

    assert len(remove(list_entries(cache.path))) == 2
    assert size_of(cache.path) == 0, "what is known of a text that is gone is gone too"


def test_what_was_removed_is_made_again(cache, corpus):
    expected = [ids.tolist() for ids in encode(cache, corpus).train]
    remove(list_entries(cache.path))

    assert [ids.tolist() for ids in encode(cache, corpus).train] == expected


def test_ids_of_a_text_that_was_removed_say_so(cache, corpus):
    encode(cache, corpus)
    remove(entry for entry in list_entries(cache.path) if entry.kind == "text")

    assert [kind for kind, made_from in shown(cache) if "char of a text that was removed" in made_from] == [
        "ids", "tokenizer",
    ]  # fmt: skip


def test_a_text_that_came_from_stdin_is_removed_with_everything_alone(cache, monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a text from nowhere else")))
    encode(cache, "-")
    entries = list_entries(cache.path)

    assert [entry.kind for entry in entries if entry.only_copy] == ["text"]
    assert {entry.kind for entry in choose(entries, 1e12, older_than=0.0, max_bytes=0)} == {"ids", "tokenizer"}
    assert len(choose(entries, 0.0, everything=True)) == 3


def test_a_text_of_the_catalogue_is_not_the_only_copy(cache):
    encode(cache, "corpus:pydoc")

    assert not any(entry.only_copy for entry in list_entries(cache.path))


def test_unfinished_work_is_an_entry(cache):
    (cache.path / "texts").mkdir(parents=True)
    with making(cache.path / "texts", "name") as made:
        made.mkdir()
        (made / "half").write_bytes(b"12345")
        (entry,) = list_entries(cache.path)
        assert (entry.kind, entry.bytes, entry.in_use) == ("unfinished", 5, True)
        assert remove([entry]) == []
        made.rename(made.with_name(".making-killed"))
    (entry,) = list_entries(cache.path)

    assert not entry.in_use
    assert remove([entry]) == [entry]


def test_a_download_is_an_entry_and_its_held_hash_is_none(cache):
    folder = download_directory("cheese")
    folder.mkdir(parents=True)
    (folder / "cheese.zip").write_bytes(b"1234567")
    hold_hash(folder / "cheese.zip", "0" * 64)

    with alone(folder, "fetching"):
        (entry,) = list_entries(cache.path)
        assert (entry.kind, entry.made_from, entry.bytes, entry.in_use) == ("download", "corpus:cheese", 7, True)
        assert remove([entry]) == []
    (entry,) = list_entries(cache.path)
    assert not entry.in_use
    assert remove([entry]) == [entry]

    assert [path.name for path in folder.iterdir()] == ["cheese.zip.sha256"]
    assert list_entries(cache.path) == []


def entry(number: int, *, size: int = 10, used: float = 0.0, **states: bool) -> Entry:
    return Entry("ids", Path(str(number)), "", size, used, states.get("in_use", False), states.get("only_copy", False))


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({"older_than": 50.0}, [0, 1]),
        ({"older_than": 1e9}, []),
        ({"max_bytes": 25}, [0, 1, 2]),
        ({"max_bytes": 30}, [0, 1]),
        ({"max_bytes": 50}, []),
        ({"older_than": 75.0, "max_bytes": 35}, [0, 1]),
        ({"max_bytes": 0}, [0, 1, 2, 3]),
        ({"everything": True}, [0, 1, 2, 3]),
    ],
)
def test_the_last_used_longest_ago_go_first(wanted, chosen):
    entries = [entry(number, used=20.0 * number) for number in range(4)] + [entry(4, used=1.0, in_use=True)]

    assert sorted(int(str(one.path)) for one in choose(entries, 80.0, **wanted)) == chosen


def test_what_cannot_be_read_is_listed_all_the_same(cache, corpus):
    encode(cache, corpus)
    for path in cache.path.rglob("manifest.json"):
        path.write_text("{")

    assert ("text", "a text that cannot be read") in shown(cache)
    assert len(remove(list_entries(cache.path))) == 3

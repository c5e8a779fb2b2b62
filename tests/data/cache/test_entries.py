"""What the store and the downloads hold, which of it is removed, and what never is."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqgen.data.cache import cache as store_module
from seqgen.data.cache.cache import Cache, size_of
from seqgen.data.cache.entries import Entry, choose, list_entries, remove
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.sources import source as sources
from seqgen.sources.catalog.downloads import download_directory
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.locks import alone, making


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of its own, and a cache without downloads; files of a moment ago are trusted."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store_module, "SETTLED", -60.0)
    return Cache(tmp_path / "store")


def encode(store: Cache, name: object, kind: str = "char") -> object:
    """The ids of a text by its own tokenizer, to be held or dropped."""
    data = DataConfig.of(text=str(name), valid_split="none")
    parts = split_text(store.text(data.text, data), data)
    return store.ids(parts, data, store.tokenizer(parts, data, TokenizerConfig(kind=kind)))


def shown(store: Cache) -> list[tuple[str, str]]:
    return sorted((entry.kind, entry.made_from) for entry in list_entries(store.path))


def test_an_entry_says_what_it_is_and_what_it_was_made_from(store, corpus):
    assert list_entries(store.path) == []
    encode(store, corpus)
    encode(store, corpus, "byte")

    assert shown(store) == [
        ("ids", f"byte of {corpus}"), ("ids", f"char of {corpus}"), ("text", str(corpus)),
        ("tokenizer", f"byte of {corpus}"), ("tokenizer", f"char of {corpus}"),
    ]  # fmt: skip
    known = size_of(store.path / "known")
    assert sum(entry.bytes for entry in list_entries(store.path)) == size_of(store.path) - known


def test_what_was_used_last_comes_first(store, corpus):
    encode(store, corpus)
    for number, entry in enumerate(list_entries(store.path)):
        os.utime(entry.path, (number, number))
    before = list_entries(store.path)
    assert [entry.last_used for entry in before] == [2.0, 1.0, 0.0]

    encode(store, corpus)

    assert all(entry.last_used > 1e9 for entry in list_entries(store.path))


def test_what_is_used_is_never_removed(store, corpus):
    ids = encode(store, corpus)
    train = ids.train
    del ids
    text = store.text([str(corpus)], DataConfig())
    entries = list_entries(store.path)
    assert {entry.kind for entry in entries if entry.in_use} == {"ids", "text"}
    assert [entry.kind for entry in choose(entries, 0.0, everything=True)] == ["tokenizer"]

    gone = remove(entries)  # as if they had come into use meanwhile
    assert [entry.kind for entry in gone] == ["tokenizer"]
    assert text.read(0, 3) == "The"
    del text, train

    assert len(remove(list_entries(store.path))) == 2
    assert size_of(store.path) == 0, "what is known of a text that is gone is gone too"


def test_what_was_removed_is_made_again(store, corpus):
    expected = [ids.tolist() for ids in encode(store, corpus).train]
    remove(list_entries(store.path))

    assert [ids.tolist() for ids in encode(store, corpus).train] == expected


def test_ids_of_a_text_that_was_removed_say_so(store, corpus):
    encode(store, corpus)
    remove(entry for entry in list_entries(store.path) if entry.kind == "text")

    assert [kind for kind, made_from in shown(store) if "char of a text that was removed" in made_from] == [
        "ids", "tokenizer",
    ]  # fmt: skip


def test_a_text_that_came_from_stdin_is_removed_with_everything_alone(store, monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a text from nowhere else")))
    encode(store, "-")
    entries = list_entries(store.path)

    assert [entry.kind for entry in entries if entry.only_copy] == ["text"]
    assert {entry.kind for entry in choose(entries, 1e12, older_than=0.0, max_bytes=0)} == {"ids", "tokenizer"}
    assert len(choose(entries, 0.0, everything=True)) == 3


def test_a_text_of_the_catalogue_is_not_the_only_copy(store):
    encode(store, "corpus:pydoc")

    assert not any(entry.only_copy for entry in list_entries(store.path))


def test_unfinished_work_is_an_entry(store):
    (store.path / "texts").mkdir(parents=True)
    with making(store.path / "texts", "name") as made:
        made.mkdir()
        (made / "half").write_bytes(b"12345")
        (entry,) = list_entries(store.path)
        assert (entry.kind, entry.bytes, entry.in_use) == ("unfinished", 5, True)
        assert remove([entry]) == []
        made.rename(made.with_name(".making-killed"))
    (entry,) = list_entries(store.path)

    assert not entry.in_use
    assert remove([entry]) == [entry]


def test_a_download_is_an_entry(store):
    folder = download_directory("cheese")
    folder.mkdir(parents=True)
    (folder / "cheese.zip").write_bytes(b"1234567")

    with alone(folder, "fetching"):
        (entry,) = list_entries(store.path)
        assert (entry.kind, entry.made_from, entry.bytes, entry.in_use) == ("download", "corpus:cheese", 7, True)
        assert remove([entry]) == []
    (entry,) = list_entries(store.path)
    assert not entry.in_use
    assert remove([entry]) == [entry]

    assert not folder.exists()
    assert list_entries(store.path) == []


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


def test_what_cannot_be_read_is_listed_all_the_same(store, corpus):
    encode(store, corpus)
    for path in store.path.rglob("manifest.json"):
        path.write_text("{")

    assert ("text", "a text that cannot be read") in shown(store)
    assert len(remove(list_entries(store.path))) == 3

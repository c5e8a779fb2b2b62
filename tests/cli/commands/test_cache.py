"""`seqgen cache list|prune`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqgen.data.cache.cache import size_of
from seqgen.utils.locks import build_folder


@pytest.fixture
def filled(answers, corpus, monkeypatch, tmp_path):
    """A cache directory with a text, a tokenizer and ids."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "kept"))
    answers("corpus", "encode", "corpus.txt", "--quiet")
    return tmp_path / "kept"


def test_list_of_an_empty_cache_is_empty(invoke, in_tmp, monkeypatch):
    monkeypatch.setenv("SEQGEN_CACHE", str(in_tmp))

    assert json.loads(invoke("cache", "list", "--json").stdout) == []
    assert invoke("cache", "list").stdout == ""
    assert "0 entries" in invoke("cache", "list").stderr
    assert invoke("cache", "prune", "--all").exit_code == 0


def test_list_has_a_line_for_each_entry(answers, filled):
    lines = answers("cache", "list").splitlines()
    records = json.loads(answers("cache", "list", "--json"))

    assert lines[0].split() == ["kind", "size", "last", "used", "made", "from"]
    assert sorted(line.split()[0] for line in lines[1:]) == ["ids", "text", "tokenizer"]
    assert sum("corpus.txt" in line for line in lines) == 3
    assert {key for record in records for key in record} == {
        "kind", "path", "made_from", "bytes", "last_used", "only_copy",
    }  # fmt: skip
    assert all(Path(record["path"]).is_dir() and record["bytes"] == size_of(Path(record["path"])) for record in records)


def test_a_dry_run_removes_nothing(answers, filled):
    before = size_of(filled)
    shown = json.loads(answers("cache", "prune", "--all", "--dry-run", "--json"))

    assert size_of(filled) == before
    assert (shown["dry_run"], len(shown["removed"]), shown["kept"]) == (True, 3, [])
    assert len(answers("cache", "prune", "--all", "--dry-run").splitlines()) == 4


def test_prune_all_keeps_entries_that_are_being_built(invoke, answers, filled):
    with build_folder(filled / "ids", "name") as building:
        building.mkdir()
        pruned = json.loads(answers("cache", "prune", "--all", "--json"))
        assert [record["kind"] for record in pruned["kept"]] == ["unfinished"]
        assert "1 entry, " in invoke("cache", "prune", "--all").stderr

    assert json.loads(answers("cache", "list", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--older-than", "30d"], 3),
        (["--older-than", "0.000001s"], 0),
        (["--max-size", "1GB"], 3),
        (["--max-size", "0MB"], 0),
        (["--older-than", "30d", "--max-size", "0MB"], 0),
    ],
)
def test_prune_removes_old_entries_and_those_beyond_max_size(answers, filled, arguments, left):
    answers("cache", "prune", *arguments)

    assert len(json.loads(answers("cache", "list", "--json"))) == left


def test_prune_removes_the_least_recently_used_entry_first(answers, filled):
    records = json.loads(answers("cache", "list", "--json"))
    kilobytes = (sum(record["bytes"] for record in records) - 1) / 1000

    answers("cache", "prune", "--max-size", f"{kilobytes} kB")

    left = json.loads(answers("cache", "list", "--json"))
    assert [record["path"] for record in left] == [record["path"] for record in records[:-1]]


def test_cache_dir_names_another_cache(answers, filled, monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "empty"))

    assert json.loads(answers("cache", "list", "--json")) == []
    assert len(json.loads(answers("cache", "list", "--json", "--cache-dir", filled))) == 3
    answers("cache", "prune", "--all", "--cache-dir", filled)
    assert json.loads(answers("cache", "list", "--json", "--cache-dir", filled)) == []


def test_cache_dir_leaves_out_the_downloads(answers, filled):
    part = filled / "corpora" / "cheese" / "all"
    part.parent.mkdir(parents=True)
    part.write_text("content", "utf-8")

    def kinds(*arguments):
        return sorted(record["kind"] for record in json.loads(answers("cache", "list", "--json", *arguments)))

    assert kinds() == ["download", "ids", "text", "tokenizer"]
    assert kinds("--cache-dir", filled) == ["ids", "text", "tokenizer"]
    answers("cache", "prune", "--all", "--cache-dir", filled)
    assert kinds() == ["download"]
    assert part.exists()
    answers("cache", "prune", "--all")
    assert not part.exists()


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ([], "--all: "),
        (["--dry-run"], "--all: "),
        (["--all", "--max-size", "1GB"], "--all: "),
        (["--older-than", "soon"], "--older-than: "),
        (["--max-size", "much"], "--max-size: "),
        (["--max-size", "10"], "--max-size: "),
        (["--max-size", "-1"], "--max-size: "),
    ],
)
def test_prune_refuses_missing_or_invalid_limits(refuses, filled, arguments, flag):
    before = size_of(filled)

    refuses(2, "cache", "prune", *arguments, words=(flag,))

    assert size_of(filled) == before


@pytest.mark.parametrize("command", [("list",), ("prune", "--all")])
def test_cache_dir_that_is_not_a_directory_is_refused(refuses, tmp_path, command):
    (tmp_path / "file").touch()

    for name in ("file", "mistyped"):
        refuses(2, "cache", *command, "--cache-dir", tmp_path / name, words=("--cache-dir", name, "not a directory"))

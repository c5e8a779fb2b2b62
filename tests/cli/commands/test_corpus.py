"""`seqgen corpus list|fetch`, and what the other commands do with `corpus:NAME:PART`."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from seqgen.sources.catalog import corpus as catalogue

from ...publisher import half, serving, status

RECIPE = """
name = "cheese"
title = "Lines on cheese"
language = "German"
licence = "CC0-1.0"
source = "this test"
size = {size}
[reader]
kind = "fetched"
largest = 300_000
[[reader.files]]
name = "cheese.txt"
url = "{url}"
size = {size}
{hash}
sha256_source = "nobody states one"
[[reader.split]]
name = "train"
file = "cheese.txt"
end = 60_000
[[reader.split]]
name = "valid"
file = "cheese.txt"
start = 60_000
[[figures]]
part = "valid"
value = 1.25
unit = "bits per byte"
model = "a cheesemonger"
citation = "this test"
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The cache of each test."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """A publisher of one corpus, `cheese`, which is all of the catalogue."""
    with serving() as publisher:
        publisher.content = "".join(f"Käse Nummer {number}\n" for number in range(4_000)).encode()
        pinned = f'sha256 = "{hashlib.sha256(publisher.content).hexdigest()}"'
        write_recipe(tmp_path, publisher, pinned)
        monkeypatch.setattr(catalogue.resources, "files", lambda package: tmp_path)
        yield publisher


def write_recipe(folder: Path, publisher, pinned: str) -> None:
    spec = RECIPE.format(url=publisher.url, size=len(publisher.content), hash=pinned)
    (folder / "cheese.toml").write_text(spec, "utf-8")


@pytest.mark.parametrize("terminal", [0, 80])
def test_list_has_every_corpus_and_its_state(answers, terminal):
    lines = answers("corpus", "list", terminal=terminal)

    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", lines).splitlines())) <= (terminal or 100)
    for words in ("text8", "tinyshakespeare", "to fetch", "included", "part of Python", "100.0 MB"):
        assert words in lines
    assert ("GFDL-1.2" in lines) is (terminal == 0)


def test_list_json_has_whole_specs(answers):
    records = {record["name"]: record for record in json.loads(answers("corpus", "list", "--json"))}

    assert records["text8"]["parts"] == ["train", "valid", "test"]
    assert records["text8"]["where"] == "to fetch"
    assert records["text8"]["figures"][0]["citation"] == "Krause et al. 2016, arXiv:1609.07959"
    assert records["pydoc"]["where"] == "part of Python"
    assert records["copy"]["reader"]["seed"] == 0


def test_fetched_corpus_is_listed_trained_on_and_evaluated(answers, invoke, publisher):
    publisher.faults = [half]
    result = invoke("corpus", "fetch", "cheese")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "note: corpus:cheese is downloaded; seqgen train corpus:cheese --valid corpus:cheese:valid" in result.stderr
    assert "Range" in publisher.requests[1]
    assert json.loads(answers("corpus", "list", "--json"))[0]["where"] == "downloaded"
    answers("train", "corpus:cheese", "--valid", "corpus:cheese:valid", "--hidden-size", "8", "--max-steps", "2",
            "--quiet")  # fmt: skip
    assert Path("runs/cheese-lstm").is_dir()
    table = answers("eval", "corpus:cheese:valid", "--quiet")
    assert "corpus:cheese:valid: 1.25 bits per byte, a cheesemonger (this test)" in table
    report = json.loads(answers("eval", "corpus:cheese:valid", "--json", "--quiet"))
    assert report["published"][0]["value"] == 1.25


def test_fetch_json_lists_files(answers, publisher):
    (record,) = json.loads(answers("corpus", "fetch", "cheese", "--json", "--quiet"))

    path = Path(record["directory"], record["files"][0]["name"])
    assert path.read_bytes() == publisher.content
    assert record["files"][0]["sha256"] == hashlib.sha256(publisher.content).hexdigest()


def test_unstated_hash_is_noted_and_pinned(invoke, publisher, tmp_path):
    write_recipe(tmp_path, publisher, "")
    sha256 = hashlib.sha256(publisher.content).hexdigest()

    first = invoke("corpus", "fetch", "cheese")

    assert f"SHA-256 {sha256}" in first.stderr


def test_fetch_shows_bar_on_terminal(invoke, publisher):
    assert "cheese.txt" in invoke("corpus", "fetch", "cheese", terminal=100).stderr
    assert invoke("corpus", "fetch", "cheese", "--quiet", terminal=100).stderr == ""


def test_failed_download_is_refused(refuses, publisher):
    publisher.faults = [status(404)]

    refuses(1, "corpus", "fetch", "cheese", words=("answers 404", "out of date"))


def test_fetch_of_included_corpus_is_a_note(invoke):
    result = invoke("corpus", "fetch", "brackets")

    assert result.exit_code == 0
    assert "note: corpus:brackets " in result.stderr


def test_unknown_name_is_refused_before_any_download(refuses, publisher):
    refuses(2, "corpus", "fetch", "cheese", "wine", words=("no corpus called 'wine'",))
    assert publisher.requests == []


def test_training_never_downloads(refuses, publisher):
    refuses(1, "train", "corpus:cheese", "--quiet", words=("run `seqgen corpus fetch cheese`",))
    assert publisher.requests == []


@pytest.mark.parametrize("name", ["korean-prose", "hello"])
def test_included_corpora_train_without_download(answers, name):
    answers("train", f"corpus:{name}", "--hidden-size", 8, "--max-steps", 2, "--quiet")

    assert Path(f"runs/{name}-lstm/model.safetensors").is_file()


def test_run_name_of_corpus_part_has_no_colon(answers):
    answers("train", "corpus:hello:valid", "--hidden-size", "8", "--max-steps", "2", "--quiet")

    assert Path("runs/hello-valid-lstm").is_dir()

"""`seqgen corpus list|fetch`, and what the other commands do with `corpus:NAME:PART`."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from seqgen.sources.catalog import corpus as catalog

from ....publisher import serving, status

SPEC = """
name = "cheese"
title = "Lines on cheese"
language = "German"
license = "CC0-1.0"
source = "this test"
size = {size}
[reader]
kind = "download"
max_bytes = 300_000
[[reader.files]]
name = "cheese.txt"
url = "{url}"
size = {size}
sha256 = "{sha256}"
sha256_source = "this test"
[[reader.split]]
name = "train"
file = "cheese.txt"
end = 60_000
[[reader.split]]
name = "valid"
file = "cheese.txt"
start = 60_000
[[results]]
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
    """A publisher of one corpus, `cheese`, the only corpus of the catalog."""
    with serving() as publisher:
        publisher.content = "".join(f"Käse Nummer {number}\n" for number in range(4_000)).encode()
        sha256 = hashlib.sha256(publisher.content).hexdigest()
        spec = SPEC.format(url=publisher.url, size=len(publisher.content), sha256=sha256)
        (tmp_path / "cheese.toml").write_text(spec, "utf-8")
        monkeypatch.setattr(catalog.resources, "files", lambda package: tmp_path)
        yield publisher


@pytest.mark.parametrize("terminal", [0, 80])
def test_list_shows_every_corpus_and_where_it_is(answers, terminal):
    lines = answers("corpus", "list", terminal=terminal)

    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", lines).splitlines())) <= (terminal or 100)
    for words in ("text8", "tinyshakespeare", "to fetch", "included", "part of Python", "100.0 MB", "classify"):
        assert words in lines
    assert ("GFDL-1.2" in lines) is (terminal == 0)


def test_list_json_shows_whole_specs(answers):
    records = {record["name"]: record for record in json.loads(answers("corpus", "list", "--json"))}

    assert records["text8"]["parts"] == ["train", "valid", "test"]
    assert records["text8"]["where"] == "to fetch"
    assert records["text8"]["results"][0]["citation"] == "Krause et al. 2016, arXiv:1609.07959"
    assert records["pydoc"]["where"] == "part of Python"
    assert records["copy"]["reader"]["seed"] == 0
    assert records["reversal"]["parts"] == ["train", "valid", "test", "test30", "longer"]
    assert (records["reversal"]["task"], records["reversal"]["where"]) == ("translate", "generated")


def test_a_corpus_is_fetched_listed_trained_on_and_measured(answers, invoke, publisher):
    result = invoke("corpus", "fetch", "cheese")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "note: corpus:cheese is downloaded; seqgen train corpus:cheese --valid corpus:cheese:valid" in result.stderr
    assert json.loads(answers("corpus", "list", "--json"))[0]["where"] == "downloaded"
    answers("train", "corpus:cheese", "--valid", "corpus:cheese:valid", "--hidden-size", "8", "--max-steps", "2",
            "--quiet")  # fmt: skip
    assert Path("runs/cheese-lstm+ngram").is_dir()
    table = answers("eval", "corpus:cheese:valid", "--quiet")
    assert "corpus:cheese:valid: 1.25 bits per byte, a cheesemonger (this test)" in table
    report = json.loads(answers("eval", "corpus:cheese:valid", "--json", "--quiet"))
    assert report["published"][0]["value"] == 1.25


def test_fetch_json_shows_the_files(answers, publisher):
    (record,) = json.loads(answers("corpus", "fetch", "cheese", "--json", "--quiet"))

    path = Path(record["directory"], record["files"][0]["name"])
    assert path.read_bytes() == publisher.content
    assert record["files"][0]["sha256"] == hashlib.sha256(publisher.content).hexdigest()


def test_fetch_shows_a_bar_on_a_terminal(invoke, publisher):
    assert "cheese.txt" in invoke("corpus", "fetch", "cheese", terminal=100).stderr
    assert invoke("corpus", "fetch", "cheese", "--quiet", terminal=100).stderr == ""


def test_fetch_reports_a_failed_download_in_one_sentence(refuses, publisher):
    publisher.faults = [status(404)]

    refuses(1, "corpus", "fetch", "cheese", words=("404", publisher.url))


def test_fetch_reports_that_nothing_needs_a_download(invoke):
    result = invoke("corpus", "fetch", "brackets")

    assert result.exit_code == 0
    assert "note: corpus:brackets " in result.stderr


def test_fetch_refuses_an_unknown_name_before_any_download(refuses, publisher):
    refuses(2, "corpus", "fetch", "cheese", "wine", words=("no corpus called 'wine'",))
    assert publisher.requests == []


def test_training_never_downloads(refuses, publisher):
    refuses(1, "train", "corpus:cheese", "--quiet", words=("run `seqgen corpus fetch cheese`",))
    assert publisher.requests == []


@pytest.mark.parametrize("name", [pytest.param("korean-prose", marks=pytest.mark.slow), "hello"])
def test_a_corpus_without_download_trains_at_once(answers, name):
    answers("train", f"corpus:{name}", "--hidden-size", 8, "--max-steps", 2, "--quiet")

    assert Path(f"runs/{name}-lstm+ngram/mixture.json").is_file()


def test_a_part_makes_a_valid_run_name(answers):
    answers("train", "corpus:hello:valid", "--hidden-size", "8", "--max-steps", "2", "--quiet")

    assert Path("runs/hello-valid-lstm+ngram").is_dir()

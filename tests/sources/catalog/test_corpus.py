from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.catalog import corpus
from seqgen.sources.catalog.corpus import (
    CorpusSpec,
    corpus_specs,
    find_spec,
    generating_files,
    parse_name,
    published_results,
    read_chunks,
)
from seqgen.sources.catalog.downloads import Download
from seqgen.sources.catalog.readers import Synthetic, SyntheticPairs

SPEC = """
name = "proverbs"
title = "Proverbs"
language = "English"
license = "CC0-1.0"
source = "this test"
size = 100
[reader]
kind = "python-dict"
module = "proverbs_of_a_test"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of an empty catalog."""
    monkeypatch.setattr(corpus.resources, "files", lambda package: tmp_path)
    return tmp_path


def test_corpus_specs_are_sorted_by_name():
    found = corpus_specs()

    assert list(found) == sorted(found)
    assert all(spec.name == name for name, spec in found.items())
    assert {"pydoc", "pystdlib", "tinyshakespeare", "text8", "enwik8", "ptb", "wikitext-2", "nsmc", "brackets", "dates",
            "arithmetic", "copy", "hello", "korean-prose", "english-prose"} <= set(found)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if isinstance(spec.reader, SyntheticPairs) else ())
        for name, spec in corpus_specs().items()
        if not isinstance(spec.reader, Download)
    ],
)
def test_a_corpus_without_download_has_the_size_of_its_spec(name):
    spec = find_spec(name)
    if name == "cheaders" and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("the C headers of this Python are not installed")

    size = sum(len("".join(spec.chunks(part)).encode()) for part in spec.reader.parts or (None,))

    exact = not spec.reader.kind.startswith("python-")  # those differ from Python to Python
    assert size == pytest.approx(spec.size, rel=0.001 if exact else 0.5)


def test_corpora_of_pairs_have_a_task_and_others_generate():
    tasks = {name: spec.task for name, spec in corpus_specs().items() if isinstance(spec.reader, SyntheticPairs)}

    assert tasks == dict.fromkeys(
        ["copying", "dates-iso", "number-words", "reversal", "roman-numerals", "sorting"], "translate"
    ) | {"bracket-matching": "classify", "parity": "classify", "toy-grammar": "tag"}
    assert {spec.task for name, spec in corpus_specs().items() if name not in tasks} == {"generate"}


@pytest.mark.parametrize("name", [name for name, spec in corpus_specs().items() if isinstance(spec.reader, Download)])
def test_a_download_has_https_addresses_a_train_part_and_results_on_its_parts(name):
    spec = find_spec(name)
    assert isinstance(spec.reader, Download)

    for file in spec.reader.files:
        assert file.url.startswith("https://")
        assert file.sha256_source
    assert {result.part for result in spec.results} <= set(spec.reader.parts)
    assert "train" in spec.reader.parts


@pytest.mark.parametrize("name", ["text8", "enwik8"])
def test_text8_and_enwik8_have_the_customary_parts(name):
    reader = find_spec(name).reader
    assert isinstance(reader, Download)

    bounds = [(part.start, part.end) for part in reader.split]

    assert bounds == [(0, 90_000_000), (90_000_000, 95_000_000), (95_000_000, None)]


def read(name):
    return "".join(read_chunks(name))


def test_pydoc_is_read_without_running_its_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "pydoc_data.topics", raising=False)

    text = read("corpus:pydoc")

    assert "pydoc_data.topics" not in sys.modules
    assert len(text) > 400_000
    from pydoc_data.topics import topics

    assert text == "\n".join(topics.values())


def test_pystdlib_is_the_standard_library_without_its_tests():
    text = read("corpus:pystdlib")

    assert text.count("\ndef ") > 1_000
    assert "class OrderedDict(dict):" in text
    assert "import unittest; unittest.main(" not in text[:1_000]


def test_a_path_has_no_published_results():
    assert published_results("corpus.txt") == ()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("dates:train", {"dates.toml", "readers.py", "synthetic.py"}),
        ("sorting", {"sorting.toml", "readers.py", "synthetic_pairs.py", "synthetic.py"}),
        ("english-prose", set()),
        ("pydoc", set()),
    ],
)
def test_generating_files_are_the_spec_and_the_code_of_a_generated_corpus(name, files):
    found = [Path(file) for file in generating_files(f"corpus:{name}")]

    assert {file.name for file in found} == files
    assert all(file.is_file() for file in found)


def test_a_name_without_a_part_is_the_train_part():
    assert read("corpus:copy") == read("corpus:copy:train") != read("corpus:copy:test")


@pytest.mark.parametrize("text", ["corpus:copy", "corpus:copy:test", "corpus:pydoc"])
def test_chunks_join_to_the_text(text):
    spec, part = parse_name(text)

    chunks = list(read_chunks(text))

    assert "".join(chunks) == "".join(spec.chunks(part))
    assert all(0 < len(chunk) <= 1 << 20 for chunk in chunks)


def test_a_missing_download_names_the_fetch_command(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))

    with pytest.raises(TextError, match="seqgen corpus fetch text8"):
        read("corpus:text8:valid")


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no corpus called 'pydok'; it has: .*\bpydoc\b"):
        read("corpus:pydok")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("corpus:nsmc:valid", "corpus:nsmc has no part called 'valid'; its parts are train, test"),
        ("corpus:pydoc:test", "corpus:pydoc has no part called 'test'; it has no parts"),
        ("corpus:copy:train:test", "corpus:copy has no part called 'train:test'"),
    ],
)
def test_an_unknown_part_is_refused(text, reason):
    with pytest.raises(ConfigError, match=reason):
        read(text)


def test_published_results_are_those_on_the_part():
    assert [result.value for result in published_results("corpus:text8:test")] == [1.27, 1.18]
    assert published_results("corpus:text8:valid") == published_results("corpus:text8") == ()
    assert published_results("corpus:tinyshakespeare:valid")[0].unit == "nats per character"


def test_the_result_on_a_synthetic_text_is_its_true_entropy():
    reader = find_spec("copy").reader
    assert isinstance(reader, Synthetic)

    (result,) = published_results("corpus:copy:valid")

    assert (result.value, result.unit) == (reader.entropy, "bits per byte")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name = ", "Invalid value"),
        ('colour = "red"' + SPEC, "colour: "),
        (SPEC.replace("python-dict", "python-code"), "reader.kind: "),
        (SPEC.replace('license = "CC0-1.0"', ""), "license: "),
        (SPEC.replace('"Proverbs"', "7"), "title: "),
        (SPEC.replace('"proverbs"', '"a:b"'), "name: "),
        (SPEC + "results = 3", "reader.python-dict.results: "),
        (SPEC + '[[results]]\nvalue = 1.0\nunit = "bits"\nmodel = "a"\ncitation = "b"', "results.0.unit: should be"),
    ],
)
def test_a_malformed_spec_is_refused_with_its_file_and_field(folder, content, reason):
    (folder / "broken.toml").write_text(content, "utf-8")

    with pytest.raises(ConfigError) as refusal:
        corpus_specs()

    assert str(refusal.value).startswith("corpora/broken.toml: ")
    assert reason in str(refusal.value)


def test_corpus_specs_reads_only_toml_files(folder):
    (folder / "proverbs.toml").write_text(SPEC, "utf-8")
    (folder / "__init__.py").write_text("not = toml at all", "utf-8")

    (spec,) = corpus_specs().values()

    assert isinstance(spec, CorpusSpec)
    assert spec.reader.module == "proverbs_of_a_test"

from __future__ import annotations

import sys

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.catalog import corpus as catalogue
from seqgen.sources.catalog.corpus import CorpusSpec, corpus_specs, find_spec, parse, published_results, read_chunks
from seqgen.sources.catalog.published import Fetched
from seqgen.sources.catalog.readers import Synthetic

RECIPE = """
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
    """An empty catalogue."""
    monkeypatch.setattr(catalogue.resources, "files", lambda package: tmp_path)
    return tmp_path


def test_the_catalogue_has_recipes_under_their_names():
    found = corpus_specs()

    assert list(found) == sorted(found)
    assert all(spec.name == name for name, spec in found.items())
    assert {"pydoc", "pystdlib", "tinyshakespeare", "text8", "enwik8", "ptb", "wikitext-2", "nsmc", "brackets", "dates",
            "arithmetic", "copy", "hello", "korean-prose", "english-prose"} <= set(found)  # fmt: skip


@pytest.mark.parametrize(
    "name", [name for name, spec in corpus_specs().items() if not isinstance(spec.reader, Fetched)]
)
def test_what_needs_no_download_is_read_and_has_about_the_size_that_is_stated(name):
    spec = find_spec(name)

    size = sum(len("".join(spec.chunks(part)).encode()) for part in spec.reader.parts or (None,))

    exact = spec.reader.kind not in {"python-dict", "python-library"}  # which differ from Python to Python
    assert size == pytest.approx(spec.size, rel=0.001 if exact else 0.5)


@pytest.mark.parametrize("name", [name for name, spec in corpus_specs().items() if isinstance(spec.reader, Fetched)])
def test_what_is_fetched_has_a_pinned_hash_with_its_source_and_no_figure_without_a_part(name):
    spec = find_spec(name)
    assert isinstance(spec.reader, Fetched)

    for file in spec.reader.files:
        assert file.url.startswith("https://")
        assert file.sha256 is not None
        assert file.size is not None
        assert file.sha256_source
    assert {figure.part for figure in spec.figures} <= set(spec.reader.parts)
    assert "train" in spec.reader.parts


@pytest.mark.parametrize("name", ["text8", "enwik8"])
def test_the_hundred_megabytes_are_cut_where_all_cut_them(name):
    reader = find_spec(name).reader
    assert isinstance(reader, Fetched)

    bounds = [(part.start, part.end) for part in reader.split]

    assert bounds == [(0, 90_000_000), (90_000_000, 95_000_000), (95_000_000, None)]


def read(name):
    return "".join(read_chunks(name))


def test_pydoc_is_a_long_text_read_without_running_its_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "pydoc_data.topics", raising=False)

    text = read("corpus:pydoc")

    assert "pydoc_data.topics" not in sys.modules
    assert len(text) > 400_000
    from pydoc_data.topics import topics

    assert text == "\n".join(topics.values())


def test_pystdlib_is_code_of_this_python_without_its_tests():
    text = read("corpus:pystdlib")

    assert text.count("\ndef ") > 1_000
    assert "class OrderedDict(dict):" in text
    assert "import unittest; unittest.main(" not in text[:1_000]


def test_anything_else_is_a_path(corpus):
    assert parse(str(corpus)) is None
    assert published_results(str(corpus)) == ()


def test_a_name_alone_is_the_train_part():
    assert read("corpus:copy") == read("corpus:copy:train") != read("corpus:copy:test")


@pytest.mark.parametrize("text", ["corpus:copy", "corpus:copy:test", "corpus:pydoc"])
def test_chunks_are_the_text(text):
    spec, part = parse(text)

    chunks = list(read_chunks(text))

    assert "".join(chunks) == "".join(spec.chunks(part))
    assert all(0 < len(chunk) <= 1 << 20 for chunk in chunks)


def test_what_is_not_here_says_how_to_fetch_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))

    with pytest.raises(TextError, match="corpus:text8 has not been fetched yet; run `seqgen corpus fetch text8`"):
        read("corpus:text8:valid")


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"no corpus called 'pydok' in the catalogue; it has: .*\bpydoc\b"):
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


def test_figures_stand_beside_the_part_that_they_are_of():
    assert [figure.value for figure in published_results("corpus:text8:test")] == [1.27, 1.18]
    assert published_results("corpus:text8:valid") == published_results("corpus:text8") == ()
    assert published_results("corpus:tinyshakespeare:valid")[0].unit == "nats per character"


def test_beside_a_synthetic_text_stands_the_truth():
    reader = find_spec("copy").reader
    assert isinstance(reader, Synthetic)

    (figure,) = published_results("corpus:copy:valid")

    assert (figure.value, figure.unit) == (reader.entropy, "bits per byte")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name = ", "Invalid value"),
        ('colour = "red"' + RECIPE, "colour: there is no such setting"),
        (RECIPE.replace("python-dict", "python-code"), "reader.kind: "),
        (RECIPE.replace('license = "CC0-1.0"', ""), "license: is missing"),
        (RECIPE.replace('"Proverbs"', "7"), "title: should be a valid string, not 7"),
        (RECIPE.replace('"proverbs"', '"a:b"'), "name: "),
        (RECIPE + "figures = 3", "reader.python-dict.figures: there is no such setting"),
        (RECIPE + '[[figures]]\nvalue = 1.0\nunit = "bits"\nmodel = "a"\ncitation = "b"', "figures.0.unit: should be"),
    ],
)
def test_a_malformed_recipe_is_named_with_its_fault(folder, content, reason):
    (folder / "broken.toml").write_text(content, "utf-8")

    with pytest.raises(ConfigError) as refusal:
        corpus_specs()

    assert str(refusal.value).startswith("corpora/broken.toml: ")
    assert reason in str(refusal.value)


def test_only_toml_files_are_recipes(folder):
    (folder / "proverbs.toml").write_text(RECIPE, "utf-8")
    (folder / "__init__.py").write_text("not = toml at all", "utf-8")

    (spec,) = corpus_specs().values()

    assert isinstance(spec, CorpusSpec)
    assert spec.reader.module == "proverbs_of_a_test"

from __future__ import annotations

import sys

import pytest

from seqgen.data import catalogue
from seqgen.data.catalogue import Recipe, read_source, recipes
from seqgen.errors import ConfigError, TextError

RECIPE = {
    "name": "proverbs",
    "title": "Proverbs",
    "language": "English",
    "licence": "CC0-1.0",
    "source": "this test",
    "reader": "python-dict",
    "module": "proverbs_of_a_test",
}


def as_toml(recipe: dict[str, str]) -> str:
    return "".join(f'{key} = "{value}"\n' for key, value in recipe.items())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty catalogue, and on the path of modules."""
    monkeypatch.setattr(catalogue.resources, "files", lambda package: tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_catalogue_has_recipes_under_their_names():
    found = recipes()

    assert list(found) == sorted(found)
    assert found["pydoc"].licence == "PSF-2.0"
    assert all(recipe.name == name for name, recipe in found.items())


def test_pydoc_is_a_long_text_read_without_running_its_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "pydoc_data.topics", raising=False)

    text = read_source("corpus:pydoc")

    assert "pydoc_data.topics" not in sys.modules
    assert len(text) > 400_000
    from pydoc_data.topics import topics

    assert text == "\n".join(topics.values())


def test_anything_else_is_a_path(corpus):
    assert read_source(str(corpus)) == corpus.read_text("utf-8")


def test_a_path_is_read_in_the_encoding_given(tmp_path):
    (tmp_path / "a.txt").write_bytes("가".encode("cp949"))

    assert read_source(str(tmp_path / "a.txt"), "cp949") == "가"


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"no corpus called 'pydok' in the catalogue; it has: .*\bpydoc\b"):
        read_source("corpus:pydok")


def test_the_strings_of_the_first_dict_are_the_text(folder):
    (folder / "proverbs.toml").write_text(as_toml(RECIPE), "utf-8")
    source = 'raise SystemExit("run")\n'  # must be parsed, never run
    source += 'proverbs = {"b": "Still waters" " run deep.", "a": "No news", "n": 3}\n'
    (folder / "proverbs_of_a_test.py").write_text(source, "utf-8")

    assert read_source("corpus:proverbs") == "Still waters run deep.\nNo news"


def test_a_module_without_a_dict_is_refused(folder):
    (folder / "proverbs.toml").write_text(as_toml(RECIPE), "utf-8")
    (folder / "proverbs_of_a_test.py").write_text("proverbs = []\n", "utf-8")

    with pytest.raises(TextError, match="does not assign a dict"):
        read_source("corpus:proverbs")


@pytest.mark.parametrize("module", ["sys", "no_such_module", "no_such_package.topics"])
def test_a_module_that_this_python_lacks_is_refused(folder, module):
    (folder / "proverbs.toml").write_text(as_toml({**RECIPE, "module": module}), "utf-8")

    with pytest.raises(TextError, match=f"corpus:proverbs: this Python carries no source of {module}; train on a file"):
        read_source("corpus:proverbs")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name = ", "Invalid value"),
        (as_toml({**RECIPE, "colour": "red"}), "colour: there is no such setting"),
        (as_toml({**RECIPE, "reader": "python-code"}), "reader: should be 'python-dict', not 'python-code'"),
        (as_toml({key: value for key, value in RECIPE.items() if key != "licence"}), "licence: Field required"),
        (as_toml(RECIPE).replace('"Proverbs"', "7"), "title: should be a valid string, not 7"),
    ],
)
def test_a_malformed_recipe_is_named_with_its_fault(folder, content, reason):
    (folder / "broken.toml").write_text(content, "utf-8")

    with pytest.raises(ConfigError) as refusal:
        recipes()

    assert str(refusal.value).startswith("corpora/broken.toml: ")
    assert reason in str(refusal.value)


def test_only_toml_files_are_recipes(folder):
    (folder / "proverbs.toml").write_text(as_toml(RECIPE), "utf-8")
    (folder / "__init__.py").write_text("not = toml at all", "utf-8")

    assert recipes() == {"proverbs": Recipe.of(**RECIPE)}

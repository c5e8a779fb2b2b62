"""The catalogue's reader: `corpora/*.toml`, one recipe a corpus, and what `corpus:NAME` stands for."""

from __future__ import annotations

import ast
import importlib.util
import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from seqgen.data.config import PREFIX
from seqgen.data.text import read_text
from seqgen.errors import ConfigError, TextError
from seqgen.settings import Settings, describe


class Recipe(Settings):
    """One corpus: what it is, whose, and how to read it.

    `reader` is how the source becomes text. `python-dict` takes the strings of the one dict that a Python module
    assigns, in their order, from the module's source: it is parsed, never run.
    """

    name: str
    title: str
    language: str
    licence: str
    source: str
    reader: Literal["python-dict"]
    module: str


def recipes() -> dict[str, Recipe]:
    """Every recipe of the catalogue, by name."""
    folder = resources.files("seqgen.corpora")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    read = [_read_recipe(entry.name, entry.read_text("utf-8")) for entry in found]
    return {recipe.name: recipe for recipe in sorted(read, key=lambda recipe: recipe.name)}


def _read_recipe(file_name: str, content: str) -> Recipe:
    try:
        return Recipe(**tomllib.loads(content))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        reason = describe(error) if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"corpora/{file_name}: {reason}") from error


def read_source(text: str, encoding: str = "utf-8") -> str:
    """The text that a setting names: a file's, or with `corpus:NAME` the catalogue's.

    Raises:
        ConfigError: the catalogue has no such corpus.
        TextError: the text cannot be read.
    """
    if not text.startswith(PREFIX):
        return read_text(text, encoding)
    name = text.removeprefix(PREFIX)
    known = recipes()
    if name not in known:
        raise ConfigError(f"there is no corpus called {name!r} in the catalogue; it has: {', '.join(known)}")
    return _read_python_dict(known[name])


def _read_python_dict(recipe: Recipe) -> str:
    try:
        spec = importlib.util.find_spec(recipe.module)
    except ModuleNotFoundError:  # not even the package: some distributions leave pydoc_data out
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise TextError(f"{PREFIX}{recipe.name}: this Python carries no source of {recipe.module}; train on a file")
    source = read_text(spec.origin)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            entries = [ast.literal_eval(value) for value in node.value.values]
            return "\n".join(entry for entry in entries if isinstance(entry, str))
    raise TextError(f"{spec.origin} does not assign a dict, so {PREFIX}{recipe.name} cannot be read from it")

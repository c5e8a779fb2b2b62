"""The files that `docs/generate.py` writes from the settings of the configs and the docstrings of the modules."""

from __future__ import annotations

import importlib.util
import inspect
import tomllib
from pathlib import Path

import pytest
from seqgen.cli.commands.embed.train import train as embed_command
from seqgen.cli.commands.train import train as train_command

ROOT = Path(__file__).parents[1]


def _generate() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate()


FILES = _generate()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path):
    assert path.read_text("utf-8") == FILES[path], "run `python docs/generate.py`"


def test_stub_and_page_have_every_option_of_train():
    stub, page = (FILES[ROOT / path] for path in ("seqgen/__init__.pyi", "docs/settings.md"))
    settings = inspect.signature(train_command).parameters.keys() - {"text", "quiet"}

    assert len(settings) > 40
    for name in settings:
        assert f"\n    {name}: " in stub
        assert f"| `--{name.replace('_', '-')}" in page


def test_page_has_every_option_of_embed_train():
    page = FILES[ROOT / "docs/settings.md"].partition("`seqgen embed train`")[2]
    settings = inspect.signature(embed_command).parameters.keys() - {"text", "quiet"}

    assert len(settings) > 20
    for name in settings:
        assert f"`--{name.replace('_', '-')}" in page


def test_stub_is_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    assert "__init__.pyi" in project["tool"]["setuptools"]["package-data"]["seqgen"]

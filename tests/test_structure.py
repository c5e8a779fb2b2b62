"""The house keeps its shape: what is packaged, which way imports run, what is public, what costs no torch."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import seqgen

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

FLOORS = [
    {"seqgen.errors", "seqgen._version"},
    {"seqgen.config"},
    {"seqgen.device", "seqgen.utils"},
    {"seqgen.sources", "seqgen.tokenizers"},
    {"seqgen.models"},
    {"seqgen.data"},
    {"seqgen.generation", "seqgen.evaluation"},
    {"seqgen.training"},
    {"seqgen.runs"},
    {"seqgen"},
    {"seqgen.cli", "seqgen.__main__"},
]
"""From the ground up: a module imports from its own floor or from below."""


def _modules() -> dict[str, Path]:
    """Every module of the package by its import name, wherever its folder stands."""
    modules = {}
    for folder, package in (("seqgen", "seqgen"), ("cli", "seqgen.cli"), ("corpora", "seqgen.corpora")):
        for path in (ROOT / folder).rglob("*.py"):
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            modules[".".join(part for part in parts if part != "__init__")] = path
    return modules


def _floor(module: str) -> int:
    homes = [(level, name) for level, names in enumerate(FLOORS) for name in names]
    inside = [(len(name), level) for level, name in homes if module == name or module.startswith(f"{name}.")]
    return max(inside)[1]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "seqgen":
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in submodules if name in _modules()} or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "seqgen"}
    return found


@pytest.mark.parametrize("module", [name for name in _modules() if name not in {"seqgen", "seqgen.corpora"}])
def test_imports_run_one_way(module):
    upwards = {name for name in _imports(_modules()[module]) if _floor(name) > _floor(module)}

    assert not upwards, f"{module} imports from above: {upwards}"


@pytest.mark.parametrize("module", [name for name in _modules() if name.startswith("seqgen")])
def test_nothing_unsafe_is_imported(module):
    names = set()
    for node in ast.walk(ast.parse(_modules()[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])

    assert names.isdisjoint({"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "click"})


@pytest.mark.parametrize("path", sorted((ROOT / "seqgen").rglob("*.py")), ids=str)
def test_the_library_neither_prints_nor_exits(path):
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    }

    assert calls.isdisjoint({"print", "exit", "quit", "sys.exit", "eval", "exec", "torch.load", "torch.save"})


def test_every_folder_with_code_is_packaged():
    folders = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in _modules().items()}

    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_a_wheel_holds_one_package_with_its_recipes(tmp_path):
    source = tmp_path / "source"  # a copy: building leaves files behind
    for name in ("cli", "corpora", "seqgen"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]

    built = subprocess.run(command, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"seqgen"}
    assert {"seqgen/py.typed", "seqgen/__init__.pyi", "seqgen/cli/main.py"} <= set(names)
    data = {f"seqgen/corpora/{path.name}" for path in (ROOT / "corpora").iterdir() if path.suffix in {".toml", ".txt"}}
    assert data <= set(names)
    assert len(data) > 10


def test_what_is_public_is_this_and_no_more():
    assert sorted(seqgen.__all__) == [
        "ConfigError", "Evaluated", "Evaluation", "Event", "Finished", "Overfitting", "Replanned", "Run", "RunError",
        "Sampled",
        "SaveError", "SaveFailed", "Saved",
        "SeqgenError", "Skipped", "Step", "TextError", "TokenizerError", "TrainingError", "TrainingRun", "__version__",
        "load", "train",
    ]  # fmt: skip
    assert all(getattr(seqgen, name) is not None for name in seqgen.__all__)
    assert dir(seqgen) == seqgen.__all__
    with pytest.raises(AttributeError, match="no attribute 'tain'"):
        seqgen.tain  # noqa: B018


def test_every_error_has_one_root():
    errors = [getattr(seqgen, name) for name in seqgen.__all__ if name.endswith("Error")]

    assert all(issubclass(error, seqgen.SeqgenError) for error in errors)


QUESTIONS = [
    ["--help"],
    ["train", "--help"],
    ["runs"],
    ["runs", "--json"],
    ["corpus", "list"],
    ["corpus", "stats", "corpus:pydoc"],
    ["cache", "list"],
]


@pytest.mark.parametrize("arguments", QUESTIONS)
def test_a_question_costs_no_torch(arguments, tmp_path):
    code = (
        "import sys; from seqgen.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_importing_seqgen_is_cheap(tmp_path):
    code = "import sys, seqgen; assert not {'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=os.environ)


def test_the_commands_of_the_readme_exist():
    """Every `seqgen ...` line of the README names commands and flags that the program has."""
    from seqgen.cli.main import app
    from typer.main import get_command

    commands = dict(get_command(app).commands)
    groups = {name: command for name, command in commands.items() if hasattr(command, "commands")}
    for group, members in groups.items():
        commands |= {f"{group} {name}": command for name, command in members.commands.items()}
    blocks = (ROOT / "README.md").read_text("utf-8").split("```")[1::2]
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    used = [line.split("#")[0].split() for line in lines if line.startswith("seqgen ")]

    assert len(used) >= 10
    for words in used:
        name = " ".join(words[1:3]) if words[1] in groups else words[1]
        flags = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= flags, words


def test_the_tests_that_the_table_of_faults_names_exist():
    table = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    there = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    named = set()
    for cell in re.findall(r"`test_\w+\.py`: .*?(?=\||; `test_\w+\.py`)", table):
        file, *tests = re.findall(r"`(test_[\w.]+)`", cell)
        named |= {(file, test) for test in tests}

    assert len(named) > 50
    assert named <= there, named - there

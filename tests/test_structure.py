"""The shape of the code: packages, order of imports, public names, what imports torch, sizes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import seqgen

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

LAYERS = [
    {"seqgen.errors", "seqgen._version"},
    {"seqgen.config"},
    {"seqgen.device", "seqgen.utils"},
    {"seqgen.sources", "seqgen.tokenizers"},
    {"seqgen.models"},
    {"seqgen.data"},
    {"seqgen.generation", "seqgen.evaluation"},
    {"seqgen.training", "seqgen.compression", "seqgen.embeddings"},
    {"seqgen.runs"},
    {"seqgen.export", "seqgen.inspection"},
    {"seqgen.pages"},
    {"seqgen"},
    {"seqgen.cli", "seqgen.__main__"},
]
"""From the lowest: a module imports from its own layer or from lower ones."""
UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "click"}
LARGEST_FOLDER = 14
"""Modules; __init__.py is not counted."""
LONGEST_FUNCTION = 60
"""Lines, docstring included."""
FORBIDDEN_CALLS = {"print", "exit", "quit", "sys.exit", "eval", "exec", "torch.load", "torch.save"}


def _find_modules() -> dict[str, Path]:
    """Return the path of every module of the package by its import name."""
    modules = {}
    for folder, package in (("seqgen", "seqgen"), ("cli", "seqgen.cli"), ("corpora", "seqgen.corpora")):
        for path in (ROOT / folder).rglob("*.py"):
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            modules[".".join(part for part in parts if part != "__init__")] = path
    return modules


MODULES = _find_modules()
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def _layer(module: str) -> int:
    names = [(level, name) for level, layer in enumerate(LAYERS) for name in layer]
    return max((len(name), level) for level, name in names if module == name or module.startswith(f"{name}."))[1]


def _imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= submodules & MODULES.keys() or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_modules_import_from_lower_layers_only():
    upwards = {
        (module, name)
        for module in MODULES.keys() - {"seqgen", "seqgen.corpora"}
        for name in _imports(module)
        if name.partition(".")[0] == "seqgen" and _layer(name) > _layer(module)
    }

    assert not upwards


def test_nothing_unsafe_is_imported():
    imported = {name.partition(".")[0] for module in MODULES for name in _imports(module)}

    assert imported.isdisjoint(UNSAFE)


def test_the_library_neither_prints_nor_exits():
    calls = {
        (module, ast.unparse(node.func))
        for module, tree in TREES.items()
        if not module.startswith("seqgen.cli")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }

    assert not {(module, call) for module, call in calls if call in FORBIDDEN_CALLS}


def test_packages_in_pyproject_are_the_folders_with_code():
    folders = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in MODULES.items()}

    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_no_folder_has_too_many_modules():
    sizes = Counter(path.parent.relative_to(ROOT) for path in MODULES.values() if path.name != "__init__.py")

    assert not {folder: size for folder, size in sizes.items() if size > LARGEST_FOLDER}


def test_no_function_is_too_long():
    lengths = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def test_public_names():
    assert sorted(seqgen.__all__) == [
        "Alignment", "ConfigError", "Evaluated", "Evaluation", "Event", "ExplodingGradient", "Finished", "Fitted",
        "LabelPrediction", "LabelReport", "LabelerRun", "MemberStarted", "Mixed", "Norms", "NotMixed", "Overfitting",
        "Replanned", "Run", "RunError", "Sampled", "SaveError", "SaveFailed", "Saved", "SeqgenError", "Skipped",
        "Step", "TagPrediction", "TagReport", "TextError", "TextRun", "TokenScores", "TokenizerError",
        "TrainingError", "TrainingRun", "Translation", "TranslationEvaluation", "TranslatorRun", "VanishingGradient",
        "__version__", "load", "mix", "train",
    ]  # fmt: skip
    assert all(getattr(seqgen, name) is not None for name in seqgen.__all__)
    assert dir(seqgen) == seqgen.__all__
    with pytest.raises(AttributeError, match="tain"):
        seqgen.tain  # noqa: B018


def test_every_error_is_a_seqgen_error():
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


def test_questions_import_no_torch(tmp_path):
    """In one process; `import seqgen` alone imports none of the large packages."""
    code = f"""
import sys
import seqgen
assert not {{"torch", "numpy", "pydantic", "rich"}} & set(sys.modules), "import seqgen"
from seqgen.cli.main import app
for arguments in {QUESTIONS!r}:
    try:
        app(arguments)
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    assert "torch" not in sys.modules, arguments
"""

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr

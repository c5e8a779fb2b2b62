"""Write the files that are made from the code: `seqgen/__init__.pyi`, `docs/settings.md` and `docs/layout.md`.

    python docs/generate.py

A test fails when one of them is not what this writes.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from seqgen.config import MODEL, RUN, TEXT, TRAINING, Setting, settings_of
from seqgen.evaluation.config import EvaluationConfig
from seqgen.generation.config import SamplingConfig
from seqgen.runs.config import train_settings
from seqgen.runs.embeddings.config import embedding_settings
from seqgen.runs.train import train

ROOT = Path(__file__).parents[1]
CODE = ("cli", "seqgen", "benchmarks")
WRITTEN_BY = "written by `python docs/generate.py` from the settings of the configs"


def generate() -> dict[Path, str]:
    """Return the content of each generated file by its path."""
    return {
        ROOT / "seqgen" / "__init__.pyi": stub(),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "docs" / "layout.md": layout_page(),
    }


def stub() -> str:
    """Return the stub of the package: its public names, and `train` with every setting as a typed keyword."""
    tree = ast.parse((ROOT / "seqgen" / "__init__.py").read_text("utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [
        (str(node.module), alias.name[0].islower(), alias.name.lower(), alias.name)  # as ruff sorts them
        for node in [*tree.body, *checked.body]
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("seqgen.")
        for alias in node.names
        if alias.name != "train"
    ]
    own = inspect.signature(train).parameters
    settings = train_settings()
    keywords = [
        f"    {name}: {parameter.annotation} = ...,"
        for name, parameter in own.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in settings
    ]
    keywords += [f"    {one.name}: {_annotation(one)} = ...," for one in settings.values()]
    return "\n".join(
        [
            f"# The public names for editors and type checkers, {WRITTEN_BY}.",
            "",
            "from collections.abc import Callable, Sequence",
            "from pathlib import Path",
            "from typing import Literal",
            "",
            *(f"from {module} import {name} as {name}" for module, *_, name in sorted(imports)),
            "from seqgen.training.time_budget import Clock",
            "from seqgen.utils.progress import Report",
            "",
            f"__all__ = {_names(tree)}",
            "",
            "def train(",
            f"    text: {own['text'].annotation} = ...,",
            "    *,",
            *keywords,
            ") -> TrainingRun: ...",
            "",
        ]
    )


def _names(tree: ast.Module) -> str:
    """Return the list `__all__` of a module as its source."""
    (value,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return "[\n" + "".join(f'    "{name}",\n' for name in ast.literal_eval(value)) + "]"


def _annotation(setting: Setting) -> str:
    """Return the type of a setting as source; None is accepted where the default is None."""
    return " | ".join([*map(_type_name, setting.types), *(["None"] if setting.default is None else [])])


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "Literal[{}]".format(", ".join(f'"{choice}"' for choice in get_args(kind)))
    return str(kind).rpartition("collections.abc.")[2] if get_origin(kind) else kind.__name__


def settings_page() -> str:
    """Return the page of all settings: a table for each group."""
    groups: dict[str, list[Setting]] = {name: [] for name in (MODEL, TEXT, TRAINING, RUN)}
    for one in train_settings().values():
        groups[one.group].append(one)
    page = [
        "# Settings",
        "",
        f"<!-- {WRITTEN_BY} -->",
        "",
        "An option of the command line is a keyword of the library: `--hidden-size 256` is `hidden_size=256`.",
        "",
        "## `seqgen train` and `seqgen.train`",
    ]
    for name, settings in groups.items():
        page += ["", f"### {name}", "", *_table(settings)]
    for title, config in (
        ("`seqgen sample` and `TextRun.generate`", SamplingConfig),
        ("`seqgen eval` and `TextRun.evaluate`", EvaluationConfig),
    ):
        page += ["", f"## {title}", "", *_table(settings_of(config).values())]
    common = train_settings()
    of_vectors = embedding_settings()
    own = [one for name, one in of_vectors.items() if common.get(name) != one]
    shared = [one for name, one in of_vectors.items() if common.get(name) == one]
    page += ["", "## `seqgen embed train` and `train_embeddings`", "", *_table(own), ""]
    page += [f"As of `seqgen train`: {', '.join(f'`{one.option}`' for one in shared)}."]
    return "\n".join([*page, ""])


def _table(settings: Iterable[Setting]) -> list[str]:
    rows = ["| option | default | description |", "|---|---|---|"]
    for one in settings:
        choices = [choice for kind in one.types if get_origin(kind) is Literal for choice in get_args(kind)]
        metavar = one.metavar or "|".join(choices) or ("" if one.types == (bool,) else one.types[0].__name__)
        option = f"`{one.option} {metavar}`".replace(" `", "`").replace("|", "\\|")
        rows.append(f"| {option} | {_escape(one.shown)} | {_escape(one.description)} |")
    return rows


def _escape(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def layout_page() -> str:
    """Return the page of the code's layout: a section for each folder, a line for each module."""
    heading = (
        "# How the code is laid out\n\n<!-- written by `python docs/generate.py` from the modules' docstrings -->\n"
    )
    return "\n".join([heading, *(_section(folder) for name in CODE for folder in _folders(ROOT / name))])


def _folders(folder: Path) -> list[Path]:
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and any(path.glob("*.py"))]
    return [folder, *(found for path in inner for found in _folders(path))]


def _section(folder: Path) -> str:
    own = folder / "__init__.py"
    lines = [f"## {folder.relative_to(ROOT).as_posix()}/", "", *([_summary(own), ""] if own.exists() else [])]
    lines += ["| file | what it does |", "|---|---|"]
    for path in sorted(path for path in folder.glob("*.py") if path != own):
        lines.append(f"| [{path.name}](../{path.relative_to(ROOT).as_posix()}) | {_summary(path)} |")
    return "\n".join([*lines, ""])


def _summary(path: Path) -> str:
    """Return the first paragraph of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    for path, content in generate().items():
        path.write_text(content, encoding="utf-8", newline="")

"""Small runs that translate."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import seqgen

from ....small_runs import PAIRS, TRANSLATE_RUNS


@pytest.fixture(scope="session")
def _translators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translators")


@pytest.fixture
def translator(_translators: Path, in_tmp: Path) -> Callable[..., Path]:
    """Copy a complete run that translates into runs/; each kind is trained once."""

    def translator(name: str = "lstm-translate", **settings: object) -> Path:
        run = _translators / name
        if not run.exists():
            (_translators / "pairs.tsv").write_text(PAIRS, "utf-8")
            seqgen.train(_translators / "pairs.tsv", out=run, **{**TRANSLATE_RUNS[name], **settings}).run()
        return Path(shutil.copytree(run, f"runs/{name}"))

    return translator

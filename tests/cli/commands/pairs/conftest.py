"""Small runs that translate."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqgen
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory
from seqgen.runs.pairs.translator import TranslatorRun

from ....small_runs import PAIRS, TRANSLATE_RUNS


@pytest.fixture(scope="session")
def _translators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translators")


@pytest.fixture
def endless(translator: Callable[..., Path]) -> TranslatorRun:
    """A run that writes nothing but 7, up to the length limit."""
    run = seqgen.load(translator())
    with torch.no_grad():
        run.model.head.bias[run.tokenizer.encode("7").item()] = 50.0
    RunDirectory(run.path).weights.write_bytes(to_bytes(run.model.stored_tensors(), run.config.identity))
    return run


@pytest.fixture
def translator(_translators: Path, in_tmp: Path) -> Callable[..., Path]:
    """Copy a complete run that translates into runs/; each kind is trained once."""

    def translator(name: str = "lstm-translate", **settings: object) -> Path:
        run = _translators / "-".join([name, *(f"{key}={value}" for key, value in sorted(settings.items()))])
        if not run.exists():
            (_translators / "pairs.tsv").write_text(PAIRS, "utf-8")
            seqgen.train(_translators / "pairs.tsv", out=run, **{**TRANSLATE_RUNS[name], **settings}).run()
        return Path(shutil.copytree(run, f"runs/{name}"))

    return translator

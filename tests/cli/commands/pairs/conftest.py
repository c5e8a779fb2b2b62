"""A run that translates without an end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqgen
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory
from seqgen.runs.pairs.translator import TranslatorRun


@pytest.fixture
def endless(translator: Callable[..., Path]) -> TranslatorRun:
    """A run that writes nothing but 7, up to the length limit."""
    run = seqgen.load(translator())
    with torch.no_grad():
        run.model.head.bias[run.tokenizer.encode("7").item()] = 50.0
    RunDirectory(run.path).weights.write_bytes(to_bytes(run.model.stored_tensors(), run.config.identity))
    return run

"""Small labelers of every family and form, and sources of several lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from seqgen import models
from seqgen.models.base import NeuralModel
from seqgen.models.config import LabelConfig
from seqgen.models.registry import FAMILIES

LABELS = ("a", "b", "c")
VOCAB_SIZE = 11
LENGTHS = (9, 4, 1)
FORMS: dict[str, dict[str, Any]] = {
    "rnn-classify": {"pool": "mean"},
    "lstm-classify": {"pool": "attention"},
    "lstm-classify-last": {"pool": "last"},
    "lstm-classify-one-way": {"pool": "last", "two_way": False},
    "gru-classify": {"pool": "last"},
    "transformer-classify": {"pool": "attention", "heads": 2},
    "transformer-classify-last": {"pool": "last", "heads": 2, "positions": "rope"},
    "rnn-tag": {},
    "lstm-tag": {},
    "gru-tag": {},
    "transformer-tag": {"heads": 2},
    "transformer-tag-sinusoidal": {"heads": 2, "positions": "sinusoidal"},
    "rnn-tag-one-way": {"two_way": False},
    "lstm-tag-one-way": {"two_way": False},
    "gru-tag-one-way": {"two_way": False},
}


def config_of(name: str) -> LabelConfig:
    cell = "-".join(name.split("-")[:2])
    config: Any = FAMILIES[cell].config
    return config(hidden_size=8, layers=2, labels=LABELS, **FORMS[name])


def build_labeler(name: str, dtype: torch.dtype = torch.float64) -> NeuralModel:
    """Build the labeler `name` of `FORMS`, with enlarged matrices, so that every weight affects the logits."""
    torch.manual_seed(1)
    model: Any = models.build(config_of(name), VOCAB_SIZE).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3.0 if name.startswith("transformer") else 1.5)
            elif not parameter.any():
                parameter.uniform_(-0.5, 0.5)
    return model.to(dtype)


@pytest.fixture(params=FORMS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def labeler(name: str) -> NeuralModel:
    return build_labeler(name)


@pytest.fixture
def source() -> Tensor:
    """Return three sources of 9, 4 and 1 tokens, filled at the right."""
    torch.manual_seed(2)
    rows = torch.randint(1, VOCAB_SIZE, (len(LENGTHS), max(LENGTHS)))
    return rows.masked_fill(torch.arange(max(LENGTHS)) >= torch.tensor(LENGTHS)[:, None], 1)


@pytest.fixture
def lengths() -> Tensor:
    return torch.tensor(LENGTHS)


def tokens_for(model: NeuralModel, source: Tensor) -> Tensor:
    """Return what the model is called with: 0, and for a tagger the source."""
    boundary = torch.zeros(len(source), 1, dtype=torch.int64)
    return torch.cat([boundary, source], 1) if model.config.cell.endswith("-tag") else boundary


def label(model: NeuralModel, source: Tensor, lengths: Tensor) -> Tensor:
    """Return the logits of sources."""
    tokens = tokens_for(model, source)
    logits, _ = model(tokens, model.encode(source, lengths, tokens.shape[1]), tokens == 0)
    return logits

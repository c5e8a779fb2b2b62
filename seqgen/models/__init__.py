"""Language models with one contract (`base.LanguageModel`): recurrent ones and transformers, by cell in `FAMILIES`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from seqgen.models.config import FamilyConfig
from seqgen.models.registry import FAMILIES

if TYPE_CHECKING:
    from seqgen.models.base import LanguageModel


def build(config: FamilyConfig, vocab_size: int) -> LanguageModel:
    """Build a model with fresh weights, drawn from torch's random state."""
    module, _, name = FAMILIES[config.cell].model.rpartition(".")
    model: LanguageModel = getattr(import_module(module), name)(config, vocab_size)
    return model

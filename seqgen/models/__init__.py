"""Language models behind one contract (`language_model.LanguageModel`): one file a family, one row in `FAMILIES`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from seqgen.models.registry import FAMILIES, RecurrentConfig, TransformerConfig

if TYPE_CHECKING:
    from seqgen.models.base import LanguageModel


def build(config: RecurrentConfig | TransformerConfig, vocab_size: int) -> LanguageModel:
    """A model with fresh weights, drawn from torch's random state."""
    _, module, name = FAMILIES[config.cell]
    model: LanguageModel = getattr(import_module(module), name)(config, vocab_size)
    return model


def skeleton(config: RecurrentConfig | TransformerConfig, vocab_size: int) -> LanguageModel:
    """The model with shapes and no numbers, which takes no memory: to count it, or to hold a file against it."""
    import torch

    with torch.device("meta"):
        return build(config, vocab_size)

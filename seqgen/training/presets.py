"""Choose the preset of a cell: settings that suit it, by optimizer and training time. No torch.

The presets are in each family's row in `models/registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqgen.models.registry import FAMILIES
from seqgen.training.config import TrainingConfig

DEFAULT_TIME = 120.0
"""Seconds of a run for which the user names no length."""

SHORT_TIME, LONG_TIME = 30.0, 300.0
"""Seconds below which a smaller model is better, and from which a larger one is."""
SIZE_SETTINGS = {"hidden_size", "layers", "embedding_size"}
"""If the user sets one of these, the short and long presets do not apply: their other settings fit their own sizes."""


def preset_for(cell: str, settings: Mapping[str, Any], *, sized: bool = False) -> dict[str, Any]:
    """Return the settings of model and training for a cell and the training time in the user's `settings`.

    Args:
        cell: the model family.
        settings: what the user set.
        sized: whether the model's size is fixed already, so that the short and long presets do not apply.
    """
    time = TrainingConfig.of(max_time=settings.get("max_time")).max_time
    family = FAMILIES[cell]
    presets = family.presets
    if not family.neural:
        return {}
    if time is not None and not sized and SIZE_SETTINGS.isdisjoint(settings):
        special = family.short_presets if time < SHORT_TIME else family.long_presets if time >= LONG_TIME else None
        presets = special or presets
    optimizer = settings.get("optimizer", next(iter(presets)))
    return {"optimizer": optimizer, **presets.get(optimizer, {})}

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

SHORT_TIME = 30.0
"""Seconds below which a smaller model is better. The row of a family says from when on a larger one is better."""
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
        if time < SHORT_TIME:
            presets = family.short_presets or presets
        for seconds, own in family.long_presets:
            if time >= seconds:
                presets = own
    optimizer = settings.get("optimizer", next(iter(presets)))
    return {"optimizer": optimizer, **presets.get(optimizer, {})}

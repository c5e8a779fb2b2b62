"""Presets: the settings that suit each cell, by optimizer and training time. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqgen.training.config import TrainingConfig

DEFAULT_TIME = 120.0
"""Seconds of a run for which the user names no length."""

Presets = dict[str, dict[str, dict[str, Any]]]
"""By cell and optimizer; the first optimizer of a cell is its default."""

PRESETS: Presets = {
    "rnn": {
        "muon": {"lr": 0.01, "bptt": 64, "batch_size": 64},
        "adamw": {"lr": 0.005, "bptt": 64, "batch_size": 64},
    },
    "lstm": {
        "muon": {"lr": 0.012, "bptt": 64, "batch_size": 32},
        "adamw": {"lr": 0.012, "bptt": 64, "batch_size": 32},
    },
    "gru": {
        "adamw": {"lr": 0.008, "bptt": 64, "batch_size": 64},
        "muon": {"lr": 0.016, "bptt": 64, "batch_size": 64},
    },
    "transformer": {
        "muon": {"lr": 0.006, "batch_size": 16},
        "adamw": {"lr": 0.003, "batch_size": 16},
    },
}
"""Defaults of each cell, which replace those of the configs; docs/lab-notes.md has the measurements."""

SHORT_TIME, LONG_TIME = 30.0, 300.0
"""Seconds below which a smaller model is better, and from which a larger one is."""
SHORT_PRESETS: Presets = {
    "lstm": {
        "adamw": {"hidden_size": 192, "dropout": 0.0, "lr": 0.02, "bptt": 32, "batch_size": 32},
        "muon": {"hidden_size": 192, "dropout": 0.0, "lr": 0.03, "bptt": 32, "batch_size": 32},
    },
}
"""For runs shorter than `SHORT_TIME`, where a measurement showed a gain."""
LONG_PRESETS: Presets = {
    "lstm": {
        "muon": {
            "hidden_size": 384, "layers": 2, "dropout": 0.25, "lr": 0.012, "bptt": 128, "batch_size": 64,
            "weight_decay": 0.05,
        },
        "adamw": {
            "hidden_size": 512, "layers": 2, "dropout": 0.35, "lr": 0.003, "bptt": 128, "batch_size": 32,
            "weight_decay": 0.05,
        },
    },
}  # fmt: skip
"""For runs of `LONG_TIME` and more."""
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
    presets = PRESETS
    if time is not None and not sized and SIZE_SETTINGS.isdisjoint(settings):
        presets = SHORT_PRESETS if time < SHORT_TIME else LONG_PRESETS if time >= LONG_TIME else PRESETS
    by_optimizer = presets.get(cell, PRESETS[cell])
    optimizer = settings.get("optimizer", next(iter(by_optimizer)))
    return {"optimizer": optimizer, **by_optimizer.get(optimizer, {})}

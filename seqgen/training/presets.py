"""Presets: the settings that suit each cell, by optimizer and training time. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqgen.training.config import TrainingConfig

DEFAULT_TIME = 120.0
"""Seconds that a run takes when nothing says how long."""

Presets = dict[str, dict[str, dict[str, Any]]]
"""By cell and optimizer, of which the first is the one that is used where the user does not say."""

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
"""What suits each cell where the user does not say, over the defaults above: docs/lab-notes.md has the measurements."""

SHORT_TIME, LONG_TIME = 30.0, 300.0
"""Seconds below which a smaller model is the better one, and from which on a larger."""
SHORT_PRESETS: Presets = {
    "lstm": {
        "adamw": {"hidden_size": 192, "dropout": 0.0, "lr": 0.02, "bptt": 32, "batch_size": 32},
        "muon": {"hidden_size": 192, "dropout": 0.0, "lr": 0.03, "bptt": 32, "batch_size": 32},
    },
}
"""The same for runs shorter than `SHORT_TIME`, where something was found that is worth it."""
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
"""The same for runs of `LONG_TIME` and more."""
OF_A_SIZE = {"hidden_size", "layers", "embedding_size"}
"""Whoever names one of these has a size of their own in mind, which those presets' other settings do not fit."""


def preset_for(cell: str, settings: Mapping[str, Any], *, sized: bool = False) -> dict[str, Any]:
    """Config of model and training that suit a cell and the time that the user's `settings` give it.

    With `sized`, or where they name a size, the usual one.
    """
    time = TrainingConfig.of(max_time=settings.get("max_time")).max_time
    presets = PRESETS
    if time is not None and not sized and OF_A_SIZE.isdisjoint(settings):
        presets = SHORT_PRESETS if time < SHORT_TIME else LONG_PRESETS if time >= LONG_TIME else PRESETS
    by_optimizer = presets.get(cell, PRESETS[cell])
    optimizer = settings.get("optimizer", next(iter(by_optimizer)))
    return {"optimizer": optimizer, **by_optimizer.get(optimizer, {})}

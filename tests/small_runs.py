"""Settings of runs that take a moment."""

from __future__ import annotations

from typing import Any

from seqgen.models.registry import FAMILIES
from seqgen.runs.config import RunConfig, resolve_settings
from seqgen.sources.config import LABELING_TASKS

NEURAL = [cell for cell, family in FAMILIES.items() if family.neural and family.task not in LABELING_TASKS]
"""The cells that are trained by gradients on text; small runs of labelers are in runs/test_labeler.py."""
SMALL: dict[str, Any] = {"hidden_size": 16, "max_steps": 8, "eval_every": 4, "batch_size": 8, "warmup_steps": 2}


def with_length(cell: str, length: int) -> dict[str, Any]:
    """Return the settings of a cell that trains on `length` tokens at once."""
    windows = FAMILIES[cell].batches == "windows"
    return {"cell": cell, "block_size" if windows else "bptt": length}


SPECIAL: dict[str, dict[str, Any]] = {
    "rnn": {"grad_accum": 2},
    "lstm": {"layers": 2, "dropout": 0.3, "precision": "bf16"},
    "transformer": {"layers": 2, "heads": 2, "dropout": 0.2},
}
SMALL_RUNS = {cell: {**with_length(cell, 16), "precision": "fp32", **SPECIAL.get(cell, {})} for cell in NEURAL}
"""A small run of every neural family, by cell."""

GRU = {**SMALL, **SMALL_RUNS["gru"]}
"""Most tests need one family only."""


def run_config() -> RunConfig:
    """Return the config of a run of the default cell that was never made."""
    return RunConfig.of(
        seqgen="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        **{name: getattr(resolve_settings({"max_steps": 5}), name) for name in ("model", "data", "training")},
        tokenizer={"kind": "char", "vocab_size": 32, "fingerprint": "0" * 64},
        text={
            "sha256": "0" * 64,
            "characters": 1000,
            "train_tokens": 950,
            "valid_tokens": 50,
            "ends": False,
            "split": "blocks",
        },
        environment={"python": "3.11", "threads": 2},
    )

"""Settings of runs that take a moment."""

from __future__ import annotations

from typing import Any

from seqgen.models.registry import FAMILIES

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
SMALL_RUNS = {cell: {**with_length(cell, 16), "precision": "fp32", **SPECIAL.get(cell, {})} for cell in FAMILIES}
"""A small run of every family, by cell."""

GRU = {**SMALL, **SMALL_RUNS["gru"]}
"""Most tests need one family only."""

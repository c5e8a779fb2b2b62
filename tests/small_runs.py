"""Settings of runs that take a moment."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {"hidden_size": 16, "max_steps": 8, "eval_every": 4, "batch_size": 8, "warmup_steps": 2}

FAMILIES: dict[str, dict[str, Any]] = {
    "lstm with dropout": {"cell": "lstm", "layers": 2, "dropout": 0.3, "bptt": 16, "precision": "bf16"},
    "gru": {"cell": "gru", "bptt": 16, "precision": "fp32"},
    "rnn, two batches a step": {"cell": "rnn", "bptt": 16, "grad_accum": 2, "precision": "fp32"},
    "transformer with dropout": {
        "cell": "transformer", "layers": 2, "heads": 2, "block_size": 16, "dropout": 0.2, "precision": "fp32",
    },
}  # fmt: skip

GRU = {**SMALL, **FAMILIES["gru"]}
"""Most tests need one family only."""

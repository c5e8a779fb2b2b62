"""Settings of runs that take a moment."""

from __future__ import annotations

from typing import Any

from seqgen.models.registry import FAMILIES
from seqgen.runs.config import RunConfig, resolve_settings
from seqgen.sources.config import GENERATE

NEURAL = [cell for cell, family in FAMILIES.items() if family.neural and family.task == GENERATE]
"""The cells that are trained by gradients on texts."""
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

TRANSLATE_RUNS: dict[str, dict[str, Any]] = {
    "lstm-translate": {"cell": "lstm", "layers": 2, "dropout": 0.2, "precision": "fp32"},
    "gru-translate": {"cell": "gru", "input_feeding": True, "label_smoothing": 0.1, "precision": "bf16"},
    "rnn-translate": {"cell": "rnn", "attention": "none", "two_way": False, "precision": "fp32"},
    "transformer-translate": {"cell": "transformer", "layers": 1, "heads": 2, "dropout": 0.2, "precision": "fp32"},
}
"""A small run of every encoder-decoder."""
TRANSLATE_RUNS = {name: {**SMALL, "task": "translate", **settings} for name, settings in TRANSLATE_RUNS.items()}
PAIRS = "".join(f"{number:03}\t{number * 7 % 1000:03}\n" for number in range(0, 1000, 9))
"""112 pairs of numbers of three digits."""

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

"""Settings of runs that take a moment."""

from __future__ import annotations

import random
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

LABEL_RUNS: dict[str, dict[str, Any]] = {
    "rnn-classify": {"task": "classify", "cell": "rnn", "pool": "mean", "grad_accum": 2},
    "lstm-classify": {"task": "classify", "cell": "lstm", "dropout": 0.3, "precision": "bf16"},
    "gru-classify": {"task": "classify", "cell": "gru", "pool": "last", "average": 0.9},
    "transformer-classify": {"task": "classify", "cell": "transformer", "heads": 2, "dropout": 0.2},
    "rnn-tag": {"task": "tag", "cell": "rnn", "two_way": False},
    "lstm-tag": {"task": "tag", "cell": "lstm", "tokenizer": "bpe", "vocab_size": 290},
    "gru-tag": {"task": "tag", "cell": "gru", "two_way": False, "layers": 2, "dropout": 0.3},
    "transformer-tag": {"task": "tag", "cell": "transformer", "heads": 2},
}
"""A small run of every classifier and tagger."""
LABEL_RUNS = {name: {**SMALL, "precision": "fp32", **settings} for name, settings in LABEL_RUNS.items()}


def labeled_texts(count: int = 120) -> str:
    """Return texts with the label `b` where they have more b than a, else `a`."""
    draw = random.Random(1)
    texts = ["".join(draw.choices("ab", k=draw.choice([3, 5, 7]))) for _ in range(count)]
    return "".join(f"{text}\t{'b' if text.count('b') > len(text) / 2 else 'a'}\n" for text in texts)


def tagged_sentences(count: int = 120) -> str:
    """Return sentences of nouns and verbs, some of them of several bytes, with their tags."""
    draw = random.Random(1)
    words = {"cat": "N", "고양이": "N", "café": "N", "sees": "V", "본다": "V", ".": "O"}
    sentences = [draw.choices(list(words), k=draw.randint(1, 6)) for _ in range(count)]
    return "".join(f"{' '.join(one)}\t{' '.join(words[word] for word in one)}\n" for one in sentences)


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

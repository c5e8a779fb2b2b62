"""Train with given settings and score a held-out text: how the presets were chosen.

Each setting is one run, as `name=value` words: "cell=gru lr=0.008 max_time=60s". Figures of `max_time` depend on the
machine; those of `max_steps` do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from measuring import Row

import seqgen
from seqgen.models.base import parameter_count
from seqgen.training.config import TrainingConfig

ONE_MINUTE = tuple(f"cell={cell} max_time=60s" for cell in ("lstm", "gru", "rnn", "transformer"))


def rows(text: Path, held_out: Path, settings: Sequence[str]) -> Iterator[Row]:
    """Yield one row per setting; without settings, one minute of each cell."""
    for words in settings or ONE_MINUTE:
        yield measure(text, held_out, words)


def parse(words: str) -> dict[str, Any]:
    """Split `name=value` words; numbers become numbers, everything else stays text."""
    settings: dict[str, Any] = {}
    for word in words.split():
        name, _, value = word.partition("=")
        for kind in (int, float, str):
            try:
                settings[name] = kind(value)
                break
            except ValueError:
                continue
    return settings


def measure(text: Path, held_out: Path, words: str) -> Row:
    """Train in a temporary folder and return the result as a row."""
    with tempfile.TemporaryDirectory() as folder:
        training = seqgen.train(text, out=Path(folder) / "run", **parse(words))
        run = training.run()
        tokens = training.total_steps * _tokens_per_step(run)
        evaluation = run.evaluate(held_out)
    return {
        "settings": words,
        "parameters": parameter_count(run.model),
        "steps": training.total_steps,
        "epochs": tokens / run.config.text.train_tokens,
        "nats/token": evaluation.nats_per_token,
        "bits/byte": evaluation.bits_per_byte,
    }


def _tokens_per_step(run: seqgen.Run) -> int:
    training = cast("TrainingConfig", run.config.training)
    return training.batch_size * int(getattr(run.config.model, "block_size", training.bptt))

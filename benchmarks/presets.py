"""What a preset is worth: train with given settings, score a held-out text, print a row for docs/presets.md.

    python benchmarks/presets.py corpus.txt held-out.txt "cell=gru lr=0.008 max_time=60s" "cell=lstm max_steps=2000"

Each quoted argument is one run. Figures of `max_time` depend on the machine, those of `max_steps` do not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import seqgen
from seqgen.models.base import parameter_count


def parse(words: str) -> dict[str, Any]:
    """Config as `name=value` words; numbers are numbers, everything else is text."""
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


def measure(text: str, held_out: str, words: str) -> str:
    """Train in a folder that is thrown away, and describe the result as a row."""
    with tempfile.TemporaryDirectory() as folder:
        training = seqgen.train(text, out=Path(folder) / "run", **parse(words))
        run = training.run()
        epochs = training.total_steps * run.config.training.batch_size * _columns(run) / run.config.text.train_tokens
        evaluation = run.evaluate(held_out)
    return (
        f"| {words} | {parameter_count(run.model):,} | {training.total_steps:,} | {epochs:.1f} | "
        f"{evaluation.nats_per_token:.4f} | {evaluation.bits_per_byte:.4f} |"
    )


def _columns(run: seqgen.Run) -> int:
    model = run.config.model
    return model.block_size if model.cell == "transformer" else run.config.training.bptt or 64


def main() -> None:
    """Print the table, a row as soon as it is known."""
    text, held_out, *runs = sys.argv[1:]
    print("| settings | parameters | steps | epochs | nats/token | bits/byte |\n|---|---|---|---|---|---|")
    for words in runs:
        print(measure(text, held_out, words), flush=True)


if __name__ == "__main__":
    main()

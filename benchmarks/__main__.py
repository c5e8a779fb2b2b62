"""Measure seqgen next to what a user would pick instead, and write the results.

    pip install -e '.[bench]'
    python benchmarks                                  # the races, some ten minutes on a quiet machine
    python benchmarks layers generation --rounds 1     # some of them, to look
    python benchmarks presets --text 90.txt --valid 10.txt "cell=gru max_time=60s" "cell=lstm max_time=60s"
    python benchmarks time_to_quality --text 90.txt --valid 10.txt --max-time 2.8s --max-time 5m
    python benchmarks tokenizer_choice --text corpus.txt "tokenizer=char seconds=60" "tokenizer=bpe seconds=60"
    python benchmarks embeddings --text corpus.txt --threads 2

Each name writes results/NAME.json and its table in results.md. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import evaluation
import generation
import layers
import presets
import results
import time_to_quality
import tokenization
import tokenizer_choice
import torch
import training
from measuring import Row

from seqgen.device import keep_freed_memory

RACES = {
    "layers": layers.rows,
    "training": training.rows,
    "generation": generation.rows,
    "evaluation": evaluation.rows,
    "tokenization": tokenization.rows,
}
OF_TEXT = ("tokenizer_choice", "embeddings")
TRAINED = {"presets": presets.rows, "time_to_quality": time_to_quality.rows}


def main() -> None:
    """Run the named benchmarks; print and write their rows."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks", description="Measure seqgen next to what a user would pick instead."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*RACES, *TRAINED, *OF_TEXT]))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a race")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--text", type=Path, help="presets, time_to_quality, tokenizer_choice, embeddings: the text")
    parser.add_argument("--valid", type=Path, help="presets, time_to_quality: the held-out text")
    parser.add_argument("--max-time", action="append", help="time_to_quality: training time; may be repeated")
    given = parser.parse_intermixed_args()
    settings = [name for name in given.names if "=" in name]
    names = [name for name in given.names if name not in settings] or list(RACES)
    if unknown := sorted({*names} - {*RACES, *TRAINED, *OF_TEXT}):
        parser.error(f"unknown benchmark: {', '.join(unknown)}")
    if not TRAINED.keys().isdisjoint(names) and (given.text is None or given.valid is None):
        parser.error("presets and time_to_quality need --text and --valid")
    if "tokenizer_choice" in names and (given.text is None or not settings):
        parser.error("tokenizer_choice needs --text and settings")
    if "embeddings" in names and given.text is None:
        parser.error("embeddings needs --text")
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as training does; it helps the peers too
    command = shlex.join(["python", "benchmarks", *sys.argv[1:]])
    for name in names:
        machine = results.describe_machine()
        rows: Iterable[Row]
        if name in RACES:
            rows = RACES[name](given.rounds, given.threads)
        elif name == "tokenizer_choice":
            rows = tokenizer_choice.rows(given.text, settings)
        elif name == "embeddings":
            import embeddings  # needs gensim

            rows = embeddings.rows(given.text, given.threads)
        else:
            rows = TRAINED[name](given.text, given.valid, settings if name == "presets" else given.max_time)
        measured = []
        for row in rows:
            print("  ".join(f"{column} {value}" for column, value in row.items()), flush=True)
            measured.append(row)
        print(f"{results.write(name, command, measured, machine)}\n")


if __name__ == "__main__":
    main()

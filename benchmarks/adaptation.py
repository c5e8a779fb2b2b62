"""Choose the constants of adaptation on the tail of a text, by a model trained on what comes before it.

    python benchmarks/adaptation.py TEXT [--tokens N] "rate=0.001 decay=0.003" "cache=1 cache_share=0.1" ...

Trains an lstm on the first 90% of TEXT for 800 steps, fits an n-gram model to the same ids, and reads the beginning of
the last 10% once for each setting, which is of `name=value` words: fields of `AdaptationConstants`, and cache=1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import presets
import torch

import seqgen
from seqgen.data.documents import Documents
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import DEFAULTS, AdaptationConstants
from seqgen.evaluation.adaptation.reader import StaticReader
from seqgen.evaluation.adaptation.stream import stream_of
from seqgen.models.base import LanguageModel
from seqgen.models.config import NgramConfig
from seqgen.models.mixture import MixtureModel
from seqgen.models.ngram.model import fit
from seqgen.models.registry import MixtureConfig

LSTM_WEIGHT = 0.6
"""The weight of the lstm in the mixture before the tail."""


def main() -> None:
    """Train once, and print nats per token for each setting."""
    parser = argparse.ArgumentParser(prog="python benchmarks/adaptation.py", description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--order", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = given.text.read_text("utf-8")
    cut = text.rfind("\n", 0, len(text) * 9 // 10) + 1
    lstm, model, tail = train(text[:cut], text[cut:], given.order)
    inputs, targets = (row[: given.tokens] for row in stream_of(Documents.of([tail])))
    members = {"lstm": lstm, "mixture": model}
    static = "  ".join(f"{name} {StaticReader(one).nats(inputs, targets).mean():.4f}" for name, one in members.items())
    print(f"{given.text.name}: {len(targets):,} tokens, static  {static}", flush=True)
    for words in given.settings:
        values = presets.parse(words)
        cache = bool(values.pop("cache", 0))
        constants = AdaptationConstants.of(**{name: _typed(name, value) for name, value in values.items()})
        for name, one in members.items():
            begun = time.perf_counter()
            nats = adaptive(one, "all", constants, cache=cache, ends=False).nats(inputs, targets).mean()
            print(f"  {words or 'defaults'}  {name} {nats:.4f}  {time.perf_counter() - begun:.0f} s", flush=True)


def _typed(name: str, value: object) -> object:
    """Return a number as the constant's own type."""
    return type(getattr(DEFAULTS, name))(value)


def train(text: str, tail: str, order: int) -> tuple[LanguageModel, MixtureModel, np.ndarray]:
    """Return an lstm trained on a text, its mixture with an n-gram model, and the ids of the tail."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text, "utf-8", newline="")
        training = seqgen.train(path, cell="lstm", max_steps=800, threads=1, tokenizer="char", out=Path(folder) / "run")
        training.run()
        run = seqgen.load(training.path, device="cpu")
    ids = run.tokenizer.encode(text)
    documents = ids, np.array([0, len(ids)]), np.array([False])
    ngram = fit(NgramConfig(order=order), documents, run.model.vocab_size, tokenizer="char", models_ends=False)
    pair = {"lstm": run.model, "ngram": ngram}
    config = MixtureConfig(members={name: one.config for name, one in pair.items()})
    mixture = MixtureModel(config, run.model.vocab_size, pair).eval()
    mixture.weights.copy_(torch.tensor([LSTM_WEIGHT, 1 - LSTM_WEIGHT]))
    return run.model, mixture, run.tokenizer.encode(tail)


if __name__ == "__main__":
    main()

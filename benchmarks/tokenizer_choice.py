"""Train with each tokenizer for the same time, and score blocks spread over the text: how `--tokenizer auto` chooses.

Each setting is one run, as `name=value` words: "tokenizer=bpe vocab_size=2000 seconds=60". The seconds are of one quiet
core: they become the steps that it takes in them, by the cost of a step relative to the default lstm over characters.
So the figures do not depend on the machine. Next to the lstm are an n-gram over the same ids, and the mixture of both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from measuring import Row
from presets import parse

import seqgen
from seqgen import models
from seqgen.data.config import DataConfig
from seqgen.data.documents import Documents
from seqgen.data.pipeline import read_texts
from seqgen.device import select_device, select_precision
from seqgen.models.base import NeuralModel
from seqgen.runs.config import resolve_settings
from seqgen.runs.setup import build_stream
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner

REFERENCE_RATE = 16.7
"""Steps of the default lstm over 70 characters in a second of one core: 60 ms each."""
REFERENCE_VOCABULARY = 70
HELD_OUT_SHARE, HELD_OUT_CHARACTERS, BLOCKS = 0.1, 200_000, 20
"""How much of a text is held out, at most, and in how many blocks."""
ROUNDS, STEPS = 5, 4
"""Rounds of the measurement of a step, and steps in each."""


def rows(text: Path, settings: Sequence[str]) -> Iterator[Row]:
    """Yield one row per setting."""
    train, held_out = hold_out(text.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        path.write_text(train, "utf-8", newline="")
        for number, words in enumerate(settings):
            yield {"text": text.stem, "settings": words, **measure(path, held_out, parse(words), f"run{number}")}


def hold_out(text: str) -> tuple[str, str]:
    """Return the text without blocks of whole lines, and those blocks."""
    size = min(int(len(text) * HELD_OUT_SHARE), HELD_OUT_CHARACTERS) // BLOCKS
    kept, held, at = [], [], 0
    for block in range(BLOCKS):
        start = text.find("\n", len(text) * (2 * block + 1) // (2 * BLOCKS) - size // 2) + 1
        stop = text.find("\n", start + size) + 1
        kept.append(text[at:start])
        held.append(text[start:stop])
        at = stop
    return "".join([*kept, text[at:]]), "".join(held)


def measure(train: Path, held_out: str, settings: dict[str, Any], name: str) -> Row:
    """Train an lstm for `seconds` and an n-gram, and return their bits per byte and those of their mixture."""
    seconds = settings.pop("seconds")
    of_text = {key: settings[key] for key in ("documents",) if key in settings}
    texts = read_texts(DataConfig.of(text=(str(train),), **of_text))
    wanted = {key: settings[key] for key in ("vocab_size",) if key in settings}
    began = time.process_time()
    tokenizer = texts.tokenizer(TokenizerConfig.of(kind=settings["tokenizer"], **wanted))
    built = time.process_time() - began
    steps = round(seconds * REFERENCE_RATE / cost_of_a_step(settings, tokenizer.vocab_size))
    run = seqgen.train(train, out=train.parent / name, max_steps=steps, threads=1, **settings).run()
    counted = seqgen.train(
        train, out=train.parent / f"{name}-ngram", cell="ngram", tokenizer=run.path / "tokenizer", **of_text
    ).run()
    documents = held_out.splitlines() if of_text else [held_out]
    lstm, ngram = ([one.score(text) for text in documents] for one in (run, counted))
    spelling = sum(float(scores.unk_cost.sum()) for scores in lstm)
    nats = [np.concatenate([scores.nats for scores in member]) for member in (lstm, ngram)]
    weight, mixture = mix(*nats)
    size = np.log(2) * len(held_out.encode())
    bits = [(float(one.sum()) + spelling) / size for one in (*nats, mixture)]
    training = cast("TrainingConfig", run.config.training)
    return {
        "vocabulary": tokenizer.vocab_size,
        "tokenizer, s": round(built, 1),
        "steps": steps,
        "epochs": steps * training.batch_size * training.bptt / run.config.text.train_tokens,
        **dict(zip(("lstm", "ngram", "mixture"), bits, strict=True)),
        "weight of the lstm": weight,
    }


def cost_of_a_step(settings: dict[str, Any], vocab_size: int) -> float:
    """Return the time of a step relative to the default lstm over characters; the two take turns."""
    ours = _learner(settings, vocab_size)
    reference = _learner({"cell": "lstm"}, REFERENCE_VOCABULARY)
    ratios = []
    for turn in range(ROUNDS + 1):
        times = []
        for learner in (ours, reference):
            began = time.process_time()
            for step in range(STEPS):
                learner.step(turn * STEPS + step)
            times.append(time.process_time() - began)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios[1:])


def _learner(settings: dict[str, Any], vocab_size: int) -> Learner:
    """Return a learner on random ids, few of them frequent, as in a text."""
    model_settings = {key: value for key, value in settings.items() if key not in {"tokenizer", "vocab_size"}}
    resolved = resolve_settings({**model_settings, "max_steps": 1000})
    ids = np.minimum(np.random.default_rng(0).zipf(1.3, 600_000), vocab_size - 1).astype(np.int32)
    training = cast("TrainingConfig", resolved.training)
    stream = build_stream(resolved.model, training, Documents.of([ids]))
    model = cast("NeuralModel", models.build(resolved.model, vocab_size).eval())
    return Learner(model, stream, training, select_precision("auto", select_device("cpu")))


def mix(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the best weight of `one` in the mixture of two, and the nats of the mixture."""
    weight, mixture = 0.5, one
    for _ in range(100):
        mixture = -np.logaddexp(np.log(weight) - one, np.log1p(-weight) - other)
        weight = float(np.clip(np.exp(np.log(weight) - one + mixture).mean(), 1e-6, 1 - 1e-6))
    return weight, mixture

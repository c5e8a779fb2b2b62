"""Run an engine, and the plain algorithm that it is compared with."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch

from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.models.base import LanguageModel
from seqgen.tokenizers.base import BOUNDARY, Tokenizer


def run(engine: Engine, *rows: int) -> list[list[str]]:
    """Return the pieces of text of each step, one for each of `rows`."""
    steps = []
    while len(engine):
        events = {event.row: event.text for event in engine.step()}
        if events:
            steps.append([events.get(row, "") for row in rows])
    return steps


def steps_of(model: LanguageModel, tokenizer: Tokenizer, prompt: str = "", num_samples: int = 1, **sampling):
    """Return the pieces of each step of several samples."""
    engine = Engine(model, model.stepper(), tokenizer)
    return run(engine, *engine.add_samples(Request(prompt, SamplingConfig.of(**sampling)), num_samples))


def texts_of(model: LanguageModel, tokenizer: Tokenizer, prompt: str = "", num_samples: int = 1, **sampling):
    """Return the texts of several samples."""
    steps = steps_of(model, tokenizer, prompt, num_samples, **sampling)
    return ["".join(pieces) for pieces in zip(*steps, strict=True)]


def naive(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, *, count: int, seed: int = 0, sample: int = 0
) -> str:
    """Sample at temperature 1, each token from the plain forward over everything before it."""
    random = np.random.default_rng([seed, sample])
    ids = [BOUNDARY, *tokenizer.encode(prompt).tolist()]
    start = len(ids)
    for _ in range(count):
        with torch.no_grad():
            logits, _ = model(read := torch.tensor([ids]), model.initial_state(1, len(ids)), read == 0)
        weights = logits[0, -1].double().exp().tolist()
        for token in (BOUNDARY, tokenizer.unknown_id):
            weights[token] = 0.0
        heights, uniform = list(accumulate(weights)), random.random()
        ids.append(next(token for token, height in enumerate(heights) if height > uniform * heights[-1]))
    return tokenizer.decode(ids[start:])


def cut(text: str, stop: list[str]) -> str:
    """Return `text` up to the stop string that is complete first; of two, the longer."""
    for end in range(len(text) + 1):
        ended = [len(one) for one in stop if one and text[:end].endswith(one)]
        if ended:
            return text[: end - max(ended)]
    return text

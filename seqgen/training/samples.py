"""Short samples of a model in training."""

from __future__ import annotations

from typing import cast

import numpy as np

from seqgen.data.pairs import Pairs
from seqgen.device import autocast
from seqgen.evaluation.labels import label_logits
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine
from seqgen.generation.generate import complete, separator
from seqgen.generation.translate import translate
from seqgen.models.base import LanguageModel
from seqgen.models.config import LabelConfig
from seqgen.tokenizers.base import Tokenizer

SAMPLE_TOKENS = 160
SAMPLE_PAIRS = 4
"""Sources of a sample, evenly spaced."""


def generate_sample(
    model: LanguageModel, tokenizer: Tokenizer, seed: int, line_end: str = "", *, ends: bool = False
) -> str:
    """Generate a short text with the current weights, after `line_end`; several if the model ends them, as documents.

    They have `SAMPLE_TOKENS` tokens in all, or fewer where the model has no positions for them.
    """
    limit = SAMPLE_TOKENS if model.max_positions is None else model.max_positions - len(tokenizer.encode(line_end))
    texts: list[str] = []
    left = SAMPLE_TOKENS
    with autocast(model.device, "fp32"):
        engine = Engine(model, model.stepper(), tokenizer, ends=ends, line_end=line_end)
        while left > 0 and (ends or not texts):
            config = SamplingConfig(max_new_tokens=max(1, min(left, limit)), seed=seed)
            (made,) = complete(engine, [""], config, first=len(texts))
            texts.append(made.text)
            left -= made.tokens
    return (separator(texts) or "\n\n").join(texts)


def sample_labels(model: LanguageModel, tokenizer: Tokenizer, pairs: Pairs) -> str:
    """Return the most probable labels of some texts, a line each: the text, an arrow and its label, or word/tag."""
    chosen = _spread(pairs)
    labels = cast("LabelConfig", model.config).labels
    lines = []
    for number, logits in enumerate(label_logits(model, chosen)):
        made = [labels[index] for index in logits.argmax(1).tolist()]
        lines.append(chosen.show(number, made, tokenizer))
    return "\n".join(lines)


def _spread(pairs: Pairs) -> Pairs:
    """Return `SAMPLE_PAIRS` pairs, evenly spaced."""
    return pairs.select(np.unique(np.linspace(0, len(pairs) - 1, SAMPLE_PAIRS).astype(np.int64)))


def sample_pairs(model: LanguageModel, tokenizer: Tokenizer, pairs: Pairs) -> str:
    """Return what a model makes of some sources, a line each: the source, an arrow, and what it wrote."""
    chosen = _spread(pairs)
    sources = [chosen.sources[number] for number in range(len(chosen))]
    with autocast(model.device, "fp32"):
        made = [best.text for best, *_ in translate(model, model.stepper(), tokenizer, sources)]
    return "\n".join(chosen.show(number, [text], tokenizer) for number, text in enumerate(made))

"""Attention: where each head of a transformer looks, and what it is good at.

The maps and most figures are of a text. Two scores are of random tokens that are read twice, one sequence after its own
copy (Olsson et al. 2022, "In-context learning and induction heads"): as the tokens have no meaning, a head can only
follow their places and their repetition.

    previous token   the weight from a token to the one before it
    induction        the weight from the second occurrence of a token to the token after its first occurrence, which is
                     what comes next
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from seqgen.device import evaluation_mode
from seqgen.errors import ConfigError
from seqgen.inspection.trace import cut_tokens, neural_part, trace_text
from seqgen.models.base import NeuralModel
from seqgen.runs.text import TextRun
from seqgen.tokenizers.base import BOUNDARY

MOST_TOKENS = 128
"""The longest text whose attention is measured: longer rows cannot be read on a map."""
MOST_WEIGHTS = 250_000
"""Weights of all heads and of their means, up to which a page stays below 2 MB."""
REPEATED = 32
"""Tokens of a random sequence, or fewer where attention does not reach as far."""
SEQUENCES = 16
"""Random sequences that the scores are a mean over."""
HIGH = 0.4
"""The score from which a head is named after it; equal weights on all tokens so far score 0.02 and 0.05."""

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HeadFigures:
    """The figures of a head, as means over the tokens of a text; the two scores are of repeated random tokens."""

    layer: int
    """From 0, the layer next to the tokens."""
    head: int
    """From 0."""
    distance: float
    """How many tokens back the weights reach on average; a token's weight to itself counts as 0."""
    entropy: float
    """The entropy of the weights, in nats: 0 if all weight is on one token."""
    start: float
    """The weight to the boundary before the text."""
    previous: float
    """The weight from a token to the one before it."""
    induction: float
    """The weight from the second occurrence of a token to the token after its first occurrence."""

    @property
    def role(self) -> str:
        """What a score of `HIGH` or more makes of the head: `induction`, `previous token`, or empty."""
        name, score = max(("induction", self.induction), ("previous token", self.previous), key=lambda one: one[1])
        return name if score >= HIGH else ""

    @property
    def figures(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "induction": self.induction,
            "previous token": self.previous,
            "distance": self.distance,
            "entropy": self.entropy,
            "to <start>": self.start,
        }


@dataclass(frozen=True, eq=False)
class TextAttention:
    """The attention of all heads of a model at the tokens of a text."""

    tokens: list[str]
    """The characters of each of N tokens."""
    unknown: list[int]
    """The numbers of the tokens that are not in the vocabulary."""
    weights: Weights
    """[layers, heads, N, 1 + N]: from each token to the boundary before the text, and to the tokens."""
    heads: list[HeadFigures]
    """By layer and head."""
    repeated: int
    """Tokens of the random sequences that were read twice."""
    is_cut: bool
    """Whether the text has more tokens, which were not read."""

    @property
    def note(self) -> str:
        """What the figures are."""
        return (
            f"induction and previous token: mean weights on {SEQUENCES} sequences of {self.repeated} random tokens, "
            f"each read twice; a head is named from {HIGH} on. Distance in tokens, entropy in nats and the weight to "
            "the start are of the text."
        )

    @property
    def ranked(self) -> list[HeadFigures]:
        """The heads, those with the highest induction or previous-token score first."""
        return sorted(self.heads, key=lambda one: -max(one.induction, one.previous))


def measure_attention(run: TextRun, text: str, *, member: str | None = None, seed: int = 1) -> TextAttention:
    """Return the attention of each head of a transformer at the tokens of a text, and its figures.

    Only the beginning of a long text is read: as many tokens as `MOST_TOKENS`, `MOST_WEIGHTS` and the model's positions
    allow.

    Args:
        run: a transformer, or a mixture with one.
        text: one document.
        member: the name of the transformer in a mixture that has several members with hidden states.
        seed: of the random tokens.

    Raises:
        ConfigError: the model is not a transformer; the members of a mixture as of `neural_part`.
        TextError: the text is empty.
    """
    part = neural_part(run, member)
    repeated, (previous, induction) = _score_repetition(part, seed)
    layers, heads = previous.shape
    limit = min(MOST_TOKENS, math.isqrt(MOST_WEIGHTS // (layers * (heads + 1))))
    if part.model.max_positions is not None:
        limit = min(limit, part.model.max_positions - 1)
    shown = cut_tokens(part, text, limit)
    trace = trace_text(part, shown, "layers.*.attention")
    read = len(trace.ids)
    weights = np.stack([trace.values[f"layers.{layer}.attention"][..., -(read + 1) :] for layer in range(layers)])
    weights = weights.transpose(0, 2, 1, 3)
    figures = zip(_distances(weights), _entropies(weights), weights[..., 0].mean(2), previous, induction, strict=True)
    described = [
        HeadFigures(layer, head, *map(float, of_head))
        for layer, of_layer in enumerate(figures)
        for head, of_head in enumerate(zip(*of_layer, strict=True))
    ]
    unknown = np.flatnonzero(trace.ids == part.tokenizer.unknown_id).tolist()
    return TextAttention(trace.tokens, unknown, weights, described, repeated, is_cut=shown != text)


def _distances(weights: Weights) -> npt.NDArray[np.float64]:
    """Return the mean distance of the weights [layers, heads, N, 1 + N] in tokens: [layers, heads]."""
    rows, columns = weights.shape[2:]
    distances = np.arange(1, rows + 1)[:, None] - np.arange(columns)
    mean: npt.NDArray[np.float64] = (weights * distances).sum(3).mean(2, dtype=np.float64)
    return mean


def _entropies(weights: Weights) -> npt.NDArray[np.float64]:
    """Return the mean entropy of the rows of the weights [layers, heads, N, 1 + N], in nats: [layers, heads]."""
    logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    mean: npt.NDArray[np.float64] = -(weights * logs).sum(3).mean(2, dtype=np.float64)
    return mean


def _score_repetition(run: TextRun, seed: int) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the length of the random sequences, and two scores of each head: [2, layers, heads].

    The first is the previous-token score, the second the induction score.

    Raises:
        ConfigError: the model has no attention.
    """
    model = cast("NeuralModel", run.model)
    vocabulary = np.setdiff1d(np.arange(model.vocab_size), [BOUNDARY, run.tokenizer.unknown_id or BOUNDARY])
    reach = getattr(model.config, "block_size", 2 * REPEATED + 1)
    length = max(2, min(REPEATED, (reach - 1) // 2, len(vocabulary)))
    rng = np.random.default_rng(seed)
    again = len(vocabulary) < length
    once = np.stack([rng.choice(vocabulary, length, replace=again) for _ in range(SEQUENCES)])
    inputs = np.concatenate([np.full((SEQUENCES, 1), BOUNDARY), once, once], axis=1)
    tokens = torch.from_numpy(inputs.astype(np.int64)).to(model.device)
    with evaluation_mode(model):
        trace = model.trace(tokens, starts=tokens == BOUNDARY)
    maps = [trace[name] for name in trace if name.startswith("layers.") and name.endswith(".attention")]
    if not maps:
        raise ConfigError(
            f"{run.path} is a run of {run.config.model.cell}, which has no attention; name a run of a transformer, "
            "or look at the states of this one with seqgen inspect units"
        )
    second = torch.arange(length + 1, 2 * length + 1)
    rows = torch.arange(2, 2 * length + 1)  # the token before the first one is the boundary
    scores = [
        [attention[:, target, :, source].double().mean((0, 1)).cpu().numpy() for attention in maps]
        for target, source in ((rows, rows - 1), (second, second - length + 1))
    ]
    return length, np.array(scores)

"""Score documents under a model: the cost of every token, counted once.

The documents are cut into segments, which run as rows of a batch. A segment reads from `begin`, is scored from `score`,
and ends at `end`; the tokens from `begin` to `score` only warm up its state (burn-in). Streams, parallel segments with
burn-in and overlapping windows differ only in how these three are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.data.batches import IGNORED
from seqgen.device import StepperPrecision, autocast, evaluation_mode
from seqgen.errors import ConfigError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.models.base import LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY, Ids
from seqgen.utils.text import plural

Forward = Callable[[Tensor, State], tuple[Tensor, State]]
"""Tokens [B, T] and a state -> logits [B, T, V] and the next state."""

SEGMENTS = 64
MIN_SEGMENT = 512  # scored tokens: in shorter segments burn-in would be most of the work
COLUMNS = 256  # tokens of a segment in one call of the model, or fewer to keep to MAX_LOGITS
MAX_LOGITS = 1 << 24  # numbers in the logits of one call


@dataclass(frozen=True)
class Segment:
    """Tokens [begin, end) of a document, scored from `score` on."""

    document: int
    begin: int
    score: int
    end: int


def stream_segments(lengths: Sequence[int], burn_in: int, segments: int = SEGMENTS) -> list[Segment]:
    """Cut longer documents into parallel segments, each with burn-in on the tokens before it; keep the others whole."""
    longest = max(MIN_SEGMENT, -(-sum(lengths) // segments))
    plan = []
    for document, length in enumerate(lengths):
        parts = 1 if segments == 1 else -(-length // longest)
        cuts = [length * part // parts for part in range(parts + 1)] if length else []
        plan += [Segment(document, max(0, cut - burn_in), cut, end) for cut, end in pairwise(cuts)]
    return plan


def window_segments(lengths: Sequence[int], context_window: int, stride: int) -> list[Segment]:
    """Cut documents into windows of `context_window` tokens at every `stride`; each scores the tokens new in it."""
    plan = []
    for document, length in enumerate(lengths):
        scored = 0
        while scored < length:
            end = scored + stride if scored else context_window
            plan.append(Segment(document, max(0, end - context_window), scored, min(length, end)))
            scored = end
    return plan


def segments_for(model: LanguageModel, lengths: Sequence[int], config: EvaluationConfig) -> tuple[list[Segment], str]:
    """Return the segments in which `model` scores documents of these lengths, and a description of their context.

    A model with a limit of positions reads windows, any other one the whole text, unless `config` sets it.

    Raises:
        ConfigError: the context that `config` sets exceeds the model's positions.
    """
    limit, window, burn_in = model.max_positions, config.context_window, model.burn_in
    if limit is not None and (window is None or window > limit):
        if window is not None or config.sequential:
            asked = f"windows of {window}" if window is not None else "one stream"
            raise ConfigError(f"context_window: {asked} exceeds this model's {limit} sinusoidal positions")
        window = limit
    if window is not None:
        stride = config.stride or window
        return window_segments(lengths, window, stride), f"windows of {plural(window, 'token')}, stride {stride}"
    segments = stream_segments(lengths, burn_in, segments=1 if config.sequential else SEGMENTS)
    streams = (
        f"{len(segments)} segments with a burn-in of {plural(burn_in, 'token')}"
        if len(segments) > len(lengths)
        else "one stream"
    )
    return segments, f"carried through the whole text, {streams}"


def score(
    model: LanguageModel,
    documents: Sequence[Ids],
    segments: Sequence[Segment],
    precision: StepperPrecision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> float:
    """Return the total of -ln p over all tokens that `segments` score, in nats.

    Args:
        model: any family; it runs in evaluation mode and returns to the mode it was in.
        documents: the ids of each, [N], without the boundary, which is read before each.
        segments: `stream_segments` or `window_segments` of the documents' lengths.
        precision: of matrix products; int8 uses the stepper, a token at a time. Log-probabilities are always summed in
            fp64.
        progress: receives the number of tokens in each part that was scored.
    """
    order = sorted(segments, key=lambda segment: segment.end - segment.begin, reverse=True)
    total = 0.0
    with evaluation_mode(model):
        forward = _forward_in(model, precision)
        for start in range(0, len(order), SEGMENTS):
            for nats, tokens in _score_group(model, documents, order[start : start + SEGMENTS], forward):
                total += nats
                if progress is not None:
                    progress(tokens)
    return total


def _forward_in(model: LanguageModel, precision: StepperPrecision) -> Forward:
    """Return the forward in `precision`. In int8 it steps token by token, but boundaries take the model's forward."""
    if precision != "int8":

        def forward(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with autocast(model.device, precision):
                result: tuple[Tensor, State] = model(tokens, state, tokens == BOUNDARY)
            return result

        return forward
    stepper = model.stepper(precision)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        columns = []
        for token in tokens.unbind(1):
            logits, state = stepper.step(token, state, token == BOUNDARY)
            columns.append(logits)
        return torch.stack(columns, dim=1), state

    return step


def _score_group(
    model: LanguageModel, documents: Sequence[Ids], group: Sequence[Segment], forward: Forward
) -> Iterator[tuple[float, int]]:
    """Score segments as rows, longest first, `COLUMNS` tokens at a time; ended rows leave the batch."""
    lengths = [segment.end - segment.begin for segment in group]
    state = model.initial_state(len(group), lengths[0])
    width = max(1, min(COLUMNS, MAX_LOGITS // (len(group) * model.vocab_size)))
    for start in range(0, lengths[0], width):
        running = sum(length > start for length in lengths)
        if running < state.batch_size:
            state = state.select(torch.arange(running, device=model.device))
        inputs, expected = _make_batch(documents, group[:running], start, min(width, lengths[0] - start))
        logits, state = forward(inputs.to(model.device), state)
        expected = expected.to(model.device)
        nats = F.cross_entropy(logits.float().flatten(0, 1), expected.flatten(), ignore_index=IGNORED, reduction="none")
        yield float(nats.double().sum()), int((expected != IGNORED).sum())


def _make_batch(documents: Sequence[Ids], group: Sequence[Segment], start: int, width: int) -> tuple[Tensor, Tensor]:
    """Make a batch of `width` inputs and targets of each segment from `start` on, int64 [segments, width].

    Targets in the burn-in and after a segment's end are ignored.
    """
    # Pad with any id but the boundary: positions after an end are not scored.
    inputs = np.ones((len(group), width), dtype=np.int64)
    targets = np.full((len(group), width), IGNORED, dtype=np.int64)
    for row, segment in enumerate(group):
        begin, end = segment.begin + start, min(segment.begin + start + width, segment.end)
        ids = documents[segment.document][max(0, begin - 1) : end]
        count = end - begin
        inputs[row, :count] = ids[:-1] if begin else [BOUNDARY, *ids[:-1]]
        scored = min(max(segment.score, begin), end)
        targets[row, scored - begin : count] = ids[len(ids) - (end - scored) :]
    return torch.from_numpy(inputs), torch.from_numpy(targets)

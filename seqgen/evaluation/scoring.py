"""What each token of some documents costs under a model: every token counted once.

The documents are cut into segments, which run side by side as rows of a batch. A segment reads from `begin`, is scored
from `score`, and ends at `end`; what lies between `begin` and `score` only warms up its state. Streams, burnt-in
parallel segments and overlapping windows differ in nothing but how these three are chosen.
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
from seqgen.models.base import LanguageModel, State, select
from seqgen.tokenizers.base import BOUNDARY, Ids

Reader = Callable[[Tensor, State], tuple[Tensor, State]]
"""Tokens [B, T] and a state -> logits [B, T, V] and the next state."""

SEGMENTS = 64
MIN_SEGMENT = 512  # scored tokens: under that the burn-in would be the larger part of the work
COLUMNS = 256  # tokens of a segment in one call of the model, or fewer where the logits would be too many
MAX_LOGITS = 1 << 24  # numbers in one call's logits, at most


@dataclass(frozen=True)
class Segment:
    """Tokens [begin, end) of a document, scored from `score` on."""

    document: int
    begin: int
    score: int
    end: int


def stream_segments(lengths: Sequence[int], burn_in: int, segments: int = SEGMENTS) -> list[Segment]:
    """Each document in one stream, or the longer ones in parallel parts, each burnt in on the tokens before it."""
    longest = max(MIN_SEGMENT, -(-sum(lengths) // segments))
    plan = []
    for document, length in enumerate(lengths):
        parts = 1 if segments == 1 else -(-length // longest)
        cuts = [length * part // parts for part in range(parts + 1)] if length else []
        plan += [Segment(document, max(0, cut - burn_in), cut, end) for cut, end in pairwise(cuts)]
    return plan


def window_segments(lengths: Sequence[int], context_window: int, stride: int) -> list[Segment]:
    """Windows of `context_window` tokens, each `stride` further on; a window scores what no window before it has."""
    plan = []
    for document, length in enumerate(lengths):
        scored = 0
        while scored < length:
            end = scored + stride if scored else context_window
            plan.append(Segment(document, max(0, end - context_window), scored, min(length, end)))
            scored = end
    return plan


def score(
    model: LanguageModel,
    documents: Sequence[Ids],
    segments: Sequence[Segment],
    precision: StepperPrecision = "fp32",
    progress: Callable[[int], None] | None = None,
) -> float:
    """The total of -ln p over all tokens that `segments` score, in nats.

    Args:
        model: any family; it is used in evaluation mode and left in the mode it was in.
        documents: ids of each, [N], without the boundary, which is put before each.
        segments: `stream_segments` or `window_segments` of the documents' lengths.
        precision: of the matrix products; int8 is the stepper's, a token at a time. Log-probabilities are summed in
            fp64 whatever it is.
        progress: is told how many tokens were scored, as they are.
    """
    order = sorted(segments, key=lambda segment: segment.end - segment.begin, reverse=True)
    total = 0.0
    with evaluation_mode(model):
        read = _reader(model, precision)
        for start in range(0, len(order), SEGMENTS):
            for nats, tokens in _score_group(model, documents, order[start : start + SEGMENTS], read):
                total += nats
                if progress is not None:
                    progress(tokens)
    return total


def _reader(model: LanguageModel, precision: StepperPrecision) -> Reader:
    """The forward in `precision`, or, for int8, the stepper over and over; it takes no boundary, the forward does."""
    if precision != "int8":

        def forward(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with autocast(model.device, precision):
                result: tuple[Tensor, State] = model(tokens, state)
            return result

        return forward
    stepper = model.stepper(precision)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        columns = []
        for token in tokens.unbind(1):
            if bool((token == BOUNDARY).any()):
                logits, state = model(token[:, None], state)
                columns.append(logits[:, 0].float())
            else:
                logits, state = stepper.step(token, state)
                columns.append(logits)
        return torch.stack(columns, dim=1), state

    return step


def _score_group(
    model: LanguageModel, documents: Sequence[Ids], group: Sequence[Segment], read: Reader
) -> Iterator[tuple[float, int]]:
    """Lanes side by side, longest first, `COLUMNS` tokens at a time; those that have ended drop out of the batch."""
    lengths = [segment.end - segment.begin for segment in group]
    state = model.initial_state(len(group), lengths[0])
    width = max(1, min(COLUMNS, MAX_LOGITS // (len(group) * model.vocab_size)))
    for start in range(0, lengths[0], width):
        running = sum(length > start for length in lengths)
        if running < len(state[0]):
            state = select(state, torch.arange(running, device=model.device))
        inputs, expected = _lay_out(documents, group[:running], start, min(width, lengths[0] - start))
        logits, state = read(inputs.to(model.device), state)
        expected = expected.to(model.device)
        nats = F.cross_entropy(logits.float().flatten(0, 1), expected.flatten(), ignore_index=IGNORED, reduction="none")
        yield float(nats.double().sum()), int((expected != IGNORED).sum())


def _lay_out(documents: Sequence[Ids], group: Sequence[Segment], start: int, width: int) -> tuple[Tensor, Tensor]:
    """`width` inputs and targets of each segment from `start` on, int64 [segments, width].

    Burn-in and what is past a segment's end are ignored.
    """
    # Any id but the boundary: what follows an end is not scored.
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

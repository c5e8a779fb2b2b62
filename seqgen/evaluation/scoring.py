"""Score documents under a model: the nats of every token, each scored once.

`plan_segments` cuts the documents into segments, which run one after another in lanes, the rows of a batch
(`segments.py`). `score` yields what each token costs, as the lanes are read; `evaluate` adds it up. `predict` also
yields which tokens the model held most probable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.data.documents import Documents
from seqgen.device import StepperPrecision, autocast, evaluation_mode
from seqgen.errors import ConfigError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import Context, Evaluation, TextSize
from seqgen.evaluation.segments import (
    LANES,
    Block,
    Booleans,
    Integers,
    Lanes,
    Segments,
    pack_lanes,
    stream_segments,
    window_segments,
)
from seqgen.models.base import IGNORED, LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY

COLUMNS = 256
"""Tokens of a lane in one call of the model, or fewer to keep to `MAX_LOGITS`."""
MAX_LOGITS = 1 << 24
"""Numbers in the logits of one call."""

Nats: TypeAlias = npt.NDArray[np.floating]
"""fp32, or the precision of a model with more."""
Forward: TypeAlias = Callable[[Tensor, Tensor, State, Tensor | None], tuple[tuple[Tensor, ...], State]]
"""Inputs and targets [B, T], a state and `starts` [B, T] -> figures of the targets, [B, T, ...] each, first their nats,
and the next state."""
LogProbs: TypeAlias = Callable[[Tensor, State, Tensor | None], tuple[Tensor, State]]
"""Inputs [B, T], a state and `starts` [B, T] -> ln p of every token [B, T, V] and the next state."""


@dataclass(frozen=True)
class Scores:
    """What tokens cost, [N] each, in the order in which they were scored.

    The position of an end is the number of tokens of its document.
    """

    document: Integers
    position: Integers
    nats: Nats


@dataclass(frozen=True)
class Predictions(Scores):
    """Scores, and the K most probable tokens in the place of each token."""

    rank: Integers
    """1 and the number of tokens that are more probable than this one, [N]."""
    top: Integers
    """The ids of the most probable tokens, [N, K], the most probable first."""
    top_log_probs: Nats
    """Their ln p, [N, K]."""


def plan_segments(model: LanguageModel, documents: Documents, config: EvaluationConfig) -> tuple[Segments, Context]:
    """Return the segments in which `model` scores `documents`, and how much context they give.

    A model with a limit of positions reads windows, any other one each whole document, unless `config` sets it.

    Raises:
        ConfigError: the context that `config` sets exceeds the model's positions.
    """
    limit, window = model.max_positions, config.context_window
    if limit is not None and window is not None and window > limit:
        raise ConfigError(f"context_window: {window} exceeds this model's {limit} positions")
    if limit is not None and config.sequential and (longest := int(documents.lengths.max())) > limit:
        raise ConfigError(
            f"sequential: a document of {longest} tokens exceeds this model's {limit} positions; leave it out"
        )
    if not config.sequential:
        window = window or limit
    if window is not None:
        stride = config.stride or window
        segments = window_segments(documents, window, stride)
        return segments, Context(kind="windows", segments=len(segments), window=window, stride=stride)
    segments = stream_segments(documents, model.burn_in, lanes=1 if config.sequential else LANES)
    burn_in = model.burn_in if len(segments) > len(documents) else 0
    return segments, Context(kind="stream", segments=len(segments), burn_in=burn_in)


def evaluate(
    model: LanguageModel,
    documents: Documents,
    size: TextSize,
    config: EvaluationConfig,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Add up the scores of documents.

    Args:
        model: any family.
        documents: the ids.
        size: of the documents' text.
        config: how much context each token is scored with.
        progress: receives the number of tokens in each part that was scored.

    Raises:
        ConfigError: the context that `config` sets exceeds the model's positions.
    """
    segments, context = plan_segments(model, documents, config)
    tokens, sums = 0, []
    for scores in score(model, documents, segments, config.precision):
        tokens += len(scores.nats)
        sums.append(float(scores.nats.sum(dtype=np.float64)))
        if progress is not None:
            progress(len(scores.nats))
    return Evaluation(tokens, size, math.fsum(sums), int(documents.ends.sum()), context)


def score(
    model: LanguageModel, documents: Documents, segments: Segments, precision: StepperPrecision = "fp32"
) -> Iterator[Scores]:
    """Yield the nats, -ln p, of every token and end that `segments` score, a block of tokens at a time.

    Args:
        model: any family; it runs in evaluation mode, and is in the mode in which it was whenever a block is yielded.
        documents: the ids; the boundary is read before each document.
        segments: of `documents`.
        precision: of matrix products; int8 uses the stepper, a token at a time.
    """
    forward = _nats_in(model, precision)
    for lanes in pack_lanes(segments):
        for document, position, (nats,) in _read_lanes(model, documents, lanes, forward):
            yield Scores(document, position, nats)


def predict(
    model: LanguageModel, documents: Documents, segments: Segments, precision: StepperPrecision = "fp32", top: int = 1
) -> Iterator[Predictions]:
    """Yield the nats of every token and end, its rank, and the `top` most probable tokens, a block at a time.

    The nats are those of `score`, except for rounding; other arguments as there. It is slower, because it computes the
    probability of every token of the vocabulary.
    """
    log_probs_of, count = _log_probs_in(model, precision), min(top, model.vocab_size)

    def forward(
        inputs: Tensor, targets: Tensor, state: State, starts: Tensor | None
    ) -> tuple[tuple[Tensor, ...], State]:
        log_probs, state = log_probs_of(inputs, state, starts)
        own = log_probs.gather(-1, targets.clamp(min=0).unsqueeze(-1))
        rank = (log_probs > own).sum(-1) + 1
        values, ids = log_probs.topk(count, dim=-1)
        return (-own.squeeze(-1), rank, ids, values), state

    for lanes in pack_lanes(segments):
        for document, position, (nats, rank, ids, values) in _read_lanes(model, documents, lanes, forward):
            yield Predictions(document, position, nats, rank, ids, values)


def score_any(
    model: LanguageModel,
    documents: Documents,
    segments: Segments,
    members: Booleans,
    precision: StepperPrecision = "fp32",
) -> Iterator[Scores]:
    """Yield, in place of every token and end, the nats of the event that some token of `members` [V] comes there.

    Other arguments as of `score`.
    """
    log_probs_of, left_out = _log_probs_in(model, precision), torch.from_numpy(~members).to(model.device)

    def forward(
        inputs: Tensor, targets: Tensor, state: State, starts: Tensor | None
    ) -> tuple[tuple[Tensor, ...], State]:
        del targets
        log_probs, state = log_probs_of(inputs, state, starts)
        return (-log_probs.masked_fill(left_out, -torch.inf).logsumexp(-1),), state

    for lanes in pack_lanes(segments):
        for document, position, (nats,) in _read_lanes(model, documents, lanes, forward):
            yield Scores(document, position, nats)


def nats_by_document(documents: Documents, scores: Iterable[Scores]) -> list[npt.NDArray[np.float64]]:
    """Return the nats of every token by position, and of the end if there is one, for each document.

    NaN where `scores` have none.
    """
    lengths = documents.lengths
    stops = np.cumsum(lengths)
    nats = np.full(documents.tokens, np.nan)
    for part in scores:
        nats[(stops - lengths)[part.document] + part.position] = part.nats
    return np.split(nats, stops[:-1])


def _nats_in(model: LanguageModel, precision: StepperPrecision) -> Forward:
    """Return a forward in `precision` that computes the nats of the targets."""
    if precision != "int8":

        def forward(
            inputs: Tensor, targets: Tensor, state: State, starts: Tensor | None
        ) -> tuple[tuple[Tensor, ...], State]:
            with autocast(model.device, precision):
                nats, state = model.nats(inputs, targets, state, starts)
            return (nats,), state

        return forward
    log_probs_of = _log_probs_in(model, precision)

    def step(inputs: Tensor, targets: Tensor, state: State, starts: Tensor | None) -> tuple[tuple[Tensor, ...], State]:
        log_probs, state = log_probs_of(inputs, state, starts)
        nats = F.nll_loss(log_probs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
        return (nats.view_as(targets),), state

    return step


def _log_probs_in(model: LanguageModel, precision: StepperPrecision) -> LogProbs:
    """Return what computes ln p of every token in `precision`; in int8 by the stepper, a token at a time."""
    if precision != "int8":

        def forward(inputs: Tensor, state: State, starts: Tensor | None) -> tuple[Tensor, State]:
            with autocast(model.device, precision):
                return model.log_probs(inputs, state, starts)

        return forward
    stepper = model.stepper(precision)

    def step(inputs: Tensor, state: State, starts: Tensor | None) -> tuple[Tensor, State]:
        begins = [None] * inputs.shape[1] if starts is None else starts.unbind(1)
        columns = []
        for token, begin in zip(inputs.unbind(1), begins, strict=True):
            logits, state = stepper.step(token, state, begin if begin is not None and begin.any() else None)
            columns.append(logits)
        return torch.stack(columns, dim=1).log_softmax(-1), state

    return step


def _read_lanes(
    model: LanguageModel, documents: Documents, lanes: Lanes, forward: Forward
) -> Iterator[tuple[Integers, Integers, tuple[npt.NDArray[Any], ...]]]:
    """Read lanes as the rows of a batch; those that have ended leave it.

    Yield the document, the position and the figures of `forward` of the targets that are scored, a block at a time.
    """
    rows, device = len(lanes.lengths), model.device
    state = model.initial_state(rows, int(lanes.lengths[0]))
    width = max(1, min(COLUMNS, MAX_LOGITS // (rows * model.vocab_size)))
    # After its end a lane reads any id; where positions are limited, the boundary, from which they count anew.
    padding = BOUNDARY + 1 if model.max_positions is None else BOUNDARY
    for block in lanes.blocks(width):
        running = lanes.running(block.start)
        if running < state.batch_size:
            state = state.select(torch.arange(running, device=device))
        inputs, targets = _make_batch(documents, block, running, padding)
        is_start = inputs == BOUNDARY
        tokens, expected, starts = (torch.from_numpy(member).to(device) for member in (inputs, targets, is_start))
        with evaluation_mode(model):
            figures, state = forward(tokens, expected, state, starts if is_start.any() else None)
        document, position = np.repeat(block.document, block.count), block.spread(block.position)
        cells = block.cells
        if block.has_burn_in:
            document, position, cells = (member[block.scored] for member in (document, position, cells))
        yield document, position, tuple(figure.flatten(0, 1).cpu().numpy()[cells] for figure in figures)


def _make_batch(documents: Documents, block: Block, rows: int, padding: int) -> tuple[Integers, Integers]:
    """Return inputs and targets, int64 [rows, columns]; targets in the burn-in and after a lane's end are ignored."""
    shape, cells = (rows, block.stop - block.start), block.cells
    inputs, targets = (np.full(rows * shape[1], fill, dtype=np.int64) for fill in (padding, IGNORED))
    place = block.spread(documents.starts[block.document] + block.position)  # among all ids
    targets[cells] = documents.ids.take(place, mode="clip")
    targets[cells[(block.first + block.count - 1)[block.ends]]] = BOUNDARY
    inputs[cells] = documents.ids.take(place - 1, mode="clip")
    inputs[cells[block.first[block.position == 0]]] = BOUNDARY
    if block.has_burn_in:
        targets[cells[~block.scored]] = IGNORED
    return inputs.reshape(shape), targets.reshape(shape)

"""Beam search: the texts of the highest score that a model finds from a state, several for each row.

    state = model.encode(source, lengths, capacity)            # or model.initial_state(rows, capacity)
    found = search(model.stepper(), state, config, config.max_lengths(lengths))
    best = found[row][0]

A step extends all hypotheses of all rows by one token, in one batch. Of each row's extensions, those that end and are
among the `beam` most likely ones are finished; the `beam` most likely ones that do not end continue, if they can still
exceed the scores of the row's `n_best` finished ones: ln p only falls, so no score will exceed the present ln p divided
by the length penalty at the row's maximum length. A row ends when none continues. A beam that is wide enough is
therefore an exhaustive search. A beam of 1 ends with its first end: it is the argmax of each step.

What has the size of the vocabulary is computed on the device of the model, what has the size of the beam in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import BeamConfig
from seqgen.generation.engine import FinishReason
from seqgen.models.base import Stepper
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY
from seqgen.utils.text import plural

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Hypothesis(NamedTuple):
    """A text that was found."""

    ids: list[int]
    """Without the end."""
    nats: float
    """-ln p of the tokens, and of the end if there is one."""
    score: float
    """As `BeamConfig` defines it."""
    finish_reason: FinishReason
    """`length`: it has the maximum number of tokens and no end, or no token may follow."""


@torch.no_grad()
def search(
    stepper: Stepper, state: State, config: BeamConfig, max_lengths: Sequence[int], forbidden: Sequence[int] = ()
) -> list[list[Hypothesis]]:
    """Return the `n_best` hypotheses of the highest score for each row, the best first.

    Of hypotheses with the same score the shorter comes first, then the more likely, then the lower token. A row's
    hypotheses do not depend on the other rows, as far as the stepper's logits do not. There are fewer than `n_best`
    only where fewer are possible.

    Args:
        stepper: a snapshot of the weights. Tokens whose logits are -inf are never chosen.
        state: B rows before the first token, which is id 0, with caches for max(max_lengths) tokens. It is not changed.
            The coverage penalty needs two of its fields: `attention` [B, S], the weights of the newest step over the
            source, and `lengths` [B], how many of the S positions are not padding.
        config: the settings.
        max_lengths: the maximum number of tokens of each row, the end included: B numbers from 1.
        forbidden: tokens that are never chosen, such as <unk>; ln p remains the model's own.

    Raises:
        ConfigError: `max_lengths` are not B numbers from 1, or the coverage penalty is on without attention.
        RunError: the model's weights contain NaN or infinity.
    """
    if len(max_lengths) != state.batch_size or min(max_lengths, default=1) < 1:
        raise ConfigError(
            f"max_lengths: should be a number from 1 for each of the {plural(state.batch_size, 'row')}, not "
            f"{list(max_lengths)}"
        )
    beams = _Beams(config, max_lengths)
    coverage = _Coverage() if config.coverage_penalty else None
    device = next(iter(state.tensors().values())).device
    token = torch.full((len(max_lengths),), BOUNDARY, device=device)
    starts: Tensor | None = token == BOUNDARY
    state = stepper.select(state, torch.arange(len(token), device=device))
    while beams.rows.size:
        logits, state = stepper.step(token, state, starts)
        penalties = None if coverage is None else coverage.add(state)
        log_probs = _log_probs(logits, beams, forbidden)
        # One of a hypothesis's best tokens may be the end, and `beam` others may continue.
        places = beams.extend(*_best_tokens(log_probs, logits, config.beam + 1), penalties)
        token, starts = torch.from_numpy(beams.ids[:, :, -1].flatten()).to(device), None
        if not np.array_equal(places, np.arange(len(logits))):
            index = torch.from_numpy(places).to(device)
            state = stepper.select(state, index)
            if coverage is not None:
                coverage.select(index)
    return beams.found


def _log_probs(logits: Tensor, beams: _Beams, forbidden: Sequence[int]) -> Tensor:
    """Return ln p of each token after each hypothesis, [N, V], and -inf for the tokens that are not allowed there."""
    log_probs = logits.log_softmax(dim=-1)
    length, size = beams.ids.shape[2], beams.config.no_repeat_ngram
    excluded = [*forbidden, *([BOUNDARY] if length < beams.config.min_length else [])]
    if excluded:
        log_probs[:, excluded] = -torch.inf
    if 0 < size <= length:
        repeats = _repeats(beams.ids.reshape(-1, length), size)
        log_probs[tuple(torch.from_numpy(array).to(logits.device) for array in repeats)] = -torch.inf
    return log_probs


def _repeats(ids: Ints, size: int) -> tuple[Ints, Ints]:
    """Return the tokens that would repeat `size` tokens of ids [N, T]: rows, and the tokens."""
    ngrams = np.lib.stride_tricks.sliding_window_view(ids, size, axis=1)
    newest = ids[:, None, ids.shape[1] - size + 1 :]
    rows, begins = np.nonzero((ngrams[:, :, :-1] == newest).all(axis=2))
    return rows, ngrams[rows, begins, -1]


def _best_tokens(log_probs: Tensor, logits: Tensor, count: int) -> tuple[Floats, Ints]:
    """Return the `count` highest ln p of each hypothesis and their tokens, of equals the lower: [N, C] each, C <= V.

    Raises:
        RunError: the logits contain NaN or infinity.
    """
    # One more than `count` shows a tie, of which topk takes any.
    values, tokens = (found.cpu().numpy() for found in log_probs.topk(min(count + 1, log_probs.shape[1])))
    undefined = np.isnan(values[:, 0])
    if undefined.any():
        if not bool((logits[torch.from_numpy(undefined).to(logits.device)] == -torch.inf).all()):
            raise RunError("the model's weights contain NaN or infinity, so no token can be chosen; train it again")
        values[undefined] = -np.inf
    if count < values.shape[1]:
        tied = (values[:, count - 1] == values[:, count]) & (values[:, count] > -np.inf)
        if tied.any():
            ordered = log_probs[torch.from_numpy(tied).to(logits.device)].sort(descending=True, stable=True)
            values[tied], tokens[tied] = (found[:, : count + 1].cpu().numpy() for found in ordered)
    return values[:, :count].astype(np.float64), tokens[:, :count]


class _Extensions(NamedTuple):
    """Hypotheses extended by a token, each row's most likely first: [R, C] each."""

    nats: Floats
    parents: Ints
    """The places of the hypotheses that are extended."""
    tokens: Ints

    def take(self, order: Ints) -> _Extensions:
        """Return those in the places `order` of each row."""
        rows = np.arange(len(order))[:, None]
        return _Extensions(self.nats[rows, order], self.parents[rows, order], self.tokens[rows, order])


class _Beams:
    """The hypotheses of all rows. R rows have not ended; each has W places, the most likely hypothesis first."""

    def __init__(self, config: BeamConfig, max_lengths: Sequence[int]) -> None:
        self.config = config
        self.found: list[list[Hypothesis]] = [[] for _ in max_lengths]
        """The best finished hypotheses of every row, the best first."""
        self.rows = np.arange(len(max_lengths))
        """The numbers of the rows that have not ended, [R]."""
        self.max_lengths = np.array(max_lengths, dtype=np.int64)
        """Of the rows that have not ended, [R]."""
        self.nats = np.zeros((len(max_lengths), 1))
        """-ln p of each hypothesis, [R, W]; infinite in an empty place."""
        self.ids = np.zeros((len(max_lengths), 1, 0), dtype=np.int64)
        """[R, W, T]; in an empty place those of the row's first hypothesis."""

    def extend(self, log_probs: Floats, tokens: Ints, penalties: Floats | None) -> Ints:
        """Extend all hypotheses by a token.

        Args:
            log_probs: ln p of the best tokens of each hypothesis, the highest first, [R x W, C].
            tokens: these tokens, [R x W, C].
            penalties: the coverage of each hypothesis, [R x W]; None if it is not needed.

        Returns:
            The hypothesis that each new one extends, int64 [R' x W'], as an index into [R x W].
        """
        beam, length = self.config.beam, self.ids.shape[2] + 1
        added = np.zeros_like(self.nats)
        if penalties is not None:
            added += self.config.coverage_penalty * penalties.reshape(added.shape)
        log_probs, tokens = log_probs.reshape(*added.shape, -1), tokens.reshape(*added.shape, -1)
        blocked = (log_probs[:, :, 0] == -np.inf) & (self.nats < np.inf)
        scores = added - self.nats / self._divisor(length - 1)
        for row, place in np.argwhere(blocked).tolist():
            self._finish(row, place, [], self.nats[row, place], scores[row, place])

        extensions = self._rank(log_probs, tokens)
        nats, parents, tokens = extensions
        ends, last = tokens == BOUNDARY, length == self.max_lengths[:, None]
        finished = (ends | last)[:, :beam]
        scores = np.take_along_axis(added, parents, axis=1) - nats / self._divisor(length)
        for row, rank in np.argwhere(finished & (scores[:, :beam] > self._worst())).tolist():
            self._finish(row, parents[row, rank], [int(tokens[row, rank])], nats[row, rank], scores[row, rank])

        nats[ends | last] = np.inf
        extensions = extensions.take(np.argsort(nats, axis=1, kind="stable")[:, :beam])
        nats = extensions.nats
        nats[-nats / self._divisor(self.max_lengths[:, None]) <= self._worst()] = np.inf
        if beam == 1:
            nats[finished] = np.inf
        return self._continue(extensions)

    def _rank(self, log_probs: Floats, tokens: Ints) -> _Extensions:
        """Return the best extensions by tokens [R, W, C], with `beam` that do not end if there are as many."""
        nats = (self.nats[:, :, None] - log_probs).reshape(len(self.rows), -1)
        parents = np.broadcast_to(np.arange(log_probs.shape[1])[:, None], log_probs.shape).reshape(nats.shape)
        extensions = _Extensions(nats, parents, tokens.reshape(nats.shape))
        order = np.lexsort((extensions.tokens, parents, nats), axis=-1)
        return extensions.take(order[:, : 2 * self.config.beam])  # each hypothesis has one end

    def _continue(self, extensions: _Extensions) -> Ints:
        """Replace the hypotheses by their extensions, infinite `nats` excepted; return what `extend` does."""
        kept = np.flatnonzero(extensions.nats[:, 0] < np.inf)
        empty = extensions.nats[kept] == np.inf
        width = int((~empty).sum(axis=1).max(initial=1))
        order = np.where(empty, 0, np.arange(empty.shape[1]))[:, :width]
        parents, tokens = extensions.parents[kept[:, None], order], extensions.tokens[kept[:, None], order]
        places = kept[:, None] * self.nats.shape[1] + parents
        self.nats = extensions.nats[kept, :width]
        self.ids = np.concatenate([self.ids[kept[:, None], parents], tokens[:, :, None]], axis=2)
        self.rows, self.max_lengths = self.rows[kept], self.max_lengths[kept]
        return places.flatten()

    def _finish(self, row: int, place: int, last: Sequence[int], nats: float, score: float) -> None:
        """Add the hypothesis in a place, and its last token or end, if it is among the best."""
        found = self.found[self.rows[row]]
        ids = [*self.ids[row, place].tolist(), *last]
        ended = last == [BOUNDARY]
        found.append(Hypothesis(ids[:-1] if ended else ids, float(nats), float(score), "stop" if ended else "length"))
        found.sort(key=lambda one: -one.score)  # stable
        del found[self.config.n_best :]

    def _worst(self) -> Floats:
        """Return the score that a new hypothesis of each row must exceed, [R, 1]."""
        full = self.config.n_best
        found = (self.found[row] for row in self.rows)
        return np.array([[one[-1].score if len(one) == full else -np.inf] for one in found])

    def _divisor(self, length: int | Ints) -> Any:
        """Compute the length penalty ((5 + n) / 6)^a of Wu et al. 2016."""
        return ((5 + length) / 6) ** self.config.length_penalty


class _Coverage:
    """How much attention each position of the source has received, for each hypothesis."""

    def __init__(self) -> None:
        self._received: Tensor | None = None
        """[N, S]."""

    def add(self, state: Any) -> Floats:
        """Add the attention of the newest step; return the sum of ln min(1, received) over each source, [N].

        Raises:
            ConfigError: the state has no attention.
        """
        attention: Tensor | None = getattr(state, "attention", None)
        if attention is None:
            raise ConfigError("coverage_penalty: this model has no attention to its source; use 0")
        if self._received is None:
            self._received = torch.zeros_like(attention, dtype=torch.float32)
        self._received = self._received + attention
        smallest = torch.finfo(torch.float32).tiny  # attention may underflow to 0
        logs = self._received.clamp(smallest, 1.0).log()
        padding = torch.arange(logs.shape[1], device=logs.device) >= state.lengths[:, None]
        return logs.masked_fill(padding, 0.0).sum(dim=1).cpu().numpy().astype(np.float64)

    def select(self, index: Tensor) -> None:
        """Copy rows."""
        if self._received is not None:
            self._received = self._received.index_select(0, index)

"""Readers: they predict the tokens of one stream, and may learn from each after predicting it.

    reader.nats(inputs, targets)                  # a part of the stream: predict, then learn
    reader.read(0); reader.log_probs(); ...       # the same, a token at a time
    reader.model()                                # the model as it is then

A stream is a row of inputs and targets, as of `LanguageModel.nats`. Input 0 begins a document: the state is cleared.
Learning is at fixed places of the stream, so parts of any length give the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.evaluation.adaptation.cache import NeuralCache
from seqgen.evaluation.adaptation.weights import DynamicWeights
from seqgen.evaluation.predictor import Predictor, StaticPredictor
from seqgen.models.base import LanguageModel, NeuralModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STATIC_TOKENS = 256
"""Tokens of one call of a model that does not learn."""
CHECK_TOKENS = 1024
"""Tokens after which dynamic weights are compared with the trained ones."""
DIVERGED = 1.25
"""Weights have diverged if their nats in so many tokens exceed those of the trained weights by this factor."""


class AdaptiveReader(Predictor, Protocol):
    """Predict one stream, and learn from it."""

    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Return -ln p of each target, [T], and learn from them."""
        ...

    def model(self) -> LanguageModel:
        """Return the model as it is now, for sampling."""
        ...


class StaticReader:
    """A model that does not learn."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._carried = model.initial_state(1, sys.maxsize)

    @cached_property
    def _predictor(self) -> StaticPredictor:
        """The model a token at a time: packing its weights takes time, which `nats` saves."""
        return StaticPredictor(self._model)

    def log_probs(self) -> Floats:
        """Return ln p of every token as the next one: [V], normalized in fp64."""
        return self._predictor.log_probs()

    def read(self, token: int) -> None:
        """Take the token that came."""
        self._predictor.read(token)

    @torch.no_grad()
    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Return -ln p of each target, [T]."""
        parts = []
        for start in range(0, len(inputs), STATIC_TOKENS):
            tokens, expected, starts = batch_of(self._model, inputs, targets, slice(start, start + STATIC_TOKENS))
            nats, self._carried = self._model.nats(tokens, expected, self._carried, starts)
            parts.append(nats[0].double().numpy(force=True))
        return np.concatenate([*parts, np.empty(0)])

    def model(self) -> LanguageModel:
        """Return the model."""
        return self._model


class NeuralReader:
    """A neural model whose weights learn, or to which a cache is added, or both.

    Args:
        trained: the model, in evaluation mode; it is not changed.
        weights: a copy of it that learns; None for weights that do not.
        cache: a cache; None for none.
        segment: tokens from one update of the weights to the next.
        reset: whether weights, cache and segments begin anew at each document.
        ends: whether id 0 is a target, for `read`.
    """

    def __init__(
        self,
        trained: NeuralModel,
        weights: DynamicWeights[NeuralModel] | None,
        cache: NeuralCache | None,
        segment: int,
        *,
        reset: bool = False,
        ends: bool = True,
    ) -> None:
        self._trained, self._weights, self._cache = trained, weights, cache
        self._model = trained if weights is None else weights.model
        self._size, self._reset, self._ends = segment, reset, ends
        self._begin = self._now = self._checked = trained.initial_state(1, sys.maxsize)
        """The states where the segment began, after its last token, and where the check begins."""
        self._segment: list[tuple[int, int]] = []
        self._unchecked: list[tuple[int, int]] = []
        self._learned_nats = 0.0
        self._read = 0
        self._last: int | None = None
        """The last token that was read alone, by `read`."""
        self._hidden = self._log_probs = torch.empty(0)
        """Its hidden vector [H], and ln p of the next token [V], fp64."""
        self.diverged_at: int | None = None
        """The number of tokens after which the weights had diverged, and the trained ones came back."""

    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Return -ln p of each target, [T], and learn from them."""
        parts, start = [], 0
        while start < len(inputs):
            if self._reset and inputs[start] == BOUNDARY:
                self._restart()
            stop = min(len(inputs), start + self._room)
            if self._reset and len(later := np.flatnonzero(inputs[start + 1 : stop] == BOUNDARY)):
                stop = start + 1 + int(later[0])
            parts.append(self._take(inputs[start:stop], targets[start:stop]))
            start = stop
        return np.concatenate([*parts, np.empty(0)])

    @property
    def _room(self) -> int:
        """The tokens until the next update."""
        return STATIC_TOKENS if self._weights is None else self._size - len(self._segment)

    def _take(self, inputs: Integers, targets: Integers) -> Floats:
        """Predict targets up to the next update at most, and make it if it is due."""
        if self._weights is not None and len(inputs) == self._size:
            hidden, nats = self._learn(self._weights, inputs, targets)
        else:
            hidden, nats = self._predict(inputs, targets)
            self._keep(inputs, targets)
        if self._cache is not None:
            nats = self._cache.nats(hidden, torch.from_numpy(targets).to(hidden.device), nats)
        result: Floats = nats.double().numpy(force=True)
        return result

    @torch.no_grad()
    def _predict(self, inputs: Integers, targets: Integers) -> tuple[Tensor, Tensor]:
        """Return hidden vectors [T, H] and nats [T]."""
        tokens, expected, starts = batch_of(self._model, inputs, targets)
        hidden, self._now = self._model.features(tokens, self._copied(self._now), starts)
        logits = self._model.head(hidden[0])
        return hidden[0], F.cross_entropy(logits, expected[0], reduction="none")

    def _copied(self, state: State) -> State:
        """Copy a state, whose memory the forward may reuse, if it is that of the segment's start."""
        return state if state is not self._begin else state.map(Tensor.clone)

    def _keep(self, inputs: Integers, targets: Integers) -> None:
        """Keep tokens for the next update, and make it if it is due."""
        if self._weights is None:
            return
        self._segment += zip(inputs.tolist(), targets.tolist(), strict=True)
        if len(self._segment) == self._size:
            self._learn(self._weights, *np.array(self._segment, np.int64).T)

    def _learn(
        self, weights: DynamicWeights[NeuralModel], inputs: Integers, targets: Integers
    ) -> tuple[Tensor, Tensor]:
        """Make an update by a whole segment; return its hidden vectors and nats before the update."""
        tokens, expected, starts = batch_of(self._model, inputs, targets)
        with torch.enable_grad():
            hidden, state = self._model.features(tokens, self._begin, starts)
            nats = F.cross_entropy(self._model.head(hidden[0]), expected[0], reduction="none")
            learned = weights.learn(nats.mean())
        self._begin = self._now = state.detach()
        self._segment = []
        self._read += len(inputs)
        self._learned_nats += float(nats.detach().sum(dtype=torch.float64))
        self._unchecked += zip(inputs.tolist(), targets.tolist(), strict=True)
        if not learned or len(self._unchecked) >= CHECK_TOKENS:
            self._check(weights, diverged=not learned)
        return hidden[0].detach(), nats.detach()

    @torch.no_grad()
    def _check(self, weights: DynamicWeights[NeuralModel], *, diverged: bool) -> None:
        """Return to the trained weights, and their state, if they are much better in the last tokens, or `diverged`."""
        trained, self._checked = _cost(self._trained, self._checked, self._unchecked)
        if diverged or not self._learned_nats <= DIVERGED * trained:
            self._return(weights)
        self._learned_nats, self._unchecked = 0.0, []

    @torch.no_grad()
    def check_end(self) -> None:
        """Check the weights after the last token, however few tokens were read since the last check.

        The trained weights come back if they are much better than the weights were in these tokens, or than the present
        ones are.
        """
        tokens = self._unchecked + self._segment
        if self._weights is None or not tokens:
            return
        learned = self._learned_nats + _cost(self._model, self._begin.map(Tensor.clone), self._segment)[0]
        present, _ = _cost(self._model, self._checked.map(Tensor.clone), tokens)
        trained, state = _cost(self._trained, self._checked.map(Tensor.clone), tokens)
        if not (learned <= DIVERGED * trained and present <= DIVERGED * trained):  # NaN is not
            self._checked = state
            self._read += len(self._segment)
            self._return(self._weights)
            self._segment = []
            if self._last is not None:
                self._step(self._last)

    def _return(self, weights: DynamicWeights[NeuralModel]) -> None:
        """Read on with the trained weights and their state."""
        weights.restore()
        self._weights, self.diverged_at = None, self._read
        self._begin = self._now = self._checked

    def _restart(self) -> None:
        """Begin a document with the trained weights and an empty cache; its first token clears the state."""
        self._read += len(self._segment)
        self._segment, self._begin = [], self._now
        if self._weights is not None:
            self._weights.restore()
        if self._cache is not None:
            self._cache.clear()

    def log_probs(self) -> Floats:
        """Return ln p of every token as the next one: [V], normalized in fp64."""
        mixed = self._log_probs if self._cache is None else self._cache.log_probs(self._hidden, self._log_probs)
        result: Floats = mixed.numpy(force=True)
        return result

    def read(self, token: int) -> None:
        """Take the token that came, learn from it, and predict the next."""
        if self._last is not None and (token != BOUNDARY or self._ends):
            if self._cache is not None:
                self._cache.add(self._hidden, token)
            self._keep(np.array([self._last]), np.array([token]))
        if self._reset and token == BOUNDARY:
            self._restart()
        self._step(token)

    @torch.no_grad()
    def _step(self, token: int) -> None:
        """Predict what follows a token."""
        tokens, _, starts = batch_of(self._model, np.array([token]), np.array([token]))
        hidden, self._now = self._model.features(tokens, self._copied(self._now), starts)
        logits = self._model.head(hidden[0, 0]).double()
        self._last, self._hidden, self._log_probs = token, hidden[0, 0], logits.log_softmax(-1)

    def model(self) -> NeuralModel:
        """Return the model with its present weights, or the trained ones if those diverged."""
        self.check_end()
        return self._model


def _cost(model: NeuralModel, state: State, rows: Sequence[tuple[int, int]]) -> tuple[float, State]:
    """Return the nats of inputs and targets by a model, and its state after them."""
    if not rows:
        return 0.0, state
    tokens, expected, starts = batch_of(model, *np.array(rows, np.int64).T)
    nats, state = model.nats(tokens, expected, state, starts)
    return float(nats.sum(dtype=torch.float64)), state


def batch_of(
    model: LanguageModel, inputs: Integers, targets: Integers, part: slice = slice(None)
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a part of a stream as a batch of one, for `model.nats`."""
    tokens, expected = (
        torch.from_numpy(np.ascontiguousarray(row[part]))[None].to(model.device) for row in (inputs, targets)
    )
    begins = inputs[part] == BOUNDARY
    return tokens, expected, torch.from_numpy(begins)[None].to(model.device) if begins.any() else None

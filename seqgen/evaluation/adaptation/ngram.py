"""An n-gram model that counts what it has predicted."""

from __future__ import annotations

import copy

import numpy as np

from seqgen.evaluation.adaptation.reader import Floats, Integers
from seqgen.models.ngram.dynamic import DynamicNgram
from seqgen.models.ngram.model import NgramModel
from seqgen.tokenizers.base import BOUNDARY


class NgramReader:
    """A reader that predicts each token, then counts it.

    Args:
        trained: the model; it is not changed.
        reset: whether the counts of the training text come back at each document.
    """

    def __init__(self, trained: NgramModel, *, reset: bool = False) -> None:
        self._trained, self._reset = trained, reset
        self._counts = DynamicNgram(trained.tables)

    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Return -ln p of each target, [T], and count them."""
        edges = [0, *np.flatnonzero(inputs == BOUNDARY).tolist()] if self._reset else [0]
        parts = []
        for start, stop in zip(edges, [*edges[1:], len(inputs)], strict=True):
            if start == stop:
                continue
            if self._reset and inputs[start] == BOUNDARY:
                self._counts.reset()
            parts.append(self._counts.nats(inputs[start:stop], targets[start:stop]))
        return np.concatenate([*parts, np.empty(0)])

    def log_probs(self) -> Floats:
        """Return ln p of every token as the next one: [V], in fp64."""
        return self._counts.log_probs()

    def read(self, token: int) -> None:
        """Count the token that came."""
        self._counts.read(token)
        if self._reset and token == BOUNDARY:
            self._counts.reset()
            self._counts.read(token)

    def model(self) -> NgramModel:
        """Return a model with the present counts."""
        adapted = copy.copy(self._trained)
        adapted.tables = self._counts.tables()
        return adapted

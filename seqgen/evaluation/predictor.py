"""Predict one stream a token at a time: what an arithmetic coder needs of a model, static or adaptive."""

from __future__ import annotations

import sys
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from seqgen.models.base import LanguageModel
from seqgen.tokenizers.base import BOUNDARY


class Predictor(Protocol):
    """Predict one stream, a token at a time; a stream begins with `read(0)`."""

    def log_probs(self) -> npt.NDArray[np.float64]:
        """Return ln p of every token as the next one, given all that was read: [V], normalized in fp64."""
        ...

    def read(self, token: int) -> None:
        """Take the token that came; id 0 ends a document and begins the next."""
        ...


class StaticPredictor:
    """Predict by a model that does not change: by its stepper, in a batch of one, in fp32.

    Args:
        model: any family, in evaluation mode; its present weights are used.
        capacity: the most tokens that will be read, each document's boundary included; a smaller number than the
            default saves memory in models with caches.
    """

    def __init__(self, model: LanguageModel, capacity: int = sys.maxsize) -> None:
        device = model.device
        self._step = model.stepper().step
        self._state = model.initial_state(1, capacity)
        self._tokens = torch.arange(model.vocab_size, device=device)
        self._starts = torch.ones(1, dtype=torch.bool, device=device)
        self._logits = torch.empty(0)

    def log_probs(self) -> npt.NDArray[np.float64]:
        """Return ln p of every token as the next one: [V], normalized in fp64."""
        log_probs: npt.NDArray[np.float64] = self._logits.log_softmax(-1, dtype=torch.float64).numpy(force=True)
        return log_probs

    def read(self, token: int) -> None:
        """Take the token that came; id 0 ends a document and begins the next."""
        starts = self._starts if token == BOUNDARY else None
        logits, self._state = self._step(self._tokens[token : token + 1], self._state, starts)
        self._logits = logits[0]

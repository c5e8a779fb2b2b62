"""Ids -> batches: pure functions of the step, so that the data position of a checkpoint is its step number.

The documents form one circle of inputs and targets. The targets of a document are its ids, its inputs the boundary and
then its ids but the last.

    inputs    0 h e l l   0 w o r l
    targets   h e l l o   w o r l d

`ContiguousBatches` reads on in each of B rows, for models that carry their state from batch to batch. `WindowBatches`
cuts the circle into windows, in an order drawn for each epoch, for models that start each window without a state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.data.documents import Documents
from seqgen.data.permutation import Permutation, permutation
from seqgen.errors import TextError
from seqgen.tokenizers.base import BOUNDARY

IGNORED = -100
"""The target of a position that is not scored (torch's default)."""


@dataclass(frozen=True)
class Batch:
    """Inputs and targets, int64 [B, T]."""

    inputs: Tensor
    targets: Tensor
    starts: Tensor | None = None


class BatchStream(ABC):
    """Endless batches of documents.

    Args:
        documents: their ids, which may be mapped from a file: a batch reads only its own.
        batch_size: rows of a batch, over all ranks; fewer for a short text.
        length: tokens of a row; fewer for a short text.
        seed: the random seed.
    """

    carries_state: bool
    """Whether each row continues where the same row of the batch before it ended."""

    def __init__(self, documents: Documents, batch_size: int, length: int, seed: int) -> None:
        if not documents.tokens:
            raise TextError("the text has no tokens to train on; give a longer text")
        self._documents = documents
        # A text shorter than a batch is read once in a step, not several times.
        self.length = min(length, documents.tokens)
        self.batch_size = self._fit(batch_size)
        self._seed = seed

    @property
    def tokens(self) -> int:
        """Targets of an epoch."""
        return self._documents.tokens

    @abstractmethod
    def _fit(self, batch_size: int) -> int:
        """Return the rows of a batch: `batch_size`, or fewer if the text does not fill them."""

    @property
    @abstractmethod
    def batches_per_epoch(self) -> float:
        """Number of batches in an epoch; contiguous batches may have a fraction."""

    @abstractmethod
    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Return batch number `step`; rank r of `world` gets every world-th row from r on."""

    def _gather(self, starts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Batch]:
        positions = starts[:, None] + np.arange(-1, self.length)
        around = positions % self.tokens
        ids = self._documents.ids[around].astype(np.int64)  # [B, T + 1]: the id before the targets, and the targets
        begins = self._documents.starts
        is_first = begins[np.searchsorted(begins, around[:, 1:])] == around[:, 1:]
        inputs = np.where(is_first, BOUNDARY, ids[:, :-1])
        return positions[:, 1:], Batch(
            torch.from_numpy(inputs),
            torch.from_numpy(ids[:, 1:].copy()),
            torch.from_numpy(is_first) if is_first.any() else None,
        )


class ContiguousBatches(BatchStream):
    """Row b starts at b / B of the circle and reads on, `length` tokens in each batch.

    A row does not stop where the next row starts, so its carried state always belongs to the text before it, and each
    epoch cuts the text at different places.
    """

    carries_state = True

    def _fit(self, batch_size: int) -> int:
        return max(1, min(batch_size, self.tokens // self.length))

    @property
    def batches_per_epoch(self) -> float:
        return self.tokens / (self.batch_size * self.length)

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        rows = np.arange(rank, self.batch_size, world, dtype=np.int64)
        return self._gather(rows * self.tokens // self.batch_size + step * self.length % self.tokens)[1]


class WindowBatches(BatchStream):
    """Windows of `length` tokens, cut at another offset and put in another order in each epoch.

    Each token is a target once in an epoch: where the last window reaches the first, its targets are ignored, and so
    are those of the rows that fill the last batch of the epoch.
    """

    carries_state = False

    def _fit(self, batch_size: int) -> int:
        # As equal as possible: the last batch of an epoch has as many windows as the others, or a few less.
        batches = -(-self._windows // batch_size)
        return -(-self._windows // batches)

    @property
    def _windows(self) -> int:
        return -(-self.tokens // self.length)

    @property
    def batches_per_epoch(self) -> int:
        return -(-self._windows // self.batch_size)

    _drawn: tuple[int, int, Permutation] | None = None  # of the latest epoch

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        epoch, batch = divmod(step, self.batches_per_epoch)
        offset, order = self._order(epoch)
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size, dtype=np.int64)[rank::world]
        # Rows that fill the last batch start after the end of the circle, where every target is ignored.
        rows = np.full(len(places), self._windows, dtype=np.int64)
        rows[places < self._windows] = order(places[places < self._windows])
        positions, gathered = self._gather(rows * self.length + offset)
        gathered.targets[torch.from_numpy(positions - offset >= self.tokens)] = IGNORED
        return gathered

    def _order(self, epoch: int) -> tuple[int, Permutation]:
        """Return the offset of an epoch and the order of its windows."""
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            offset = int(random.integers(self.length))
            self._drawn = (epoch, offset, permutation(self._windows, random))
        return self._drawn[1:]

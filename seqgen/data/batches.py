"""Ids -> batches: pure functions of the step, so that the data position of a checkpoint is its step number.

The documents stand in one circle of inputs and targets: each document's inputs are the boundary and then its ids, its
targets the ids themselves.

    inputs    0 h e l l   0 w o r l
    targets   h e l l o   w o r l d

`ContiguousBatches` sends B lanes around the circle, for models that carry their state from batch to batch.
`WindowBatches` cuts the circle into windows, in an order drawn for each epoch, for models that start afresh in each.
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
"""The target of a position that is not scored (torch's own default)."""


@dataclass(frozen=True)
class Batch:
    """Inputs and targets, int64 [B, T]."""

    inputs: Tensor
    targets: Tensor


class BatchStream(ABC):
    """Endless batches of documents.

    Args:
        documents: their ids, which may be mapped from a file: a batch reads what it shows, and nothing is copied.
        batch_size: rows of a batch, over all ranks.
        length: columns of a batch (tokens).
        seed: of whatever is drawn.
    """

    carries_state: bool
    """Whether each row goes on where the same row of the batch before it ended."""

    def __init__(self, documents: Documents, batch_size: int, length: int, seed: int) -> None:
        if not documents.tokens:
            raise TextError("there is not a single token to learn from; give a longer text")
        self._documents = documents
        # A text shorter than one batch is gone round once in a step, not several times.
        self.length = min(length, documents.tokens)
        self.batch_size = self._fit(batch_size)
        self._seed = seed

    @property
    def tokens(self) -> int:
        """How many targets an epoch has."""
        return self._documents.tokens

    @abstractmethod
    def _fit(self, batch_size: int) -> int:
        """The rows of a batch: `batch_size`, or fewer where the text does not fill them."""

    @property
    @abstractmethod
    def batches_per_epoch(self) -> float:
        """How many batches show every token once."""

    @abstractmethod
    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Batch number `step`; rank r of `world` gets every world-th row from r on."""

    def _gather(self, starts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Batch]:
        positions = starts[:, None] + np.arange(-1, self.length)
        around = positions % self.tokens
        ids = self._documents.ids[around].astype(np.int64)  # what comes before the targets, and they: [B, T + 1]
        begins = self._documents.starts
        is_first = begins[np.searchsorted(begins, around[:, 1:])] == around[:, 1:]
        inputs = np.where(is_first, BOUNDARY, ids[:, :-1])
        return positions[:, 1:], Batch(torch.from_numpy(inputs), torch.from_numpy(ids[:, 1:].copy()))


class ContiguousBatches(BatchStream):
    """Segment b starts at b / B of the circle and reads on, `length` tokens a batch.

    Where a lane comes to the next lane's start it goes on, so its carried state is always the true past, and from epoch
    to epoch the batches cut the text at other places.
    """

    carries_state = True

    def _fit(self, batch_size: int) -> int:
        return max(1, min(batch_size, self.tokens // self.length))

    @property
    def batches_per_epoch(self) -> float:
        return self.tokens / (self.batch_size * self.length)

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        lanes = np.arange(rank, self.batch_size, world, dtype=np.int64)
        return self._gather(lanes * self.tokens // self.batch_size + step * self.length % self.tokens)[1]


class WindowBatches(BatchStream):
    """WindowBatches of `length` tokens: from epoch to epoch cut at another offset and put in another order.

    Each token is a target once an epoch: where the last window comes round to the first, its targets are ignored, and
    so are those of the rows that fill up the epoch's last batch.
    """

    carries_state = False

    def _fit(self, batch_size: int) -> int:
        # Batches as equal as can be: the last of an epoch learns from as many windows as the others, but for one each.
        batches = -(-self._windows // batch_size)
        return -(-self._windows // batches)

    @property
    def _windows(self) -> int:
        return -(-self.tokens // self.length)

    @property
    def batches_per_epoch(self) -> int:
        return -(-self._windows // self.batch_size)

    _drawn: tuple[int, int, Permutation] | None = None  # the latest epoch's

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        epoch, batch = divmod(step, self.batches_per_epoch)
        offset, order = self._order(epoch)
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size, dtype=np.int64)[rank::world]
        # What fills up the last batch starts past the circle's end, where every target is ignored.
        rows = np.full(len(places), self._windows, dtype=np.int64)
        rows[places < self._windows] = order(places[places < self._windows])
        positions, gathered = self._gather(rows * self.length + offset)
        gathered.targets[torch.from_numpy(positions - offset >= self.tokens)] = IGNORED
        return gathered

    def _order(self, epoch: int) -> tuple[int, Permutation]:
        """The epoch's offset and the order of its windows."""
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            offset = int(random.integers(self.length))
            self._drawn = (epoch, offset, permutation(self._windows, random))
        return self._drawn[1:]

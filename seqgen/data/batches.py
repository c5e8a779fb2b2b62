"""Ids -> batches: pure functions of the step, so that the data position of a checkpoint is its step number.

The documents stand in one circle of inputs and targets: each document's inputs are the boundary and then its ids, its
targets the ids themselves.

    inputs    0 h e l l   0 w o r l
    targets   h e l l o   w o r l d

`Contiguous` sends B lanes around the circle, for models that carry their state from batch to batch. `Windows` cuts the
circle into windows, in an order drawn for each epoch, for models that start afresh in each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.errors import TextError
from seqgen.tokenizers.base import BOUNDARY, Ids

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
        documents: ids of each, [N] each.
        batch_size: rows of a batch, over all ranks.
        length: columns of a batch (tokens).
        seed: of whatever is drawn.
    """

    carries_state: bool
    """Whether each row goes on where the same row of the batch before it ended."""

    def __init__(self, documents: Sequence[Ids], batch_size: int, length: int, seed: int) -> None:
        documents = [ids for ids in documents if len(ids)]
        if not documents:
            raise TextError("there is not a single token to learn from; give a longer text")
        self._targets = np.concatenate(documents)
        self._inputs = np.concatenate([np.concatenate([[BOUNDARY], ids[:-1]]).astype(ids.dtype) for ids in documents])
        # A text shorter than one batch is gone round once in a step, not several times.
        self.length = min(length, len(self._targets))
        self.batch_size = self._fit(batch_size)
        self._seed = seed

    @property
    def tokens(self) -> int:
        """How many targets an epoch has."""
        return len(self._targets)

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
        positions = starts[:, None] + np.arange(self.length)
        around = positions % self.tokens
        inputs, targets = (torch.from_numpy(ids[around].astype(np.int64)) for ids in (self._inputs, self._targets))
        return positions, Batch(inputs, targets)


class Contiguous(BatchStream):
    """Lane b starts at b / B of the circle and reads on, `length` tokens a batch.

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


class Windows(BatchStream):
    """Windows of `length` tokens: from epoch to epoch cut at another offset and put in another order.

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

    _drawn: tuple[int, int, npt.NDArray[np.int64]] | None = (
        None  # the latest epoch's, kept: a draw is as long as the text
    )

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        epoch, batch = divmod(step, self.batches_per_epoch)
        offset, order = self._order(epoch)
        rows = order[batch * self.batch_size : (batch + 1) * self.batch_size][rank::world]
        positions, gathered = self._gather(rows * self.length + offset)
        gathered.targets[torch.from_numpy(positions - offset >= self.tokens)] = IGNORED
        return gathered

    def _order(self, epoch: int) -> tuple[int, npt.NDArray[np.int64]]:
        """The epoch's offset and its windows in their order, a whole number of batches.

        What fills up the last batch starts past the circle's end, where every target is ignored.
        """
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            offset = int(random.integers(self.length))
            filling = np.full(self.batch_size, self._windows)
            order = np.concatenate([random.permutation(self._windows), filling])
            self._drawn = (epoch, offset, order)
        return self._drawn[1:]

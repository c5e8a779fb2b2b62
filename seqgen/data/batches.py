"""Ids -> batches: pure functions of the step, so that the data position of a checkpoint is its step number.

The documents form one line of inputs and targets. The targets of a document are its ids, and the boundary 0 after the
last one if the document has an end; its inputs are the boundary and then its ids.

    inputs    0 h e l l o   0 w o r l d
    targets   h e l l o 0   w o r l d 0

`ContiguousBatches` reads on in each of B rows, for models that carry their state from batch to batch. `WindowBatches`
cuts the line into windows, in an order drawn for each epoch, for models that start each window without a state.

A single text has no end, and is read in its order, as a circle. Where documents have ends, their order is drawn from
the seed: sorted documents (a list of names) are learned one kind after another (on names in alphabetical order the
loss was 2.136 nats, in a random order 1.972).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.data.documents import Documents
from seqgen.data.permutation import Permutation, permutation
from seqgen.errors import TextError
from seqgen.models.base import IGNORED, LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY

if TYPE_CHECKING:
    from seqgen.models.source import SourceModel

MIN_DOCUMENTS_OF_LANE = 8
"""How many documents as long as the longest fit at least into a lane of whole documents; see `ContiguousBatches`."""
FILLER = 1
"""The input of a position without a document: any id but the boundary."""
_DOCUMENT_ORDER = 1
"""Separates the random stream of the order of documents from the stream of the order of windows."""


@dataclass(frozen=True)
class Batch:
    """Inputs and targets, int64 [B, T], and where documents begin: bool [B, T], or None if none does."""

    inputs: Tensor
    targets: Tensor
    starts: Tensor | None
    source: Tensor | None = None
    """Of pairs, what is read first: int64 [B, S], filled at the right."""
    lengths: Tensor | None = None
    """The tokens of each source, int64 [B]."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        tensors = (self.inputs, self.targets, self.starts, self.source, self.lengths)
        return Batch(*(None if tensor is None else tensor.to(device) for tensor in tensors))  # type: ignore[arg-type]

    def state(self, model: LanguageModel, carried: State | None = None) -> State | None:
        """Return the state before the inputs: what the model knows of the sources, or what the rows carry."""
        if self.source is None or self.lengths is None:
            return carried
        return cast("SourceModel", model).encode(self.source, self.lengths, 0)  # nothing follows these inputs


class _Line:
    """All targets of documents, one document after another.

    Args:
        documents: the documents.
        order: their order, int64 [documents]; None is the order in which they are stored.
    """

    def __init__(self, documents: Documents, order: npt.NDArray[np.int64] | None = None) -> None:
        lengths, starts, ends = documents.lengths, documents.starts[:-1], documents.ends
        if order is not None:
            lengths, starts, ends = lengths[order], starts[order], ends[order]
        self._ids = documents.ids
        self.begins = np.concatenate([[0], np.cumsum(lengths)])
        """Where each document begins in the line, and the length of the line: int64 [documents + 1]."""
        self._shifts = starts - self.begins[:-1]
        """What to add to a position to get the place of its target in the ids, int64 [documents]."""
        self._ends = ends

    def read(self, positions: npt.NDArray[np.int64], scored: npt.NDArray[np.bool_] | None = None) -> Batch:
        """Return the inputs and targets at positions of the line, int64 [B, T]; those not `scored` are ignored."""
        if scored is not None:
            positions = np.where(scored, positions, 0)
        number = np.searchsorted(self.begins, positions, side="right") - 1
        is_first = self.begins[number] == positions
        is_end = self._ends[number] & (self.begins[number + 1] == positions + 1)
        places = positions + self._shifts[number]
        # Positions follow one another in a row: the ids of the inputs are those of the targets before them.
        inputs = np.where(is_first, BOUNDARY, self._ids[np.maximum(places - 1, 0)].astype(np.int64))
        targets = np.where(is_end, BOUNDARY, self._ids[np.where(is_end, 0, places)].astype(np.int64))
        if scored is not None:
            inputs, targets = np.where(scored, inputs, FILLER), np.where(scored, targets, IGNORED)
        begins = inputs == BOUNDARY
        return Batch(
            torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(begins) if begins.any() else None
        )


class BatchStream(ABC):
    """Endless batches."""

    carries_state: bool
    """Whether each row continues where the same row of the batch before it ended."""
    tokens: int
    """Targets of an epoch."""
    batch_size: int
    """Rows of a batch, over all ranks."""
    length: int
    """Targets of a row, on average."""
    longest: int
    """The most tokens that a row may have."""

    @property
    @abstractmethod
    def batches_per_epoch(self) -> float:
        """Number of batches in an epoch; a circle may have a fraction."""

    @abstractmethod
    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Return batch number `step`; rank r of `world` gets every world-th row from r on."""


class DocumentBatches(BatchStream):
    """Batches of documents, whose rows have the same length.

    Args:
        documents: their ids, which may be mapped from a file: a batch reads only its own.
        batch_size: rows of a batch, over all ranks; fewer for a short text.
        length: tokens of a row; fewer for a short text.
        seed: the random seed.
    """

    def __init__(self, documents: Documents, batch_size: int, length: int, seed: int) -> None:
        self.tokens = documents.tokens
        if not self.tokens:
            raise TextError("the text has no tokens to train on; give a longer text")
        self._documents = documents
        self._has_ends = bool(documents.ends.any())
        self._seed = seed
        # A text shorter than a batch is read once in a step, not several times.
        self.length = self.longest = min(length, self.tokens)
        self.batch_size = self._fit(batch_size)
        self._drawn: tuple[int, _Line] | None = None

    @abstractmethod
    def _fit(self, batch_size: int) -> int:
        """Return the rows of a batch: `batch_size`, or fewer if the text does not fill them."""

    def _line(self, epoch: int) -> _Line:
        """Return the line of an epoch: documents with ends in an order drawn for it, others as they are stored."""
        if not self._has_ends:
            epoch = 0
        if self._drawn is None or self._drawn[0] != epoch:
            order = None
            if self._has_ends:
                order = np.random.default_rng([self._seed, epoch, _DOCUMENT_ORDER]).permutation(len(self._documents))
            self._drawn = (epoch, _Line(self._documents, order))
        return self._drawn[1]


class ContiguousBatches(DocumentBatches):
    """B rows, each of which reads on from batch to batch, `length` tokens in each.

    A circle: row b starts at b / B of the line and reads on. It does not stop where the next row starts, so its carried
    state always belongs to the text before it, and each epoch cuts the text at different places.

    Lanes, where documents have ends and at least `MIN_DOCUMENTS_OF_LANE` of the longest would fit into 1 / B of the
    line: each epoch draws a new order, and row b reads the whole documents that begin in part b of the line. Every
    epoch has the same number of batches; targets after the last document of a row are ignored. A row that does not fit
    loses its last tokens until another epoch; they are fewer than the longest document has.
    """

    carries_state = True

    def _fit(self, batch_size: int) -> int:
        longest = int(self._documents.lengths.max())
        self._has_lanes = self._has_ends and MIN_DOCUMENTS_OF_LANE * longest * batch_size <= self.tokens
        if not self._has_lanes:
            return max(1, min(batch_size, self.tokens // self.length))
        # A lane has at most tokens / B + longest - 1 targets. With as many batches as that needs, take as few rows as
        # still fit: then hardly a position of a batch is ignored.
        batches = -(-(-(-self.tokens // batch_size) + longest - 1) // self.length)
        return -(-self.tokens // (batches * self.length - longest + 1))

    @property
    def batches_per_epoch(self) -> float:
        if self._has_lanes:
            return self._batches_of_lane
        return self.tokens / (self.batch_size * self.length)

    @property
    def _batches_of_lane(self) -> int:
        # Never more than the longest lane fills, so that no batch is without targets.
        return -(-self.tokens // (self.batch_size * self.length))

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        rows = np.arange(rank, self.batch_size, world, dtype=np.int64)
        within = np.arange(self.length)
        if not self._has_lanes:
            begins = rows * self.tokens // self.batch_size + step * self.length % self.tokens
            return self._line(0).read((begins[:, None] + within) % self.tokens)
        epoch, batch = divmod(step, self._batches_of_lane)
        line = self._line(epoch)
        cuts = np.arange(self.batch_size + 1, dtype=np.int64) * self.tokens // self.batch_size
        lanes = line.begins[np.searchsorted(line.begins, cuts)]
        positions = lanes[rows, None] + batch * self.length + within
        return line.read(positions, scored=positions < lanes[rows + 1, None])


class WindowBatches(DocumentBatches):
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

    _shuffled: tuple[int, int, Permutation] | None = None  # of the latest epoch

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        epoch, batch = divmod(step, self.batches_per_epoch)
        offset, order = self._order(epoch)
        places = np.arange(batch * self.batch_size, (batch + 1) * self.batch_size, dtype=np.int64)[rank::world]
        # Rows that fill the last batch start after the end of the circle, where every target is ignored.
        rows = np.full(len(places), self._windows, dtype=np.int64)
        rows[places < self._windows] = order(places[places < self._windows])
        positions = rows[:, None] * self.length + np.arange(self.length)
        return self._line(epoch).read((positions + offset) % self.tokens, scored=positions < self.tokens)

    def _order(self, epoch: int) -> tuple[int, Permutation]:
        """Return the offset of an epoch and the order of its windows."""
        if self._shuffled is None or self._shuffled[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            offset = int(random.integers(self.length))
            self._shuffled = (epoch, offset, permutation(self._windows, random))
        return self._shuffled[1:]

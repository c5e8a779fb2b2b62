"""Pairs of a source and a target as ids, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from seqgen.data.batches import FILLER, Batch, BatchStream
from seqgen.data.documents import Documents
from seqgen.errors import TextError
from seqgen.models.base import IGNORED
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer

Integers: TypeAlias = npt.NDArray[np.int64]
POOL = 64
"""Batches whose pairs are sorted by length together: with more there is less padding, and batches are less random."""
_PAIR_ORDER = 2
"""Separates the random stream of the order of pairs from those of documents and windows."""


@dataclass(frozen=True)
class Sequences:
    """Sequences of ids, which are parts of one array or mapped file."""

    ids: npt.NDArray[Any]
    begins: Integers
    lengths: Integers

    @classmethod
    def of_documents(cls, documents: Documents, step: int = 1, first: int = 0) -> Self:
        """Return one document out of `step`, from number `first` on."""
        begins, lengths = documents.starts[:-1], np.diff(documents.starts)
        return cls(documents.ids, begins[first::step], lengths[first::step])

    @classmethod
    def of(cls, sequences: Iterable[Ids]) -> Self:
        """Return arrays as sequences."""
        kept = [np.empty(0, dtype=np.int32), *sequences]
        lengths = np.array([len(one) for one in kept[1:]], dtype=np.int64)
        return cls(np.concatenate(kept), np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        begin = self.begins[index]
        return self.ids[begin : begin + self.lengths[index]]

    def cut(self, limit: int) -> Self:
        """Return the sequences, each cut to `limit` ids."""
        return type(self)(self.ids, self.begins, np.minimum(self.lengths, limit))

    def select(self, index: npt.NDArray[Any]) -> Self:
        """Return the sequences with these numbers."""
        return type(self)(self.ids, self.begins[index], self.lengths[index])

    def filled(self, fill: int) -> Integers:
        """Return the sequences as rows, filled at the right: int64 [N, the longest]."""
        places = np.arange(int(self.lengths.max(initial=1)))
        within = places < self.lengths[:, None]
        found: Integers = self.ids[np.where(within, self.begins[:, None] + places, 0)].astype(np.int64)
        return np.where(within, found, fill)


@dataclass(frozen=True)
class Pairs:
    """N pairs of a source and a target."""

    sources: Sequences
    targets: Sequences

    @classmethod
    def of(cls, documents: Documents) -> Self:
        """Return the pairs of documents that are sources and targets in turn."""
        return cls(*(Sequences.of_documents(documents, 2, side) for side in (0, 1)))

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def tokens(self) -> int:
        """How many targets are learned or scored: the ids of the targets, and an end for each."""
        return int(self.targets.lengths.sum()) + len(self)

    def select(self, index: npt.NDArray[Any]) -> Self:
        """Return the pairs with these numbers."""
        return type(self)(self.sources.select(index), self.targets.select(index))

    def cut_sources(self, limit: int | None) -> Self:
        """Return the pairs with sources of at most `limit` tokens, if there is a limit."""
        return self if limit is None else type(self)(self.sources.cut(limit), self.targets)

    def batch(self) -> Batch:
        """Return all pairs as one batch."""
        lengths = self.targets.lengths
        ids = self.targets.filled(IGNORED)
        boundary = np.full((len(self), 1), BOUNDARY)
        inputs = np.concatenate([boundary, np.where(ids == IGNORED, FILLER, ids)], axis=1)
        targets = np.concatenate([ids, np.full_like(boundary, IGNORED)], axis=1)
        targets[np.arange(len(self)), lengths] = BOUNDARY
        return Batch(
            torch.from_numpy(inputs),
            torch.from_numpy(targets),
            torch.from_numpy(inputs == BOUNDARY),
            torch.from_numpy(self.sources.filled(FILLER)),
            torch.from_numpy(self.sources.lengths.copy()),
        )

    def show(self, number: int, targets: Sequence[str], tokenizer: Tokenizer) -> str:
        """Return a source with a target of a model: `source -> target`."""
        return f"{tokenizer.decode(self.sources[number])} -> {targets[0]}"

    def by_length(self, size: int) -> list[Integers]:
        """Return the numbers of pairs of similar length, at most `size` each: the longest first."""
        order = np.lexsort((self.targets.lengths, self.sources.lengths))[::-1]
        return [order[begin : begin + size] for begin in range(0, len(order), size)]


class PairBatches(BatchStream):
    """Batches of pairs of similar length, in an order drawn for each epoch.

    Args:
        pairs: what is learned.
        batch_size: pairs of a batch; the last one of an epoch may have fewer.
        seed: the random seed.
    """

    carries_state = False

    def __init__(self, pairs: Pairs, batch_size: int, seed: int) -> None:
        if not len(pairs):
            raise TextError("there are no pairs to train on; give more pairs")
        self.pairs, self._seed = pairs, seed
        self.tokens = pairs.tokens
        self.batch_size = min(batch_size, len(pairs))
        self.length = max(1, round(pairs.tokens / len(pairs)))
        self.longest = sum(int(side.lengths.max()) for side in (pairs.sources, pairs.targets))
        self._ordered: tuple[int, Integers] | None = None

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def batch_at(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        epoch, batch = divmod(step, self.batches_per_epoch)
        begin = batch * self.batch_size
        return self.pairs.select(self._order(epoch)[begin : begin + self.batch_size][rank::world]).batch()

    def _order(self, epoch: int) -> Integers:
        """Return the order of the pairs in an epoch: batches of similar length, drawn among those of a pool."""
        if self._ordered is None or self._ordered[0] != epoch:
            random = np.random.default_rng([self._seed, epoch, _PAIR_ORDER])
            order = random.permutation(len(self.pairs))
            pool = np.arange(len(order)) // (self.batch_size * POOL)
            lengths = self.pairs.targets.lengths[order], self.pairs.sources.lengths[order]
            order = order[np.lexsort((*lengths, pool))]
            whole = len(order) - len(order) % self.batch_size
            batches = order[:whole].reshape(-1, self.batch_size)
            self._ordered = epoch, np.concatenate([random.permutation(batches).ravel(), order[whole:]])
        return self._ordered[1]

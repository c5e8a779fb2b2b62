"""Interpolated modified Kneser-Ney (Chen and Goodman 1998): the fitted tables and their probabilities. No torch.

    p(w | context) = (c(context w) - D(c)) / T(context) + backoff(context) p(w | shorter context)

c is a count, D(c) the discount of its order for a count of 1, 2, or 3 and more, and T the sum of c over all w. The
lowest order interpolates with the uniform distribution over all tokens that may be targets. A context that was not seen
backs off with weight 1.

The n-grams of each order are the nodes of a trie: the rank of an n-gram is its place in the sorted list of (rank of the
n-gram without its last token, last token). So a lookup is a binary search for that pair, and walking along a text takes
one lookup for each order and token. The rank of a single token is its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.tokenizers.base import BOUNDARY

Integers: TypeAlias = npt.NDArray[np.int64]
Counts: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float64]

_FEW = 8
"""Lookups up to which one by one is faster than all at once."""
UNSEEN = -1
"""The rank of an n-gram that is not in the tables."""


@dataclass(frozen=True)
class NgramTables:
    """The n-grams of a text. Lists have an item for each order, the unigrams first; `n` is the order of the model."""

    vocab_size: int
    ends: bool
    """Whether the end of a document (id 0) may be a target."""
    discounts: Floats
    """For counts of 1, 2, and 3 and more: [n, 3]."""
    counts: list[Counts]
    """The count of each n-gram; of the unigrams [V], 0 for those that were not seen.

    Of the highest order, and of n-grams that begin a document, how often they occur; else their distinct left
    neighbors.
    """
    tokens: list[Counts]
    """The last token of each n-gram; empty for the unigrams, of which the rank is the token."""
    children: list[Counts]
    """The rank at which the longer n-grams begin that extend each n-gram, and their number: [N + 1], n - 1 items."""
    sums: list[Counts]
    """T of each n-gram as a context, n - 1 items, if n-grams were left out; else none: T is the sum of the counts."""

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.counts)

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order."""
        return [int((self.counts[0] > 0).sum()), *map(len, self.counts[1:])]

    @property
    def uniform(self) -> float:
        """The probability of each token that may be a target, below the unigrams."""
        return 1 / (self.vocab_size if self.ends else self.vocab_size - 1)

    @cached_property
    def unigrams(self) -> Floats:
        """The probability of each token without a context, [V]."""
        return unigram_probabilities(self.counts[0], self.discounts[0], models_ends=self.ends)

    @cached_property
    def _keys(self) -> list[Integers]:
        """The sorted keys of the n-grams of each order: rank of the first tokens x V + last token."""
        keys = [keys_of(*level, self.vocab_size) for level in zip(self.tokens[1:], self.children, strict=True)]
        return [np.empty(0, np.int64), *keys]

    @cached_property
    def _sums(self) -> list[tuple[Integers, Floats]]:
        levels = enumerate(zip(self.counts[1:], self.children, strict=True), 1)
        return [
            context_sums(counts, children, self.discounts[k], self.sums[k - 1] if self.sums else None)
            for k, (counts, children) in levels
        ]

    @property
    def totals(self) -> list[Integers]:
        """T of each n-gram as a context, n - 1 items."""
        return [total for total, _ in self._sums]

    @property
    def backoffs(self) -> list[Floats]:
        """The weight of the shorter context for each n-gram as a context, n - 1 items."""
        return [backoff for _, backoff in self._sums]

    @cached_property
    def _shares(self) -> list[Floats]:
        """(c - D) / T of each n-gram, by order; made for whole distributions only, as it takes 8 bytes an n-gram."""
        shares = [np.empty(0)]
        for k, children in enumerate(self.children, 1):
            totals = np.repeat(self.totals[k - 1], np.diff(children))
            shares.append((self.counts[k] - discount(self.counts[k], self.discounts[k])) / totals)
        return shares

    def find(self, k: int, context: Integers, token: Integers | Counts) -> Integers:
        """Return the ranks of n-grams of k + 1 tokens: `context` ranks those of k tokens; `UNSEEN` if not there."""
        if len(context) < _FEW and context.ndim == 1:
            pairs = zip(context.tolist(), token.tolist(), strict=True)
            return np.array([self.find_one(k, *pair) for pair in pairs], dtype=np.int64)
        return find(self._keys[k], context, token, self.vocab_size)

    def find_one(self, k: int, context: int, token: int) -> int:
        """Do what `find` does, for one n-gram."""
        if context == UNSEEN:
            return UNSEEN
        begin, end = self.children[k - 1][context : context + 2].tolist()
        tokens = self.tokens[k][begin:end]
        place: int = tokens.searchsorted(token).item()
        return begin + place if place < len(tokens) and tokens.item(place) == token else UNSEEN

    def read(self, contexts: Integers, tokens: Integers) -> Integers:
        """Return the contexts after one more token in each row.

        Args:
            contexts: the ranks of the last 1, 2, ... n - 1 tokens, [B, n - 1].
            tokens: [B]; 0 begins a document.
        """
        after = np.full_like(contexts, UNSEEN)
        if after.shape[1]:
            after[:, 0] = tokens
        for k in range(1, after.shape[1]):
            after[:, k] = self.find(k, contexts[:, k - 1], tokens)
        after[tokens == BOUNDARY, 1:] = UNSEEN
        return after

    def walk(self, contexts: Integers, tokens: Integers, targets: Integers) -> tuple[Floats, Integers]:
        """Return the probability of each target after its token, and the contexts at the end.

        Args:
            contexts: before the first column, as of `read`.
            tokens: [B, T]; 0 begins a document.
            targets: [B, T]. Where they are the tokens of the next column, a lookup serves both.

        Returns:
            Probabilities [B, T], and contexts [B, n - 1].
        """
        last = np.full_like(contexts, UNSEEN)
        probability = self.unigrams[targets]
        for k, context, found in self.lookups(contexts, tokens, targets):
            last[:, k - 1] = context[:, -1]
            sums, discounts = self._sums[k - 1], self.discounts[k]
            probability = interpolate(self.counts[k], sums, discounts, context, found, probability)
        return probability, last

    def lookups(
        self, contexts: Integers, tokens: Integers, targets: Integers
    ) -> Iterator[tuple[int, Integers, Integers]]:
        """Yield k = 1, 2, ... n - 1, the ranks of the k tokens before each target, and of these and the target.

        Arguments as of `walk`; ranks are [B, T].
        """
        starts = tokens == BOUNDARY
        follows = bool(((targets[:, :-1] == tokens[:, 1:]) | starts[:, 1:]).all())
        first = self.read(contexts, tokens[:, 0])
        context = tokens
        for k in range(1, self.order):
            found = self.find(k, context, targets)
            yield k, context, found
            if k < self.order - 1:
                following = found[:, :-1] if follows else self.find(k, context[:, :-1], tokens[:, 1:])
                context = np.concatenate([first[:, k : k + 1], following], axis=1)
                context[starts] = UNSEEN

    def distributions(self, contexts: Integers) -> Floats:
        """Return the probability of every token after each of several contexts: [B, n - 1] -> [B, V]."""
        return np.stack([self._distribution(row) for row in contexts.tolist()])

    def _distribution(self, contexts: Sequence[int]) -> Floats:
        probability = self.unigrams.copy()
        for k, context in enumerate(contexts, 1):
            if context != UNSEEN:
                begin, end = self.children[k - 1][context : context + 2].tolist()
                probability *= self._sums[k - 1][1].item(context)
                probability[self.tokens[k][begin:end]] += self._shares[k][begin:end]
        return probability


def unigram_probabilities(counts: Counts, discounts: Floats, *, models_ends: bool) -> Floats:
    """Return the probability of each token without a context, [V]."""
    lowest = np.full(len(counts), 1 / (len(counts) - (not models_ends)))
    lowest[BOUNDARY] *= models_ends
    taken = discount(counts, discounts)
    total = int(counts.sum(dtype=np.int64))
    probability: Floats = (counts - taken + taken.sum() * lowest) / total if total else lowest
    return probability


def keys_of(tokens: Counts, children: Counts, vocab_size: int) -> Integers:
    """Return the sorted keys of n-grams: the rank without the last token x V + the last token."""
    parents = np.repeat(np.arange(len(children) - 1, dtype=np.int64), np.diff(children))
    return parents * vocab_size + tokens


def find(keys: Integers, context: Integers, token: Integers | Counts, vocab_size: int) -> Integers:
    """Return the ranks of n-grams among those with these keys; `UNSEEN` if not there, or if the context is."""
    if not len(keys):
        return np.full(context.shape, UNSEEN)
    wanted = context * vocab_size + token
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((keys[place] == wanted) & (context >= 0), place, UNSEEN)


def discount(counts: Counts | Integers, discounts: Floats) -> Floats:
    """Return the discounts of counts by those of 1, 2, and 3 and more."""
    by_count: Floats = np.array([0.0, *discounts])
    return by_count[np.minimum(counts, 3)]


def context_sums(
    counts: Counts, children: Counts, discounts: Floats, totals: Counts | None = None
) -> tuple[Integers, Floats]:
    """Return T, and the weight of the shorter context, of all contexts of one length.

    Args:
        counts: of the n-grams that extend them, [N'].
        children: where those of each context begin, [N + 1].
        discounts: of these n-grams, [3].
        totals: T where n-grams were left out: their counts are part of the weight; [N].
    """
    kept = _sum_children(counts, children)
    total = kept if totals is None else totals
    mass = _sum_children(discount(counts, discounts), children) + (total - kept)
    return total.astype(np.int64), np.where(total > 0, mass / np.maximum(total, 1), 1.0)


def interpolate(
    counts: Counts,
    sums: tuple[Integers, Floats],
    discounts: Floats,
    context: Integers,
    found: Integers,
    shorter: Floats,
) -> Floats:
    """Return probabilities with contexts of some length.

    Args:
        counts: of the n-grams that extend contexts of this length.
        sums: of these contexts.
        discounts: of these n-grams.
        context: the ranks of the contexts, [B, T].
        found: the ranks of contexts and targets together, [B, T].
        shorter: the probabilities with contexts of one token less, [B, T].
    """
    totals, backoffs = sums
    if not len(totals):
        return shorter
    total = totals[context]
    known = (context >= 0) & (total > 0)
    count = np.where(found >= 0, counts[found] if len(counts) else 0, 0)
    longer = (count - discount(count, discounts)) / np.maximum(total, 1) + backoffs[context] * shorter
    return np.where(known, longer, shorter)


def _sum_children(values: npt.NDArray[Any], children: Counts) -> Floats:
    """Add up values of the longer n-grams for each context: [N'], [N + 1] -> [N]. Sums of counts are exact."""
    parents = np.repeat(np.arange(len(children) - 1), np.diff(children))
    return np.bincount(parents, values, len(children) - 1)  # type: ignore[return-value]  # weights make floats

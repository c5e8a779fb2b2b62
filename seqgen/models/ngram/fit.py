"""Count the n-grams of documents, and compute their discounts. No torch.

The text is one line of tokens: the boundary 0, then the tokens of a document, then 0 again if its end is modeled. An
n-gram lies within a document; it may begin with the boundary that precedes it. Its rank comes from the rank of the
n-gram without its last token, so each order needs one sort of pairs of numbers. N-grams with different first tokens
have nothing to do with each other: a long text is counted for one range of first tokens after another, to save memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.errors import ConfigError
from seqgen.models.ngram.tables import (
    UNSEEN,
    Counts,
    Floats,
    Integers,
    NgramTables,
    context_sums,
    find,
    interpolate,
    keys_of,
    unigram_probabilities,
)
from seqgen.tokenizers.base import BOUNDARY
from seqgen.utils.text import plural

Documents: TypeAlias = tuple[npt.NDArray[np.integer], Integers, npt.NDArray[np.bool_]]
"""Ids [N] without boundaries, which may be mapped from a file; where each document begins, and N; which have an end."""
FALLBACK = (0.5, 1.0, 1.5)
"""The discounts where the counts of counts give none."""
LEAST_GAIN = 0.001
"""The share of the nats that one more order has to save."""
_SAMPLE, _SAMPLE_BLOCKS = 1 << 19, 64
"""Tokens from which the memory is estimated, and the parts of the text that they come from."""
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)
_BYTES_PER_GRAM, _BYTES_PER_PLACE, _BYTES_PER_TOKEN = 24, 50, 3
"""Of n-grams while they are counted, of the places that are counted at a time, of the text: measured on 100 MB."""
_BYTES_PER_SCORED, _BYTES_PER_CONTEXT = 20, 16
"""Of a fitted n-gram and its key, and in addition of one that is a context: its total and its weight."""
RANGE = 1 << 22
"""About how many positions of a text are counted at a time: some 200 MB."""
_DENSE = 8
"""Pairs are counted in a table instead of by sorting where it has at most this many cells for each of them."""


def fit_tables(
    documents: Documents,
    vocab_size: int,
    order: int,
    *,
    models_ends: bool,
    min_count: int = 1,
    memory: float = math.inf,
    validation: Documents | None = None,
) -> NgramTables:
    """Count documents.

    Args:
        documents: ids, where each begins among them, and which have an end.
        vocab_size: V.
        order: the length of the longest n-grams; with `validation` the most that it may be.
        models_ends: whether ends can be targets at all.
        min_count: n-grams of two tokens and more that occur less often are left out, after the discounts.
        memory: the bytes that this may take.
        validation: other documents. The order becomes the one before the first that does not lower their nats by
            `LEAST_GAIN`.

    Raises:
        ConfigError: it would take more memory.
    """
    line = _Line(documents, vocab_size)
    _check_memory(line.tokens, vocab_size, order, memory)
    choice = None if validation is None else _OrderChoice(validation, vocab_size, models_ends=models_ends)
    trie = _count(line, vocab_size, order, choice)
    counts = [*trie.neighbors, trie.occurrences[-1]]
    discounts = np.stack([_discounts_or_fallback(order_counts) for order_counts in counts])
    tables = NgramTables(vocab_size, models_ends, discounts, counts, trie.tokens, trie.children, [])
    return tables if min_count == 1 else _without_rare(tables, trie.occurrences, min_count)


def discounts_of(counts: Counts) -> tuple[float, float, float] | None:
    """Return the discounts of counts 1, 2, and 3 and more (Chen and Goodman 1998, equation 17).

    None where no n-gram has a count of 1, 2, 3 or 4, or where a discount exceeds its count, or is not above 0: then a
    token that was not seen after a context could have a probability of 0.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return None
    y = n1 / (n1 + 2 * n2)
    discounts = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    if not all(0 < discount <= count for count, discount in enumerate(discounts, 1)):
        return None
    return discounts


def _check_memory(tokens: npt.NDArray[np.unsignedinteger], vocab_size: int, order: int, memory: float) -> None:
    """Refuse a fit to a line of tokens that would take more memory."""
    at_most = [min(float(vocab_size) ** k, len(tokens)) for k in range(1, order + 1)]
    if _bytes_needed(tokens, at_most) <= memory:
        return
    needed = _bytes_needed(tokens, estimate_grams(tokens, vocab_size, order))
    if needed > memory:
        raise ConfigError(
            f"order: counting n-grams of up to {plural(order, 'token')} takes about {needed / 2**30:.1f} GiB here, and "
            f"{memory / 2**30:.1f} GiB are allowed; lower --order, or raise --memory"
        )


def _bytes_needed(tokens: npt.NDArray[np.unsignedinteger], grams: Sequence[float]) -> float:
    """Return the bytes that counting so many n-grams of each order takes, or scoring with them, whichever is more."""
    largest = max(int(np.bincount(tokens).max()), min(len(tokens), RANGE))
    counting = _BYTES_PER_PLACE * largest + _BYTES_PER_GRAM * sum(grams)
    scoring = _BYTES_PER_SCORED * sum(grams) + _BYTES_PER_CONTEXT * sum(grams[:-1])
    return _BYTES_PER_TOKEN * len(tokens) + max(counting, scoring)


def estimate_grams(tokens: npt.NDArray[np.unsignedinteger], vocab_size: int, order: int) -> list[float]:
    """Estimate the number of different n-grams of each order in a line of tokens; rather too many than too few.

    It grows as a power of the length of the text (Heaps' law), with an exponent that falls with the length. Two samples
    of different lengths give the exponent.
    """
    blocks = np.array_split(np.arange(len(tokens)), _SAMPLE_BLOCKS if len(tokens) > _SAMPLE else 1)
    sample = tokens[np.concatenate([block[: _SAMPLE // len(blocks)] for block in blocks])].astype(np.uint64)
    hashes, grams = np.zeros(len(sample), np.uint64), list[float]()
    for k in range(min(order, len(sample))):
        hashes = hashes[: len(sample) - k] * _HASH_BASE + sample[k:]
        whole, half = len(np.unique(hashes)), len(np.unique(hashes[: -(-len(hashes) // 2)]))
        grown = whole * (len(tokens) / len(sample)) ** math.log2(whole / half)
        grams.append(min(float(vocab_size) ** (k + 1), grown, len(tokens)))
    return grams


def _discounts_or_fallback(counts: Counts) -> Floats:
    return np.array(discounts_of(counts) or FALLBACK)


class _Line:
    """The documents one after another, with their boundaries."""

    def __init__(self, documents: Documents, vocab_size: int) -> None:
        ids, starts, ends = documents
        lengths = np.diff(starts) + 1 + ends
        begins = np.cumsum(lengths) - lengths
        self.tokens = np.zeros(int(lengths.sum()), np.min_scalar_type(vocab_size - 1))
        self.is_begin = np.zeros(len(self.tokens) + 1, bool)
        """Where a document begins; the place after the last one is one too."""
        self.is_begin[begins] = self.is_begin[-1] = True
        is_id = ~self.is_begin[:-1]
        is_id[(begins + lengths - 1)[ends]] = False
        self.tokens[is_id] = ids

    def ranges(self, vocab_size: int) -> list[tuple[int, int]]:
        """Return ranges of tokens, each from the first to before the last, that make up about `RANGE` places."""
        sizes = np.bincount(self.tokens, minlength=vocab_size)
        edges = np.flatnonzero(np.diff((np.cumsum(sizes) - sizes) // RANGE)) + 1
        return list(pairwise([0, *edges.tolist(), vocab_size]))


@dataclass
class _Trie:
    """All n-grams up to some length, sorted; lists as of `NgramTables`."""

    vocab_size: int
    occurrences: list[Counts]
    """How often each n-gram occurs."""
    tokens: list[Counts]
    children: list[Counts]
    neighbors: list[Counts]
    """The distinct left neighbors of each n-gram but the longest.

    N-grams of two tokens and more that begin with the boundary, which has no left neighbor, have their occurrences.
    """
    suffixes: Integers
    """The ranks of the longest n-grams without their first token."""
    begins: int
    """How many of the longest n-grams begin with the boundary: the first ones."""

    def grow(self, tokens: Counts, occurrences: Counts, sizes: Counts) -> None:
        """Add the n-grams that are one token longer; `sizes` is how many extend each."""
        k = len(self.tokens)
        parents = np.repeat(self.suffixes, sizes)  # the suffixes of the n-grams without their last token
        self.suffixes = tokens.astype(np.int64) if k == 1 else self.find(k - 1, parents, tokens)
        neighbors = np.bincount(self.suffixes, minlength=len(self.occurrences[-1])).astype(np.int32)
        edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        if k > 1:
            neighbors[: self.begins] = self.occurrences[-1][: self.begins]
        self.begins = int(edges[self.begins]) if k > 1 else int(edges[1])
        self.neighbors.append(neighbors)
        self.tokens.append(tokens)
        self.occurrences.append(occurrences)
        self.children.append(edges)

    def find(self, k: int, context: Integers, token: Integers | Counts) -> Integers:
        """Do what `NgramTables.find` does."""
        keys = keys_of(self.tokens[k], self.children[k - 1], self.vocab_size)
        return find(keys, context, token, self.vocab_size)


def _count(line: _Line, vocab_size: int, order: int, choice: _OrderChoice | None) -> _Trie:
    """Count all n-grams up to an order, or to the one that is chosen."""
    events = np.bincount(line.tokens[~line.is_begin[:-1]], minlength=vocab_size).astype(np.int32)
    none = np.empty(0, np.int32)
    trie = _Trie(vocab_size, [events], [none], [], [], np.zeros(vocab_size, np.int64), vocab_size)
    ranges = [_count_range(line, first, last, vocab_size, order) for first, last in line.ranges(vocab_size)]
    # Ranges are counted one after another to save memory; a single one order by order, as far as the choice goes.
    levels = ranges[0] if len(ranges) == 1 else map(_join, zip(*map(list, ranges), strict=True))
    for level in levels:
        trie.grow(*level)
        if choice is not None and not choice.improves(trie):
            return replace(trie, **{name: getattr(trie, name)[:-1] for name in _LISTS})
    return trie


_LISTS = ("occurrences", "tokens", "children", "neighbors")
_Level: TypeAlias = tuple[Counts, Counts, Counts]


def _join(parts: Sequence[_Level]) -> _Level:
    tokens, occurrences, sizes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return tokens, occurrences, sizes


def _count_range(line: _Line, first: int, last: int, vocab_size: int, order: int) -> Iterator[_Level]:
    """Count the n-grams that begin with a token from `first` to before `last`.

    Yields:
        For n-grams of 2, 3, ... tokens: last tokens, occurrences, and the number of n-grams that extend each shorter.
    """
    inside = (line.tokens >= first) & (line.tokens <= last - 1)
    places = np.flatnonzero(inside).astype(np.min_scalar_type(len(line.tokens)))
    rank = line.tokens[places] - first
    shorter = last - first
    for k in range(1, order):
        inside = ~line.is_begin[places + k]
        if not inside.all():
            places, rank = places[inside], rank[inside]
        # No name for the pairs: `_rank` frees them when it has sorted them.
        found, occurrences, rank = _rank(
            rank.astype(np.int64) * vocab_size + line.tokens[places + k], shorter * vocab_size, last=k == order - 1
        )
        parents, tokens = np.divmod(found, vocab_size)
        sizes = np.bincount(parents, minlength=shorter)
        yield tokens.astype(np.int32), occurrences.astype(np.int32), sizes.astype(np.int32)
        shorter = len(found)


def _rank(pairs: Integers, limit: int, *, last: bool) -> tuple[Integers, Integers, npt.NDArray[np.integer]]:
    """Return the different numbers, sorted; how often each occurs; and the place of each of `pairs` among them.

    Args:
        pairs: numbers below `limit`.
        limit: their number.
        last: whether the places are not needed.
    """
    places = np.empty(0 if last else len(pairs), np.int32)
    if limit <= _DENSE * len(pairs):
        table = np.bincount(pairs, minlength=limit)
        found = np.flatnonzero(table)
        occurrences = table[found]
        if not last:
            table[found] = np.arange(len(found))
            places[:] = table[pairs]
        return found, occurrences, places
    if last:
        pairs.sort()
    else:
        order = np.argsort(pairs)
        pairs = pairs[order]
    is_new = np.concatenate([[True], pairs[1:] != pairs[:-1]])[: len(pairs)]
    begins = np.flatnonzero(is_new)
    if not last:
        places[order] = np.cumsum(is_new, dtype=np.int32) - 1
    return pairs[begins], np.diff(begins, append=len(pairs)), places


class _OrderChoice:
    """Scores other documents with each order in turn, while the n-grams are counted."""

    def __init__(self, documents: Documents, vocab_size: int, *, models_ends: bool) -> None:
        line = _Line(documents, vocab_size)
        self._models_ends = models_ends
        self._begins = line.is_begin[:-1]
        self._scored = ~line.is_begin[1:]
        """The places whose next token is a target."""
        self._context: Integers = line.tokens.astype(np.int64)
        """The ranks of the tokens up to each place, as many as the last step had, [N]."""
        self._targets = np.append(self._context[1:], BOUNDARY)
        self._found = self._targets
        self._probability = np.empty(0)
        """Of the targets by the left neighbors of shorter n-grams."""
        self._best = math.inf

    def improves(self, trie: _Trie) -> bool:
        """Return whether the longest n-grams, which `trie` has just got, lower the nats."""
        k = len(trie.children)
        neighbors = trie.neighbors[k - 1]
        discounts = _discounts_or_fallback(neighbors)
        if k == 1:
            unigrams = unigram_probabilities(neighbors, discounts, models_ends=self._models_ends)
            self._probability = unigrams[self._targets]
        else:
            self._probability = self._interpolate(trie, k - 1, neighbors, discounts)
            self._context = np.where(self._begins, UNSEEN, np.append(UNSEEN, self._found[:-1]))
        self._found = trie.find(k, self._context, self._targets)
        occurrences = trie.occurrences[k]
        probability = self._interpolate(trie, k, occurrences, _discounts_or_fallback(occurrences))
        nats = float(-np.log(probability[self._scored]).mean())
        improved = nats < self._best * (1 - LEAST_GAIN)
        self._best = nats
        return improved

    def _interpolate(self, trie: _Trie, k: int, counts: Counts, discounts: Floats) -> Floats:
        sums = context_sums(counts, trie.children[k - 1], discounts)
        return interpolate(counts, sums, discounts, self._context, self._found, self._probability)


def _without_rare(tables: NgramTables, occurrences: list[Counts], min_count: int) -> NgramTables:
    """Leave out n-grams of two tokens and more that occur less than `min_count` times."""
    kept = [np.ones(tables.vocab_size, bool), *(numbers >= min_count for numbers in occurrences[1:])]
    children = []
    for k, edges in enumerate(tables.children):
        before = np.concatenate([[0], np.cumsum(kept[k + 1])])[edges]  # how many are kept before each edge
        children.append(np.concatenate([[0], np.cumsum(np.diff(before)[kept[k]])]).astype(np.int32))
    return replace(
        tables,
        counts=[counts[keep] for counts, keep in zip(tables.counts, kept, strict=True)],
        tokens=[tables.tokens[0], *(tokens[keep] for tokens, keep in zip(tables.tokens[1:], kept[1:], strict=True))],
        children=children,
        sums=[totals[keep].astype(np.int32) for totals, keep in zip(tables.totals, kept[:-1], strict=True)],
    )

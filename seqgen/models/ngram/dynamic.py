"""Counts that grow while a text is read: each token is predicted, then counted. No torch.

The longest n-gram that ends with a token is counted; a shorter one only if the longer one was new, as it has one more
left neighbor then. So at any point the counts are those of a fit to the training text and what was read. The discounts
stay those of the training text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqgen.errors import ConfigError
from seqgen.models.ngram.tables import UNSEEN, Counts, Floats, Integers, NgramTables, discount
from seqgen.tokenizers.base import BOUNDARY


class DynamicNgram:
    """Reads one stream of tokens; the tables that it starts from are not changed.

    New n-grams have ranks after those of the tables, in the order in which they came.

    Raises:
        ConfigError: the tables lack rare n-grams, so their counts cannot grow as those of a fit would.
    """

    def __init__(self, tables: NgramTables) -> None:
        if tables.sums:
            raise ConfigError(
                "dynamic: this n-gram model was fitted with --min-count, so it does not know which n-grams are new; "
                "fit it without"
            )
        self._tables, self._order = tables, tables.order
        self._discounts: list[list[float]] = [[0.0, *discounts] for discounts in tables.discounts.tolist()]
        """By order and count, up to 3."""
        self._sizes = [len(counts) for counts in tables.counts]
        counts = tables.counts[0]
        self._static_unigrams = [
            int(counts.sum(dtype=np.int64)),
            *(int((np.minimum(counts, 3) == one).sum()) for one in (1, 2, 3)),
        ]
        self._static = [_sums_of_contexts(tables, k) for k in range(1, self._order)]
        self.reset()

    def reset(self) -> None:
        """Return to the tables: forget what was read."""
        self._added: list[defaultdict[int, int]] = [defaultdict(int) for _ in range(self._order)]
        """What was added to the count of each n-gram."""
        self._new: list[dict[int, int]] = [{} for _ in range(self._order)]
        """The ranks of new n-grams by context x V + token."""
        self._children: list[defaultdict[int, list[tuple[int, int]]]] = [defaultdict(list) for _ in range(self._order)]
        """The new n-grams of each context: last tokens and ranks."""
        self._sums: list[dict[int, list[int]]] = [{} for _ in range(self._order)]
        """Of contexts that have changed: T, and how many n-grams have a count of 1, 2, and 3 and more."""
        self._unigrams = list(self._static_unigrams)
        """T of the unigrams, and how many have a count of 1, 2, and 3 and more."""
        self._context: list[int] = []
        """The ranks of the last 1, 2, ... tokens, as far as the document and the order reach."""
        self._seen = np.full((1, self._order - 1), UNSEEN)
        """The same by the tables alone."""
        self._begun = False

    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Predict each target, then count it.

        Args:
            inputs: the tokens before each target, int64 [T]; 0 begins a document.
            targets: int64 [T].

        Returns:
            -ln p of each target, [T].
        """
        lookups = [found[0].tolist() for _, _, found in self._tables.lookups(self._seen, inputs[None], targets[None])]
        probabilities = []
        for place, (token, target) in enumerate(zip(inputs.tolist(), targets.tolist(), strict=True)):
            if token == BOUNDARY:
                self._begin()
            ranks = self._ranks(target, [found[place] for found in lookups])
            probabilities.append(self._probability(ranks))
            self._count(ranks)
        self._begun = True
        for token in inputs.tolist()[-self._order :]:
            self._seen = self._tables.read(self._seen, np.array([token]))
        nats: Floats = -np.log(np.array(probabilities))
        return nats

    def log_probs(self) -> Floats:
        """Return ln p of every token as the next one, [V]."""
        tables = self._tables
        counts = tables.counts[0].astype(np.int64)
        for token, added in self._added[0].items():
            counts[token] += added
        sums = self._unigrams
        probability = np.full(len(counts), tables.uniform)
        probability[BOUNDARY] *= tables.ends
        if sums[0]:
            probability *= self._mass(0, sums) / sums[0]
            probability += (counts - discount(counts, tables.discounts[0])) / sums[0]
        for k, context in enumerate(self._context, 1):
            sums = self._sums_of(k, context)
            if sums[0]:
                tokens, counts = self._children_of(k, context)
                probability *= self._mass(k, sums) / sums[0]
                probability[tokens] += (counts - discount(counts, tables.discounts[k])) / sums[0]
        with np.errstate(divide="ignore"):
            log_probs: Floats = np.log(probability)
        return log_probs

    def read(self, token: int) -> None:
        """Count a token, and continue after it. 0 ends the document, if ends are modeled, and begins the next."""
        if self._begun and (token != BOUNDARY or self._tables.ends):
            found = [self._tables.find_one(k, self._seen.item(k - 1), token) for k in range(1, self._order)]
            self._count(self._ranks(token, found))
            self._seen[0] = [token, *found][: self._order - 1]
        if token == BOUNDARY:
            self._begin()
            self._seen[0] = [*self._context, *[UNSEEN] * (self._order - 2)]
        self._begun = True

    def tables(self) -> NgramTables:
        """Return tables of what was fitted and what was read, with the discounts of the fit."""
        static = self._tables
        counts, tokens, children = [static.counts[0] + self._added_to(0)], [static.tokens[0]], []
        sorted_rank: Integers = np.arange(static.vocab_size)  # of the contexts
        for k in range(1, self._order):
            pairs = np.array(list(self._new[k]), dtype=np.int64)
            parents = np.repeat(np.arange(len(static.children[k - 1]) - 1), np.diff(static.children[k - 1]))
            parents = sorted_rank[np.concatenate([parents, pairs // static.vocab_size])]
            last = np.concatenate([static.tokens[k], pairs % static.vocab_size]).astype(np.int32)
            order = np.argsort(parents * static.vocab_size + last)
            edges = np.cumsum(np.bincount(parents, minlength=len(counts[-1])))
            counts.append((np.append(static.counts[k], np.zeros(len(pairs), np.int32)) + self._added_to(k))[order])
            tokens.append(last[order])
            children.append(np.concatenate([[0], edges]).astype(np.int32))
            sorted_rank = np.empty_like(order)
            sorted_rank[order] = np.arange(len(order))
        return replace(static, counts=counts, tokens=tokens, children=children)

    def _begin(self) -> None:
        self._context = [BOUNDARY][: self._order - 1]

    def _ranks(self, token: int, found: Sequence[int]) -> list[int]:
        """Return the ranks of the n-grams of 1, 2, ... tokens up to `token`; `found` are those in the tables."""
        ranks = [token]
        for k, context in enumerate(self._context, 1):
            rank = found[k - 1]
            ranks.append(rank if rank >= 0 else self._new[k].get(context * self._tables.vocab_size + token, UNSEEN))
        return ranks

    def _count_of(self, k: int, rank: int) -> int:
        """Return the count of the n-gram of k + 1 tokens with this rank."""
        if rank == UNSEEN:
            return 0
        known: int = self._tables.counts[k].item(rank) if rank < self._sizes[k] else 0
        return known + self._added[k].get(rank, 0)

    def _probability(self, ranks: Sequence[int]) -> float:
        """Return the probability of the last token of the n-grams with these ranks."""
        probability = self._tables.uniform
        for k, rank in enumerate(ranks):
            sums = self._sums_of(k, self._context[k - 1]) if k else self._unigrams
            if sums[0]:
                count, discounts = self._count_of(k, rank), self._discounts[k]
                discounted = count - discounts[min(count, 3)]
                probability = (discounted + self._mass(k, sums) * probability) / sums[0]
        return probability

    def _count(self, ranks: list[int]) -> None:
        """Count the n-grams with these ranks, the longest last, and continue after them."""
        for k in reversed(range(len(ranks))):
            is_new = ranks[k] == UNSEEN
            context = self._context[k - 1] if k else 0
            if is_new:
                ranks[k] = self._sizes[k] + len(self._new[k])
                self._new[k][context * self._tables.vocab_size + ranks[0]] = ranks[k]
                self._children[k][context].append((ranks[0], ranks[k]))
            before = self._count_of(k, ranks[k])
            self._added[k][ranks[k]] += 1
            sums = self._sums[k].setdefault(context, self._sums_of(k, context)) if k else self._unigrams
            sums[0] += 1
            if before < 3:
                sums[before + 1] += 1
                if before:
                    sums[before] -= 1
            if not is_new:
                break
        self._context = ranks[: self._order - 1]

    def _sums_of(self, k: int, context: int) -> list[int]:
        """Return T of a context of k tokens, and how many n-grams after it have a count of 1, 2, and 3 and more."""
        changed = self._sums[k].get(context)
        if changed is not None:
            return changed
        return self._static[k - 1][context].tolist() if context < self._sizes[k - 1] else [0, 0, 0, 0]

    def _mass(self, k: int, sums: Sequence[int]) -> float:
        """Return the sum of the discounts after a context with these sums."""
        _, one, two, more = self._discounts[k]
        return sums[1] * one + sums[2] * two + sums[3] * more

    def _children_of(self, k: int, context: int) -> tuple[Integers, Integers]:
        """Return the last tokens and the counts of the n-grams that extend a context of k tokens."""
        begin, end = (
            (0, 0) if context >= self._sizes[k - 1] else self._tables.children[k - 1][context : context + 2].tolist()
        )
        pairs = [
            *zip(self._tables.tokens[k][begin:end].tolist(), range(begin, end), strict=True),
            *self._children[k].get(context, ()),
        ]
        tokens, ranks = zip(*pairs, strict=True)
        return np.array(tokens), np.array([self._count_of(k, rank) for rank in ranks])

    def _added_to(self, k: int) -> Counts:
        """Return what was added to the count of each n-gram of k + 1 tokens, the new ones last."""
        added = np.zeros(self._sizes[k] + len(self._new[k]), np.int32)
        if self._added[k]:
            added[list(self._added[k])] = list(self._added[k].values())
        return added


def _sums_of_contexts(tables: NgramTables, k: int) -> Integers:
    """Return T and how many n-grams have a count of 1, 2, and 3 and more, for each context of k tokens: [N, 4]."""
    counts, children = tables.counts[k], tables.children[k - 1]
    parents = np.repeat(np.arange(len(children) - 1), np.diff(children))
    classes = np.minimum(counts, 3)
    columns = [np.bincount(parents[classes == one], minlength=len(children) - 1) for one in (1, 2, 3)]
    return np.stack([tables.totals[k - 1], *columns], axis=1)

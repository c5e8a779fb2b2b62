"""Modified Kneser-Ney written with dicts, one probability at a time: the oracle of the tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen.models.ngram.fit import FALLBACK

Gram = tuple[int, ...]


@dataclass
class Corpus:
    """Documents, and whether each has an end."""

    documents: list[list[int]]
    ends: list[bool]
    vocab_size: int
    models_ends: bool

    @property
    def arrays(self):
        """Return ids, starts and ends, as the fit takes them."""
        starts = np.cumsum([0, *map(len, self.documents)], dtype=np.int64)
        return np.concatenate(self.documents).astype(np.int64), starts, np.array(self.ends)

    @property
    def lines(self) -> list[list[int]]:
        """Return each document with its boundaries."""
        return [[0, *ids, *([0] if end else [])] for ids, end in zip(self.documents, self.ends, strict=True)]


def random_corpus(seed: int, *, vocab_size: int = 5, documents: int = 4, longest: int = 12) -> Corpus:
    """Return documents of random length, whose tokens are not equally frequent; the last id never occurs."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(vocab_size - 2, 0.7))
    texts = [
        (1 + random.choice(vocab_size - 2, int(random.integers(1, longest + 1)), p=shares)).tolist()
        for _ in range(int(random.integers(1, documents + 1)))
    ]
    models_ends = bool(seed % 2)
    return Corpus(texts, [models_ends and bool(random.integers(0, 4)) for _ in texts], vocab_size, models_ends)


class PlainKneserNey:
    """The probabilities of a corpus."""

    def __init__(
        self, corpus: Corpus, order: int, min_count: int = 1, discounts: Sequence[Sequence[float]] = ()
    ) -> None:
        self.order, self.vocab_size, self.models_ends = order, corpus.vocab_size, corpus.models_ends
        occurrences: Counter[Gram] = Counter()
        for line in corpus.lines:
            for length in range(1, order + 1):
                first = 1 if length == 1 else 0  # the boundary that begins a document is no event
                occurrences.update(tuple(line[i : i + length]) for i in range(first, len(line) - length + 1))
        left: defaultdict[Gram, set[int]] = defaultdict(set)
        for gram in occurrences:
            left[gram[1:]].add(gram[0])
        self.counts = {
            gram: number if len(gram) == order or (len(gram) > 1 and gram[0] == 0) else len(left[gram])
            for gram, number in occurrences.items()
        }
        self.discounts = discounts or [self._discounts(length) for length in range(1, order + 1)]
        self.totals: Counter[Gram] = Counter()
        for gram, count in self.counts.items():
            self.totals[gram[:-1]] += count
        self.kept = {gram for gram in self.counts if len(gram) == 1 or occurrences[gram] >= min_count}
        self.mass: defaultdict[Gram, float] = defaultdict(float)
        for gram, count in self.counts.items():
            self.mass[gram[:-1]] += self._discount(gram) if gram in self.kept else count

    def _discounts(self, length: int) -> Sequence[float]:
        counts = Counter(count for gram, count in self.counts.items() if len(gram) == length)
        if not all(counts[number] for number in (1, 2, 3, 4)):
            return FALLBACK
        y = counts[1] / (counts[1] + 2 * counts[2])
        found = [number - (number + 1) * y * counts[number + 1] / counts[number] for number in (1, 2, 3)]
        return found if all(0 < discount <= number for number, discount in enumerate(found, 1)) else FALLBACK

    def _discount(self, gram: Gram) -> float:
        return self.discounts[len(gram) - 1][min(self.counts[gram], 3) - 1]

    def probability(self, context: Gram, token: int) -> float:
        """Return p(token | context); the context may be of any length."""
        context = context[len(context) - min(len(context), self.order - 1) :]
        if 0 in context:  # a document begins there
            context = context[len(context) - 1 - context[::-1].index(0) :]
        uniform = 1 / (self.vocab_size - (not self.models_ends)) if token or self.models_ends else 0.0
        probability = uniform
        for begin in range(len(context), -1, -1):
            gram = (*context[begin:], token)
            if total := self.totals[gram[:-1]]:
                own = self.counts[gram] - self._discount(gram) if gram in self.kept else 0.0
                probability = (own + self.mass[gram[:-1]] * probability) / total
        return probability

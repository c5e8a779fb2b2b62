"""Report the cost of a text in numbers that can be compared between models.

nats per token: the mean of -ln p over all tokens, each counted once; perplexity: its exponential. bits per byte: all
nats / (ln 2 x the UTF-8 bytes of the text as it was read, before normalization). It compares models with different
tokenizers, and it is the length of a lossless code: an `<unk>` costs its nats and its spelling.
"""

from __future__ import annotations

import lzma
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Literal

from seqgen.data.cache.encode import Counts
from seqgen.evaluation.adaptation.config import AdaptationConstants
from seqgen.tokenizers.base import Tokenizer
from seqgen.utils.text import without_surrogates

if TYPE_CHECKING:
    from seqgen.models.base import LanguageModel

XZ_LIMIT = 64 * 2**20
"""Bytes above which xz -9 is not run for comparison: it takes about a second per megabyte."""


@dataclass(frozen=True)
class TextSize:
    """The size of a text, and the cost in nats of spelling its unknown pieces."""

    characters: int
    bytes: int
    unknown: int
    unk_cost: float
    changed: int = 0
    """Characters that normalization changes: the nats are those of the normalized text."""

    @classmethod
    def total(cls, documents: Iterable[str], tokenizer: Tokenizer, end_bytes: int = 0) -> TextSize:
        """Measure several texts together, as `tokenizer` sees them, and the line ends that end them in their file."""
        return cls.sum([*(cls._of(text, tokenizer) for text in documents), cls(end_bytes, end_bytes, 0, 0.0)])

    @classmethod
    def sum(cls, sizes: Sequence[TextSize | Counts]) -> TextSize:
        """Add up several sizes, or the counts of encoded texts."""
        return cls(
            sum(size.characters for size in sizes),
            sum(size.bytes for size in sizes),
            sum(size.unknown for size in sizes),
            math.fsum(size.unk_cost for size in sizes),
            sum(size.changed for size in sizes),
        )

    @classmethod
    def _of(cls, text: str, tokenizer: Tokenizer) -> TextSize:
        unknown = tokenizer.unknown(text)
        spelling = math.fsum(count * tokenizer.unk_cost(piece) for piece, count in unknown.items())
        size = tokenizer.byte_length(without_surrogates(text))
        return cls(len(text), size, unknown.total(), spelling, tokenizer.changed_characters(text))


@dataclass(frozen=True)
class Context:
    """How much of the text before it each token was scored with.

    `stream`: all of it, the state carried from the beginning of the document, or where documents were cut into
    segments, from `burn_in` tokens before the segment. `windows`: at most `window` tokens.
    """

    kind: Literal["stream", "windows"]
    segments: int
    """How many parts of documents were scored: as many as documents if none was cut."""
    burn_in: int = 0
    """Tokens read before a segment that begins inside a document."""
    window: int | None = None
    stride: int | None = None
    """Tokens from the start of a window to that of the next."""

    def plus(self, other: Context) -> Context:
        """Return the context of the texts of both, which were scored by the same settings."""
        segments, burn_in = self.segments + other.segments, max(self.burn_in, other.burn_in)
        one, another = (replace(context, segments=segments, burn_in=burn_in) for context in (self, other))
        if one != another:
            raise ValueError(f"cannot add up evaluations with different contexts, {self} and {other}")
        return one


@dataclass(frozen=True)
class Cost:
    """What a text costs. `nats` is the sum over its `tokens`, without the spelling of `<unk>`."""

    tokens: int
    """All that was scored, ends of documents included."""
    size: TextSize
    nats: float

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood of a token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token), or infinity above the range of a float."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    @property
    def unknown_share(self) -> float:
        """The share of tokens that are `<unk>`, whose spelling `perplexity` does not count."""
        return self.size.unknown / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """All nats, with spelling, in bits, divided by the UTF-8 bytes of the text."""
        return (self.nats + self.size.unk_cost) / math.log(2) / self.size.bytes

    @property
    def bits_per_character(self) -> float:
        """All nats, with spelling, in bits, divided by the characters of the text."""
        return (self.nats + self.size.unk_cost) / math.log(2) / self.size.characters


@dataclass(frozen=True)
class DynamicEvaluation(Cost):
    """The cost of a text under a model that learns while it reads: dynamic evaluation.

    `parts` and `members` are nats like `nats`; the parts of a mixture are those with only weights, or only n-gram
    counts, learning. `nats` is the cost with all of `what` learning.
    """

    what: str
    """`weights`, `ngram` or `all`, and `cache` for a cache alone."""
    cache: bool
    """Whether neural models had a cache."""
    parts: dict[str, float]
    """Nats by what learns, `what` included."""
    members: dict[str, tuple[float, float]]
    """Static and dynamic nats of each member of a mixture alone, by name."""
    weights: dict[str, float]
    """The weights of a mixture after the text; of several texts, after the last."""
    diverged: dict[str, int]
    """Of members whose weights diverged, and returned to the trained ones: the tokens read before."""
    reset: bool
    """Whether the trained model came back at each document."""
    constants: AdaptationConstants
    """Rates and sizes."""

    def plus(self, other: DynamicEvaluation) -> DynamicEvaluation:
        """Add up the evaluations of two texts, each from the trained model on, by the same settings."""
        parts = {name: nats + other.parts[name] for name, nats in self.parts.items()}
        pairs = {name: (self.members[name], other.members[name]) for name in self.members}
        return replace(
            other,
            tokens=self.tokens + other.tokens,
            size=TextSize.sum([self.size, other.size]),
            nats=self.nats + other.nats,
            parts=parts,
            members={name: (a[0] + b[0], a[1] + b[1]) for name, (a, b) in pairs.items()},
            diverged={**self.diverged, **{name: self.tokens + at for name, at in other.diverged.items()}},
        )


@dataclass(frozen=True)
class Evaluation(Cost):
    """The cost of a text under a model that does not change, and under one that learns while it reads."""

    ends: int
    """How many of the tokens are ends of documents; 0 for a model that does not model them."""
    context: Context
    dynamic: DynamicEvaluation | None = None
    """The cost if the model learns while it reads; None where it was not asked for."""

    @property
    def accuracy(self) -> None:
        """None: a text is not right or wrong, as a label is."""
        return None

    def calibrate(self, model: LanguageModel) -> None:
        """Change nothing: only what chooses labels is calibrated."""


def combine(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Add up the evaluations of several texts, scored by the same settings."""
    adapted = [one.dynamic for one in evaluations if one.dynamic is not None]
    return Evaluation(
        tokens=sum(one.tokens for one in evaluations),
        size=TextSize.sum([one.size for one in evaluations]),
        nats=math.fsum(one.nats for one in evaluations),
        ends=sum(one.ends for one in evaluations),
        context=reduce(Context.plus, (one.context for one in evaluations)),
        dynamic=reduce(DynamicEvaluation.plus, adapted) if adapted else None,
    )


def xz_bits_per_byte(text: str, encoding: str = "utf-8") -> float | None:
    """Return the bits per byte of `xz -9` for the text; None for a text over `XZ_LIMIT` bytes."""
    content = without_surrogates(text).encode(encoding)
    if len(content) > XZ_LIMIT:
        return None
    # -9 has a dictionary of 64 MiB; a dictionary of the text's size gives the same length with less memory.
    dictionary = max(4096, len(content))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": dictionary}]
    return 8 * len(lzma.compress(content, filters=filters)) / len(content)


def order0_bits_per_byte(text: str, encoding: str = "utf-8") -> float:
    """Return the entropy of the text's own character frequencies in bits per byte: the cost of a unigram code."""
    counts = Counter(text)
    entropy = sum(count * math.log2(len(text) / count) for count in counts.values())
    return entropy / len(without_surrogates(text).encode(encoding))

"""The text as rows of the vocabulary, in blocks, and the tables that training draws from. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqgen.data.documents import Documents
from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.errors import TextError
from seqgen.tokenizers.base import BOUNDARY, Tokenizer
from seqgen.utils.text import plural, singular_or_plural

Rows = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Thresholds = npt.NDArray[np.uint64]

BLOCK_WORDS = 10_000
"""Words of a block, at most. A window ends where its block ends, so a long document is cut at few places."""
NOISE_POWER = 0.75
"""Noise words are drawn by their counts to this power (Mikolov et al., 2013)."""
_ALL = float(1 << 32)


def word_of(tokenizer: Tokenizer, token: int) -> str | None:
    """Return the word of an id; None for the boundary, for `<unk>` and for white space alone.

    A space inside a piece becomes U+2581, as sentencepiece writes it, and bytes that are not UTF-8 become `<0xE2>`: so
    every word can be written in the text format. What the tokenizer decomposes is composed again (NFC).
    """
    content = tokenizer.id_to_bytes[token]
    if token in {BOUNDARY, tokenizer.unknown_id} or not content.strip():
        return None
    try:
        text = tokenizer.written(content.decode(tokenizer.text_encoding))
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in content)
    return "".join("\u2581" if character.isspace() else character for character in text) if text.strip() else None


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words that get a vector, the most frequent first."""

    words: Sequence[str]
    counts: Sequence[int]
    """The occurrences of each word in the text."""

    def to_json(self) -> bytes:
        """Return the content of vocabulary.json."""
        return (json.dumps({"words": self.words, "counts": self.counts}, ensure_ascii=False) + "\n").encode()

    @property
    def sha256(self) -> str:
        """The hash of vocabulary.json."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def noise(self) -> tuple[Thresholds, Rows]:
        """The table by which noise words are drawn in constant time (Walker's alias method).

        Of a column drawn uniformly, a second draw below `accept` (of 2^32) takes its own row, else the row `alias`.
        """
        weights = np.asarray(self.counts, np.float64) ** NOISE_POWER
        shares = (weights * (len(weights) / weights.sum())).tolist()
        accept, alias = np.full(len(shares), 1 << 32, np.uint64), np.arange(len(shares), dtype=np.int32)
        small = [row for row, share in enumerate(shares) if share < 1.0]
        large = [row for row, share in enumerate(shares) if share >= 1.0]
        while small and large:
            row, other = small.pop(), large.pop()
            accept[row], alias[row] = int(shares[row] * _ALL), other
            shares[other] -= 1.0 - shares[row]
            (small if shares[other] < 1.0 else large).append(other)
        return accept, alias

    def kept(self, sample: float) -> Thresholds:
        """Return the probability that an occurrence of each word is kept, times 2^32: sqrt(t / f) + t / f, at most 1.

        This is the rule of word2vec.c for a word with the share f of the text. A `sample` t of 0 keeps all.
        """
        if not sample:
            return np.full(len(self), 1 << 32, np.uint64)
        ratio = sample / (np.asarray(self.counts, np.float64) / sum(self.counts))
        return (np.minimum(np.sqrt(ratio) + ratio, 1.0) * _ALL).astype(np.uint64)

    def kept_share(self, sample: float) -> float:
        """Return the share of the text's words that are kept, on average."""
        return float(np.average(self.kept(sample), weights=self.counts)) / _ALL


@dataclass(frozen=True, eq=False)
class WordCorpus:
    """A text as rows of the vocabulary; rare words, white space and `<unk>` are gone, so windows reach across them."""

    vocabulary: Vocabulary
    rows: Rows
    starts: Integers
    """Where each block begins in `rows`, then the length of `rows`: int64 [blocks + 1]. A block is of one document."""


def read_corpus(tokenizer: Tokenizer, documents: Documents, model: EmbeddingModelConfig) -> WordCorpus:
    """Choose the vocabulary of encoded documents, and return them as its rows.

    Raises:
        TextError: fewer than two words occur often enough, or no document has two of them.
    """
    vocabulary, row_of = _choose_words(tokenizer, documents, model)
    if len(vocabulary) < 2:
        occur = singular_or_plural(len(vocabulary), "occurs", "occur")
        raise TextError(
            f"only {plural(len(vocabulary), 'word')} {occur} at least {plural(model.min_count, 'time')}; use a smaller "
            "--min-count, or a longer text"
        )
    rows = row_of[documents.ids]
    is_word = rows >= 0
    places = np.concatenate([[0], np.cumsum(is_word, dtype=np.int64)])[documents.starts]
    starts = _cut(places)
    if np.diff(starts).max() < 2:
        raise TextError(
            "no document has two words of the vocabulary, so no word has others around it; use --documents file, a "
            "smaller --min-count, or another text"
        )
    return WordCorpus(vocabulary, rows[is_word], starts)


def _choose_words(tokenizer: Tokenizer, documents: Documents, model: EmbeddingModelConfig) -> tuple[Vocabulary, Rows]:
    """Return the words that occur often enough, and the row of each id, -1 where it has none."""
    occurrences = np.bincount(documents.ids, minlength=tokenizer.vocab_size).tolist()
    words = [word_of(tokenizer, token) for token in range(tokenizer.vocab_size)]
    if model.lowercase:
        words = [None if word is None else word.lower() for word in words]
    counts: dict[str, int] = {}
    for word, count in zip(words, occurrences, strict=True):
        if word is not None and count:
            counts[word] = counts.get(word, 0) + count
    chosen = sorted(
        (word for word, count in counts.items() if count >= model.min_count), key=lambda word: (-counts[word], word)
    )
    index = {word: row for row, word in enumerate(chosen)}
    row_of = np.array([-1 if word is None else index.get(word, -1) for word in words], np.int32)
    return Vocabulary(chosen, [counts[word] for word in chosen]), row_of


def _cut(places: Integers) -> Integers:
    """Return the starts of blocks for documents that begin at `places`, whose last is the length of all."""
    lengths = np.diff(places)
    blocks = -(-lengths // BLOCK_WORDS)  # none where a document is empty
    first = np.repeat(np.cumsum(blocks) - blocks, blocks)
    starts = np.repeat(places[:-1], blocks) + BLOCK_WORDS * (np.arange(blocks.sum()) - first)
    return np.append(starts, places[-1])

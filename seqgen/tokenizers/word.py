"""One id for each word, run of white space or punctuation character; unseen ones share one `<unk>`.

The split is our own because it loses nothing: the pieces of a text, joined, are the text. Combining marks and joiners
belong to the word around them, so that it is one piece in NFD, in Devanagari, in Persian. A Hangul word is an eojeol.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import regex
from pydantic import Field

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import (
    FIRST_ID,
    TOKENIZER_FILE,
    UNKNOWN_ID,
    Ids,
    Tokenizer,
    TokenizerFile,
    not_empty,
    read_json,
)
from seqgen.tokenizers.config import MAX_AUTO_SIZE, MIN_AUTO_SIZE, MIN_EXAMPLES, Normalization, TokenizerConfig
from seqgen.utils.text import REPLACEMENT, without_surrogates

DEFAULT_VOCAB_SIZE = 10_000
LONG_WORD_CHARACTERS = 1_000_000
"""A word with more is cut where it is read from a stream."""

_WORD = r"[\p{L}\p{N}_][\p{L}\p{N}_\p{M}\u200c\u200d]*"  # the last two: zero-width non-joiner and joiner
_PIECE = regex.compile(rf"{_WORD}(?:['’]{_WORD})*|\s+|.", regex.DOTALL)


def split_words(text: str) -> Iterator[str]:
    """Yield the pieces of `text`: words (don't is one), runs of white space, and all else by the character."""
    return (match[0] for match in _PIECE.finditer(text))


class WordFile(TokenizerFile):
    """`tokenizer.json` of a word tokenizer."""

    kind: Literal["word"]
    words: list[str] = Field(min_length=1)


class WordTokenizer(Tokenizer):
    """The most frequent pieces of the training text, in that order, after the boundary and `<unk>`."""

    kind = "word"
    unknown_id = UNKNOWN_ID

    def __init__(self, words: Sequence[str], normalization: Normalization = "none") -> None:
        super().__init__(normalization)
        self.words = tuple(words)
        self.id_to_bytes = (b"", REPLACEMENT.encode(), *(word.encode() for word in self.words))
        self._ids = {word: FIRST_ID + rank for rank, word in enumerate(self.words)}

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        if isinstance(config.vocab_size, int) and config.vocab_size <= FIRST_ID:
            raise ConfigError(f"vocab_size: a word tokenizer needs at least {FIRST_ID + 1}, not {config.vocab_size}")
        counts: Counter[str] = Counter()
        for document in not_empty(documents, config.normalization):
            counts.update(split_words(document))
        if config.vocab_size == "auto":
            frequent = FIRST_ID + sum(count >= MIN_EXAMPLES for count in counts.values())
            vocab_size = min(max(frequent, MIN_AUTO_SIZE), MAX_AUTO_SIZE)
        else:
            vocab_size = config.vocab_size or DEFAULT_VOCAB_SIZE
        # Words seen once become <unk>: only from them can a model learn what surrounds an unseen word. A text too small
        # to repeat anything keeps all of its words.
        words = [word for word, count in counts.items() if count > 1 or config.keep_rare] or list(counts)
        words.sort(key=lambda word: (-counts[word], word))
        return cls(words[: vocab_size - FIRST_ID], config.normalization)

    def _encode(self, text: str) -> Ids:
        id_of, pieces = self._ids.get, split_words(without_surrogates(text))
        return np.fromiter((id_of(piece, UNKNOWN_ID) for piece in pieces), dtype=np.int32)

    def _find_unknown(self, text: str) -> Counter[str]:
        return Counter(piece for piece in split_words(text) if piece not in self._ids)

    def _token_texts(self, text: str) -> list[str]:
        return list(split_words(text))

    def split_point(self, text: str) -> int:
        """Return the place after the last white space before a piece; a very long word is cut anywhere."""
        places = range(len(text) - 1, 0, -1)
        found = next((place for place in places if text[place - 1].isspace() and not text[place].isspace()), 0)
        return found or (self._character_split_point(text) if len(text) > LONG_WORD_CHARACTERS else 0)

    def word_ends(self) -> npt.NDArray[np.bool_]:
        """Return true for every id, [V]: a word is one token, so it ends with it."""
        return np.ones(self.vocab_size, bool)

    def unk_cost(self, piece: str) -> float:
        """Return the cost of the word's UTF-8 bytes and an end mark, each one of 257 equally likely symbols."""
        return (len(piece.encode()) + 1) * math.log(257)

    def to_files(self) -> dict[str, bytes]:
        return {TOKENIZER_FILE: self._to_json(words=self.words)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        file = read_json(files, WordFile)
        if len(set(file.words)) < len(file.words) or "" in file.words:
            raise TokenizerError(f"{TOKENIZER_FILE}: words: each must occur once, and none be empty")
        return cls(file.words, file.normalization)

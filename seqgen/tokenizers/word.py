"""One id a word, a run of white space or a punctuation character; unseen ones share one `<unk>`.

The split is our own because it loses nothing: a text's pieces, joined, are the text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import (
    REPLACEMENT,
    TOKENIZER_FILE,
    Ids,
    Tokenizer,
    TokenizerFile,
    not_empty,
    read_json,
    to_json,
    without_surrogates,
)
from seqgen.tokenizers.config import TokenizerConfig

UNKNOWN = 1
FIRST = 2  # the boundary and <unk> come before the pieces
DEFAULT_VOCAB_SIZE = 10_000
LONGEST_WORD = 1_000_000
"""Characters over which what has no white space is not held together when it is read from a stream."""

_PIECE = re.compile(r"\w+(?:['’]\w+)*|\s+|[^\w\s]")


def split(text: str) -> Iterator[str]:
    """The pieces of `text`: words (don't is one), runs of white space, and all else by the character."""
    return (match[0] for match in _PIECE.finditer(text))


def _is_cut(text: str, place: int) -> bool:
    return text[place - 1].isspace() and not text[place].isspace()


class WordFile(TokenizerFile):
    """`tokenizer.json` of a word tokenizer."""

    kind: Literal["word"]
    words: list[str] = Field(min_length=1)


class WordTokenizer(Tokenizer):
    """The most frequent pieces of the training text, in that order, behind the boundary and `<unk>`."""

    kind = "word"
    unknown_id = UNKNOWN

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.pieces = (b"", REPLACEMENT.encode(), *(word.encode() for word in self.words))
        self._ids = {word: FIRST + rank for rank, word in enumerate(self.words)}

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        if isinstance(config.vocab_size, int) and config.vocab_size <= FIRST:
            raise ConfigError(f"vocab_size: a word tokenizer needs at least {FIRST + 1}, not {config.vocab_size}")
        counts: Counter[str] = Counter()
        characters = 0
        for document in not_empty(documents):
            counts.update(split(document))
            characters += len(document)
        vocab_size = config.size_for(characters) or DEFAULT_VOCAB_SIZE
        # Words seen once become <unk>: they are the only place where a model can learn what surrounds an unseen word.
        # A text too small to repeat anything keeps what it has.
        words = [word for word, count in counts.items() if count > 1] or list(counts)
        words.sort(key=lambda word: (-counts[word], word))
        return cls(words[: vocab_size - FIRST])

    def encode(self, text: str) -> Ids:
        id_of = self._ids.get
        return np.fromiter((id_of(piece, UNKNOWN) for piece in split(without_surrogates(text))), dtype=np.int32)

    def cut(self, text: str) -> int:
        """After the last white space before a piece; a word of a million characters is cut as it comes."""
        place = next((place for place in range(len(text) - 1, 0, -1) if _is_cut(text, place)), 0)
        return place or (len(text) if len(text) > LONGEST_WORD else 0)

    def unknown(self, text: str) -> Counter[str]:
        return Counter(piece for piece in split(without_surrogates(text)) if piece not in self._ids)

    def spelling_nats(self, piece: str) -> float:
        """The word's UTF-8 bytes and an end mark, each one of 257 equally likely symbols."""
        return (len(piece.encode()) + 1) * math.log(257)

    def to_files(self) -> dict[str, bytes]:
        return {TOKENIZER_FILE: to_json(self.kind, words=self.words)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        words = read_json(files, WordFile).words
        if len(set(words)) < len(words) or "" in words:
            raise TokenizerError(f"{TOKENIZER_FILE}: words: should each stand once, and none be empty")
        return cls(words)

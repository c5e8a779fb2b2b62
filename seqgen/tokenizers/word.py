"""One id a word, a run of white space or a punctuation character; unseen ones share one `<unk>`.

The split is our own because it loses nothing: a text's pieces, joined, are the text. Combining marks and joiners belong
to the word that they stand in, so that it is one piece in NFD, in Devanagari, in Persian. A Hangul word is an eojeol.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import regex
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
    without_surrogates,
)
from seqgen.tokenizers.config import ENOUGH, LARGEST, SMALLEST, Normalization, TokenizerConfig

UNKNOWN = 1
FIRST = 2  # the boundary and <unk> come before the pieces
DEFAULT_VOCAB_SIZE = 10_000
LONG_WORD_CHARACTERS = 1_000_000
"""Characters over which what has no white space is not held together when it is read from a stream."""

Version = Literal[1, 2]
LATEST: Version = 2
_WORD = r"[\p{L}\p{N}_][\p{L}\p{N}_\p{M}\u200c\u200d]*"  # the last two: zero-width non-joiner and joiner
_PIECE: dict[int, Any] = {
    1: re.compile(r"\w+(?:['’]\w+)*|\s+|[^\w\s]"),  # of tokenizers from before: it cuts a word at each mark
    2: regex.compile(rf"{_WORD}(?:['’]{_WORD})*|\s+|.", regex.DOTALL),
}


def split(text: str, version: Version = LATEST) -> Iterator[str]:
    """The pieces of `text`: words (don't is one), runs of white space, and all else by the character."""
    return (match[0] for match in _PIECE[version].finditer(text))


def _is_cut(text: str, place: int) -> bool:
    return text[place - 1].isspace() and not text[place].isspace()


class WordFile(TokenizerFile):
    """`tokenizer.json` of a word tokenizer."""

    kind: Literal["word"]
    split: Version = 1
    words: list[str] = Field(min_length=1)


class WordTokenizer(Tokenizer):
    """The most frequent pieces of the training text, in that order, behind the boundary and `<unk>`."""

    kind = "word"
    unknown_id = UNKNOWN

    def __init__(
        self, words: Sequence[str], normalization: Normalization = "none", split_version: Version = LATEST
    ) -> None:
        super().__init__(normalization)
        self._split_version = split_version
        self.words = tuple(words)
        self.id_to_bytes = (b"", REPLACEMENT.encode(), *(word.encode() for word in self.words))
        self._ids = {word: FIRST + rank for rank, word in enumerate(self.words)}

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        if isinstance(config.vocab_size, int) and config.vocab_size <= FIRST:
            raise ConfigError(f"vocab_size: a word tokenizer needs at least {FIRST + 1}, not {config.vocab_size}")
        counts: Counter[str] = Counter()
        for document in not_empty(documents, config.normalization):
            counts.update(split(document))
        if config.vocab_size == "auto":
            enough = FIRST + sum(count >= ENOUGH for count in counts.values())
            vocab_size = min(max(enough, SMALLEST), LARGEST)
        else:
            vocab_size = config.vocab_size or DEFAULT_VOCAB_SIZE
        # Words seen once become <unk>: they are the only place where a model can learn what surrounds an unseen word.
        # A text too small to repeat anything keeps what it has.
        words = [word for word, count in counts.items() if count > 1] or list(counts)
        words.sort(key=lambda word: (-counts[word], word))
        return cls(words[: vocab_size - FIRST], config.normalization)

    def _encode(self, text: str) -> Ids:
        id_of, pieces = self._ids.get, split(without_surrogates(text), self._split_version)
        return np.fromiter((id_of(piece, UNKNOWN) for piece in pieces), dtype=np.int32)

    def _find_unknown(self, text: str) -> Counter[str]:
        return Counter(piece for piece in split(text, self._split_version) if piece not in self._ids)

    def _spell(self, text: str) -> list[str]:
        return list(split(text, self._split_version))

    def split_point(self, text: str) -> int:
        """After the last white space before a piece; a word of a million characters is cut as it comes."""
        place = next((place for place in range(len(text) - 1, 0, -1) if _is_cut(text, place)), 0)
        return place or (self._character_cut(text) if len(text) > LONG_WORD_CHARACTERS else 0)

    def unk_cost(self, piece: str) -> float:
        """The word's UTF-8 bytes and an end mark, each one of 257 equally likely symbols."""
        return (len(piece.encode()) + 1) * math.log(257)

    def to_files(self) -> dict[str, bytes]:
        version = {} if self._split_version == 1 else {"split": self._split_version}
        return {TOKENIZER_FILE: self._to_json(**version, words=self.words)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        described = read_json(files, WordFile)
        words = described.words
        if len(set(words)) < len(words) or "" in words:
            raise TokenizerError(f"{TOKENIZER_FILE}: words: should each stand once, and none be empty")
        return cls(words, described.normalization, described.split)

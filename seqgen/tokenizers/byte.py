"""One id a byte of UTF-8: any text, 257 ids, nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

import numpy as np

from seqgen.errors import ConfigError
from seqgen.tokenizers.base import (
    TOKENIZER_FILE,
    Ids,
    Tokenizer,
    TokenizerFile,
    not_empty,
    read_json,
    without_surrogates,
)
from seqgen.tokenizers.config import TokenizerConfig

FIRST = 1  # the boundary comes before the bytes


class ByteFile(TokenizerFile):
    """`tokenizer.json` of a byte tokenizer."""

    kind: Literal["byte"]


class ByteTokenizer(Tokenizer):
    """Byte b is id b + 1."""

    kind = "byte"
    pieces = (b"", *(bytes([byte]) for byte in range(256)))

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        """There is nothing to learn; an empty text is refused as for every kind."""
        if config.vocab_size is not None:
            raise ConfigError("vocab_size: a byte tokenizer always has 257 ids; leave it out")
        next(not_empty(documents))
        return cls(config.normalization)

    def _cut(self, text: str) -> Ids:
        utf8 = np.frombuffer(without_surrogates(text).encode(), dtype=np.uint8)
        return np.add(utf8, FIRST, dtype=np.int32)

    def cut(self, text: str) -> int:
        return self._character_cut(text)

    def to_files(self) -> dict[str, bytes]:
        return {TOKENIZER_FILE: self._to_json()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        return cls(read_json(files, ByteFile).normalization)

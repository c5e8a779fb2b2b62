"""One id for each byte of UTF-8, or with `raw` for each byte of a file: 257 ids, nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

import numpy as np

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import TOKENIZER_FILE, Ids, Tokenizer, TokenizerFile, not_empty, read_json
from seqgen.tokenizers.config import Normalization, TokenizerConfig
from seqgen.utils.text import without_surrogates

FIRST_ID = 1  # the boundary comes before the bytes


class ByteFile(TokenizerFile):
    """`tokenizer.json` of a byte tokenizer."""

    kind: Literal["byte"]
    raw: bool = False


class ByteTokenizer(Tokenizer):
    """Byte b is id b + 1.

    Args:
        normalization: the Unicode form that texts are brought into.
        raw: the character U+00b is byte b, as `--encoding bytes` reads a file, and not UTF-8.
    """

    kind = "byte"
    id_to_bytes = (b"", *(bytes([byte]) for byte in range(256)))

    def __init__(self, normalization: Normalization = "none", *, raw: bool = False) -> None:
        super().__init__(normalization)
        self.text_encoding = "latin-1" if raw else "utf-8"

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        """Return the tokenizer: it learns nothing, but refuses an empty text as every kind does."""
        if config.vocab_size is not None:
            raise ConfigError("vocab_size: a byte tokenizer always has 257 ids; leave it out")
        next(not_empty(documents))
        return cls(config.normalization, raw=config.raw)

    def _encode(self, text: str) -> Ids:
        try:
            content = without_surrogates(text).encode(self.text_encoding)
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"this tokenizer reads bytes, each as a character U+0000 to U+00FF, and {text[error.start]!r} is not a "
                "byte; give the bytes of the text: text.encode().decode('latin-1')"
            ) from error
        return np.add(np.frombuffer(content, dtype=np.uint8), FIRST_ID, dtype=np.int32)

    def split_point(self, text: str) -> int:
        return self._character_split_point(text)

    def to_files(self) -> dict[str, bytes]:
        return {TOKENIZER_FILE: self._to_json(raw=self.text_encoding == "latin-1")}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        file = read_json(files, ByteFile)
        return cls(file.normalization, raw=file.raw)

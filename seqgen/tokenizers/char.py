"""One id for each character (Unicode code point); unseen characters share one `<unk>`."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import (
    FIRST_ID,
    TOKENIZER_FILE,
    UNICODE_SCALARS,
    UNKNOWN_ID,
    Ids,
    Tokenizer,
    TokenizerFile,
    not_empty,
    read_json,
)
from seqgen.tokenizers.config import Normalization, TokenizerConfig
from seqgen.utils.text import REPLACEMENT

CALL_CHARACTERS = 1 << 16
"""Characters for one numpy call: their code points stay in the processor's cache, and memory stays flat."""


class CharFile(TokenizerFile):
    """`tokenizer.json` of a char tokenizer."""

    kind: Literal["char"]
    characters: str = Field(min_length=1)


class CharTokenizer(Tokenizer):
    """The characters of the training text, in code point order, after the boundary and `<unk>`."""

    kind = "char"
    unknown_id = UNKNOWN_ID

    def __init__(self, characters: Sequence[str], normalization: Normalization = "none") -> None:
        super().__init__(normalization)
        self.characters = tuple(characters)
        self.id_to_bytes = (b"", REPLACEMENT.encode(), *(character.encode() for character in self.characters))
        # A table looks up 540 MB/s on one core, a dict 23. The last entry is for all larger code points.
        code_points = [ord(character) for character in self.characters]
        self._table = np.full(max(*code_points, ord(REPLACEMENT)) + 2, UNKNOWN_ID, dtype=np.int32)
        self._table[code_points] = np.arange(FIRST_ID, len(self.id_to_bytes))
        self._table[0xD800:0xE000] = self._table[ord(REPLACEMENT)]  # lone surrogates

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        if config.vocab_size is not None:
            raise ConfigError("vocab_size: a char tokenizer has one id for each character of the text; leave it out")
        seen = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
        for document in not_empty(documents, config.normalization):
            for code_points in _code_points(document):
                seen[code_points] = True
        characters = [chr(code_point) for code_point in np.flatnonzero(seen).tolist()]
        return cls(characters, config.normalization)

    def _encode(self, text: str) -> Ids:
        ids = np.empty(len(text), dtype=np.int32)
        start = 0
        for code_points in _code_points(text):
            stop = start + len(code_points)
            np.take(self._table, code_points, out=ids[start:stop], mode="clip")
            start = stop
        return ids

    def _token_texts(self, text: str) -> list[str]:
        return list(text)

    def split_point(self, text: str) -> int:
        return self._character_split_point(text)

    def _find_unknown(self, text: str) -> Counter[str]:
        return Counter(text[place] for place in np.flatnonzero(self._encode(text) == UNKNOWN_ID).tolist())

    def unk_cost(self, piece: str) -> float:
        """Return ln of how many code points are not in the vocabulary: all are equally likely."""
        del piece
        return math.log(UNICODE_SCALARS - len(self.characters))

    def to_files(self) -> dict[str, bytes]:
        return {TOKENIZER_FILE: self._to_json(characters="".join(self.characters))}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        file = read_json(files, CharFile)
        if any(before >= after for before, after in pairwise(file.characters)):
            raise TokenizerError(f"{TOKENIZER_FILE}: characters: each must occur once, in code point order")
        return cls(file.characters, file.normalization)


def _code_points(text: str) -> Iterator[npt.NDArray[np.uint32]]:
    """Yield the code points of `text`, `CALL_CHARACTERS` at a time."""
    for start in range(0, len(text), CALL_CHARACTERS):
        yield np.frombuffer(text[start : start + CALL_CHARACTERS].encode("utf-32-le", "surrogatepass"), dtype="<u4")

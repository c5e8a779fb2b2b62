"""Say which unknown piece an `<unk>` is, in equally likely symbols: at exactly the price of `Tokenizer.unk_cost`."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer

Symbol = tuple[int, int]
"""A number, and how many numbers are equally likely."""


class Spelling(ABC):
    """The code of unknown pieces."""

    @abstractmethod
    def symbols(self, piece: str) -> list[Symbol]:
        """Return the symbols that spell an unknown piece."""

    @abstractmethod
    def read(self, decode_number: Callable[[int], int]) -> str:
        """Return the piece whose symbols `decode_number` returns, each from how many numbers are equally likely."""


class CharacterSpelling(Spelling):
    """An unknown character is one of all code points that are not in the vocabulary."""

    def __init__(self, tokenizer: CharTokenizer) -> None:
        unknown = np.ones(sys.maxunicode + 1, bool)
        unknown[[ord(character) for character in tokenizer.characters]] = False
        unknown[0xD800:0xE000] = False  # surrogates are not characters
        self._code_points = np.flatnonzero(unknown)

    def symbols(self, piece: str) -> list[Symbol]:
        return [(int(self._code_points.searchsorted(ord(piece))), len(self._code_points))]

    def read(self, decode_number: Callable[[int], int]) -> str:
        return chr(self._code_points[decode_number(len(self._code_points))])


class WordSpelling(Spelling):
    """An unknown word is its bytes in UTF-8 and an end mark."""

    END = 256

    def symbols(self, piece: str) -> list[Symbol]:
        return [(symbol, self.END + 1) for symbol in (*piece.encode(), self.END)]

    def read(self, decode_number: Callable[[int], int]) -> str:
        content = bytes(iter(lambda: decode_number(self.END + 1), self.END))
        return content.decode("utf-8", "replace")


def spelling_of(tokenizer: Tokenizer) -> Spelling | None:
    """Return the code of the tokenizer's unknown pieces; None where nothing is unknown."""
    if isinstance(tokenizer, CharTokenizer):
        return CharacterSpelling(tokenizer)
    return WordSpelling() if isinstance(tokenizer, WordTokenizer) else None

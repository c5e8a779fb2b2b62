"""Neighbors and analogies: words with similar vectors, by the cosine of the angle between them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqgen.embeddings.vectors import Matrix, WordVectors
from seqgen.errors import ConfigError, TextError
from seqgen.utils.text import plural

SPACE_SIGN = "\u2581"
"""How a word begins whose name has the space before it, as sentencepiece writes it: `▁king` is ` king`."""
HINTS = 3
"""Words of similar spelling that a message names."""


class Neighbor(NamedTuple):
    """A word, and the cosine of the angle between its vector and another."""

    word: str
    similarity: float


class Analogy(NamedTuple):
    """The words of an expression such as king - man + woman."""

    added: tuple[str, ...]
    subtracted: tuple[str, ...]


class Neighbors:
    """Find the words of `vectors` that are most similar to a vector. `name` is what messages call the vectors."""

    def __init__(self, vectors: WordVectors, name: str) -> None:
        self.words = vectors.words
        self.name = name
        self.units = unit_length(vectors.vectors)
        """The vectors scaled to length 1, [V, D]; a vector of zeros stays 0."""
        self._index = vectors.index

    def find(self, word: str) -> int | None:
        """Return the row of a word, first with the space before it, else as it is; None if it is not there.

        A word that is not there as it is given is looked up in NFC, as macOS writes Hangul in NFD.
        """
        forms = dict.fromkeys([word, unicodedata.normalize("NFC", word)])
        names = [name for form in forms for name in (f"{SPACE_SIGN}{form.removeprefix(' ')}", form)]
        return next((self._index[name] for name in names if name in self._index), None)

    def find_any_case(self, word: str) -> int | None:
        """Return the row of a word as it is, else of the first word that differs in case alone; None without one."""
        row = self.find(word)
        return self._folded.get(_fold(word)) if row is None else row

    def row(self, word: str) -> int:
        """Return the row of a word.

        Raises:
            TextError: it is not in the vocabulary; the message names words of similar spelling.
        """
        row = self.find(word)
        if row is None:
            hints = self.similar_spellings(word)
            hint = f"; did you mean {' or '.join(hints)}?" if hints else ""
            raise TextError(f"{word!r} is not among the {plural(len(self.words), 'word')} of {self.name}{hint}")
        return row

    def similar_spellings(self, word: str) -> list[str]:
        """Return the words that are spelled most like `word`, whatever their case, the most similar first."""
        return [
            self.words[self._folded[name]] for name in difflib.get_close_matches(_fold(word), self._folded, n=HINTS)
        ]

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of the angle between the vectors of two words; errors as of `row`."""
        return float(self.units[self.row(first)] @ self.units[self.row(second)])

    def nearest(self, word: str, count: int) -> list[Neighbor]:
        """Return the `count` words most similar to `word`, without itself.

        Raises:
            TextError: it is not in the vocabulary, is the only word there, or its vector is 0.
        """
        row = self.row(word)
        if not self.units[row].any():
            raise TextError(f"the vector of {word!r} is 0, which is similar to no other; use another word")
        return self.named(self.around(row, count))

    def around(self, row: int, count: int) -> list[tuple[int, float]]:
        """Return the `count` rows most similar to `row`, without itself, with their similarities."""
        return self._most_similar(self.units[row], count, {row})

    def named(self, rows: Sequence[tuple[int, float]]) -> list[Neighbor]:
        """Return the word of each row, with its similarity."""
        return [Neighbor(self.words[row], similarity) for row, similarity in rows]

    def solve(self, analogy: Analogy, count: int) -> list[Neighbor]:
        """Return the `count` words most similar to the sum of an analogy's vectors, each of length 1.

        This is 3CosAdd (Mikolov et al. 2013). The words of the analogy are left out, in every case.

        Raises:
            TextError: a word is not in the vocabulary, there are no other words, or the sum is 0.
        """
        added, subtracted = ([self.row(word) for word in words] for words in analogy)
        target = self.units[added].sum(0) - self.units[subtracted].sum(0)
        if not target.any():
            raise TextError("the vectors of the analogy cancel out: their sum is 0; use other words")
        excluded = np.flatnonzero(np.isin(self.case_groups, self.case_groups[[*added, *subtracted]]))
        return self.named(self._most_similar(unit_length(target[None])[0], count, excluded.tolist()))

    def _most_similar(
        self, vector: npt.NDArray[np.float32], count: int, excluded: Collection[int]
    ) -> list[tuple[int, float]]:
        similarities = self.units @ vector
        similarities[list(excluded)] = -np.inf
        kept = min(count, len(self.words) - len(excluded))
        if count and not kept:
            raise TextError(f"{self.name} has no other word, so none can be similar; use vectors of more words")
        least = np.partition(similarities, -kept)[-kept]
        best = np.flatnonzero(similarities >= least)
        best = best[np.argsort(-similarities[best], kind="stable")][:kept]
        return [(row, float(similarities[row])) for row in best.tolist()]

    @cached_property
    def case_groups(self) -> npt.NDArray[np.int32]:
        """Number the words: those that differ in case alone, or in the space before them, share a number.

        Returns:
            int32 [V].
        """
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(_fold(word), len(numbers)) for word in self.words], np.int32)

    @cached_property
    def _folded(self) -> dict[str, int]:
        """The first row of each word, by the word without its case and the space before it."""
        rows: dict[str, int] = {}
        for row, word in enumerate(self.words):
            rows.setdefault(_fold(word), row)
        return rows


def _fold(word: str) -> str:
    """Return a word without its case and the space before it, in NFC."""
    return unicodedata.normalize("NFC", word.removeprefix(SPACE_SIGN)).casefold()


def unit_length(vectors: Matrix) -> Matrix:
    """Return vectors [N, D] scaled to length 1; a vector of zeros stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def parse_analogy(expression: Sequence[str]) -> Analogy:
    """Read an expression such as `king - man + woman`, in one string or several.

    Raises:
        ConfigError: it is not words with + or - between them.
    """
    parts = [part for piece in expression for part in piece.split()]
    signs = {"+": "+", "-": "-", "\u2212": "-", "\u2013": "-"}  # also the minus sign and the dash
    added: list[str] = []
    subtracted: list[str] = []
    sign = "+"
    for place, part in enumerate(parts):
        if place % 2 == 0 and part not in signs:
            (added if sign == "+" else subtracted).append(part)
        elif place % 2 == 1 and part in signs:
            sign = signs[part]
        else:
            break
    if len(parts) != 2 * (len(added) + len(subtracted)) - 1 or len(parts) < 3:
        raise ConfigError(
            f"{' '.join(parts)!r} is not an analogy; write words with + or - between them, and spaces around these: "
            "king - man + woman"
        )
    return Analogy(tuple(added), tuple(subtracted))

"""Unicode normalization of whole texts and of texts that come in pieces. No torch, no numpy.

A piece may be normalized apart from what follows it where it ends at a boundary: before a character that attaches to
nothing. After a newline there is always one, as nothing composes with a newline.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from seqgen.tokenizers.config import Normalization

_FIRST_MARK = "\u0300"  # below it nothing attaches
_VOWELS_AND_FINALS = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
"""The jamo that compose with what stands before them, by arithmetic rather than by a table."""


def normalize(text: str, normalization: Normalization) -> str:
    """`text` in the form that `normalization` names; none leaves it as it is."""
    match normalization:
        case "none":
            return text
        case "nfc":
            return unicodedata.normalize("NFC", text)
        case "nfd":
            return unicodedata.normalize("NFD", text)


@lru_cache(maxsize=1 << 14)
def attaches(character: str) -> bool:
    """Whether normalization may compose `character` with one that stands before it, or move it across that."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) > 0 or first in _VOWELS_AND_FINALS or first in _seconds()


def last_boundary(text: str) -> int:
    """The last place at which `text` may be cut, and its parts normalized apart, whatever follows it; 0 if none is.

    Both parts, normalized and joined, are then the whole, normalized, in every form.
    """
    for place in range(len(text) - 1, 0, -1):
        if text[place] < _FIRST_MARK or not attaches(text[place]):
            return place
    return 0


def changed_characters(text: str) -> int:
    """How many characters of `text` stand where NFC changes it: a letter and its marks count together.

    Of texts that are cut at boundaries the counts add up.
    """
    return sum(
        len(stretch)
        for line in text.splitlines(keepends=True)
        if not unicodedata.is_normalized("NFC", line)
        for stretch in _stretches(line)
        if not unicodedata.is_normalized("NFC", stretch)
    )


class Composer:
    """NFC of a text that comes in pieces; what it gives in all is the NFC of the whole."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def push(self, piece: str) -> str:
        """What `piece` completes: all up to the last boundary; with the rest a character to come may compose."""
        place = last_boundary(piece)
        rest = piece[place:]
        if not rest or attaches(rest[0]):  # there is no boundary in it
            self._held.append(rest)
            return ""
        released = "".join([*self._held, piece[:place]])
        self._held = [rest]
        return unicodedata.normalize("NFC", released)

    def flush(self) -> str:
        """What was still held back."""
        released, self._held = "".join(self._held), []
        return unicodedata.normalize("NFC", released)


def composed(pieces: Iterable[str]) -> Iterator[str]:
    """Pieces of a text as pieces of its NFC, composed where two of them meet."""
    composer = Composer()
    for piece in pieces:
        yield composer.push(piece)
    yield composer.flush()


def _stretches(text: str) -> Iterator[str]:
    """`text` cut at every boundary."""
    start = 0
    for place in range(1, len(text)):
        if text[place] < _FIRST_MARK or not attaches(text[place]):
            yield text[start:place]
            start = place
    yield text[start:]


@cache
def _seconds() -> frozenset[str]:
    """Every character that is the second of a canonical decomposition, in this Python's version of Unicode."""
    decompositions = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    return frozenset(chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<")

"""Unicode normalization of whole texts and of texts that come in pieces. No torch, no numpy.

A piece may be normalized apart from what follows it where it ends at a boundary: before a character that attaches to
nothing, and after one that nothing attaches to, as white space is.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from seqgen.tokenizers.config import Normalization

_FIRST_MARK = "\u0300"  # below it nothing attaches
STRIDE = 64
"""Characters that are looked at together, where a place is looked for that few of them hold."""
_NOTHING_ATTACHES_TO = "\u2581"  # beside white space: sentencepiece's sign for it
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


def last_boundary(text: str, end: int | None = None) -> int:
    """The last place at which `text` may be cut, and its parts normalized apart, whatever follows it; 0 if none is.

    Both parts, normalized and joined, are then the whole, normalized, in every form. With `end`, the last place that is
    no further on.
    """
    for place in range(len(text) - 1 if end is None else end, 0, -1):
        if text[place] < _FIRST_MARK or not attaches(text[place]):
            return place
    return 0


def last_multiple(text: str, length: int, normalization: Normalization) -> int:
    """The last boundary in `text` up to which it has, normalized, a multiple of `length` characters; 0 if none has."""
    if normalization == "none":
        return len(text) // length * length
    place = last_boundary(text)
    size = len(normalize(text[:place], normalization))
    while place and size % length:
        begin = last_boundary(text, max(place - STRIDE, 0))
        before = size - len(normalize(text[begin:place], normalization))
        at, so_far, found = begin, before, 0
        for stretch in _stretches(text[begin:place]) if before // length < size // length else ():
            at, so_far = at + len(stretch), so_far + len(normalize(stretch, normalization))
            found = found if so_far % length else at
        if found:
            return found
        place, size = begin, before
    return place


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
        before = text[place - 1]
        if text[place] < _FIRST_MARK or not attaches(text[place]) or before.isspace() or before in _NOTHING_ATTACHES_TO:
            yield text[start:place]
            start = place
    yield text[start:]


@cache
def _seconds() -> frozenset[str]:
    """Every character that is the second of a canonical decomposition, in this Python's version of Unicode."""
    decompositions = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    return frozenset(chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<")

"""Unicode normalization of whole texts and of texts that come in chunks. No torch, no numpy.

A text may be cut at a normalization boundary, and both parts normalized apart: before a character that does not combine
with those before it, and after one with which nothing combines, such as white space.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from seqgen.tokenizers.config import Normalization

_FIRST_MARK = "\u0300"  # below it nothing combines
SEARCH_CHARACTERS = 64
"""Characters that are normalized at once in a search for a place that few of them have."""
_NOTHING_COMBINES_WITH = "\u2581"  # besides white space: sentencepiece's sign for it
_VOWELS_AND_FINALS = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
"""The jamo that compose with those before them, by arithmetic rather than by a table."""


def normalize(text: str, normalization: Normalization) -> str:
    """Return `text` in the form that `normalization` names; `none` leaves it as it is."""
    match normalization:
        case "none":
            return text
        case "nfc":
            return unicodedata.normalize("NFC", text)
        case "nfd":
            return unicodedata.normalize("NFD", text)


@lru_cache(maxsize=1 << 14)
def combines_with_previous(character: str) -> bool:
    """Return whether normalization may compose `character` with one before it, or move it across that."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) > 0 or first in _VOWELS_AND_FINALS or first in _second_characters()


def last_normalization_boundary(text: str, end: int | None = None) -> int:
    """Return the last boundary in `text`, whatever follows it, or 0 if it has none.

    Both parts, normalized and joined, are the whole, normalized, in every form. With `end`, look no further.
    """
    for place in range(len(text) - 1 if end is None else end, 0, -1):
        if text[place] < _FIRST_MARK or not combines_with_previous(text[place]):
            return place
    return 0


def last_boundary_at_multiple(text: str, length: int, normalization: Normalization) -> int:
    """Return the last boundary before which `text`, normalized, has a multiple of `length` characters, or 0."""
    if normalization == "none":
        return len(text) // length * length
    place = last_normalization_boundary(text)
    size = len(normalize(text[:place], normalization))
    while place and size % length:
        begin = last_normalization_boundary(text, max(place - SEARCH_CHARACTERS, 0))
        before = size - len(normalize(text[begin:place], normalization))
        at, so_far, found = begin, before, 0
        for part in _split_at_boundaries(text[begin:place]) if before // length < size // length else ():
            at, so_far = at + len(part), so_far + len(normalize(part, normalization))
            found = found if so_far % length else at
        if found:
            return found
        place, size = begin, before
    return place


def count_changed_characters(text: str) -> int:
    """Return how many characters of `text` are where NFC changes it: a letter and its marks count together.

    Of texts that are cut at boundaries the counts add up.
    """
    return sum(
        len(part)
        for line in text.splitlines(keepends=True)
        if not unicodedata.is_normalized("NFC", line)
        for part in _split_at_boundaries(line)
        if not unicodedata.is_normalized("NFC", part)
    )


class StreamComposer:
    """NFC of a text that comes in chunks: all that it returns, joined, is the NFC of the whole."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def push(self, chunk: str) -> str:
        """Return what `chunk` completes: all up to the last boundary. The rest may compose with the next chunk."""
        place = last_normalization_boundary(chunk)
        rest = chunk[place:]
        if not rest or combines_with_previous(rest[0]):  # it has no boundary
            self._held.append(rest)
            return ""
        released = "".join([*self._held, chunk[:place]])
        self._held = [rest]
        return unicodedata.normalize("NFC", released)

    def flush(self) -> str:
        """Return what was still held back."""
        released, self._held = "".join(self._held), []
        return unicodedata.normalize("NFC", released)


def compose_chunks(chunks: Iterable[str]) -> Iterator[str]:
    """Yield chunks of a text as chunks of its NFC, composed where two of them meet."""
    composer = StreamComposer()
    for chunk in chunks:
        yield composer.push(chunk)
    yield composer.flush()


def _split_at_boundaries(text: str) -> Iterator[str]:
    start = 0
    for place in range(1, len(text)):
        before = text[place - 1]
        if (
            text[place] < _FIRST_MARK
            or not combines_with_previous(text[place])
            or before.isspace()
            or before in _NOTHING_COMBINES_WITH
        ):
            yield text[start:place]
            start = place
    yield text[start:]


@cache
def _second_characters() -> frozenset[str]:
    """Return every character that is the second of a canonical decomposition, in this Python's version of Unicode."""
    found = filter(None, map(unicodedata.decomposition, map(chr, range(sys.maxunicode + 1))))
    pairs = (parts for parts in map(str.split, found) if len(parts) == 2 and parts[0][0] != "<")
    return frozenset(chr(int(second, 16)) for _, second in pairs)

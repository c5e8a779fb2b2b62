"""A stream of text, cut only between graphemes: what a reader takes for one character is never shown in halves.

A flag is two code points, a family of emoji seven, a Hangul syllable up to three. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex

LONGEST = 256
"""Code points of a grapheme that are held back at most: a model may put marks on a letter for ever."""

_GRAPHEME = regex.compile(r"\X")


def whole_graphemes(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces that end where an extended grapheme cluster (UAX 29) does.

    Only the last one is held back: the rules look ahead by one character, so every other end is certain.
    """
    held = ""
    for piece in pieces:
        held += piece
        start = held.rfind("\n") + 1  # after a newline a grapheme always begins
        end = max((match.start() for match in _GRAPHEME.finditer(held, start)), default=start)
        if len(held) - end > LONGEST:
            end = len(held)
        if end:
            yield held[:end]
        held = held[end:]
    if held:
        yield held

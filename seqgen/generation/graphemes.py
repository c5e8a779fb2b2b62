"""Cut a stream of text only between graphemes, so that no visible character is ever shown in parts.

A flag is two code points, a family emoji seven, a Hangul syllable up to three. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex

MAX_HELD = 256
"""The most code points that are held back: a model may put combining marks on a letter forever."""

_GRAPHEME = regex.compile(r"\X")


def whole_graphemes(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same text in pieces that end where an extended grapheme cluster (UAX 29) ends.

    Only the last cluster is held back: the rules look ahead by one character, so all other ends are certain.
    """
    held = ""
    for piece in pieces:
        held += piece
        start = held.rfind("\n") + 1  # after a newline a grapheme always begins
        end = max((match.start() for match in _GRAPHEME.finditer(held, start)), default=start)
        if len(held) - end > MAX_HELD:
            end = len(held)
        if end:
            yield held[:end]
        held = held[end:]
    if held:
        yield held

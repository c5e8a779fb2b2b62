"""Write numbers in sentences, tell characters of words, and replace what UTF-8 cannot hold."""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\ufffd"
_JOINING = f"_\u200c\u200d{REPLACEMENT}"
"""Besides letters, numbers and marks: `_`, the zero-width non-joiner and joiner, and U+FFFD."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def plural(number: int, one: str, several: str | None = None) -> str:
    """Return a number, with commas between thousands, and what it counts: `1 thread`, `1,404 steps`.

    The plural ends in s unless `several` is given.
    """
    return f"{number:,} {singular_or_plural(number, one, several or f'{one}s')}"


def singular_or_plural(number: int, one: str, several: str) -> str:
    """Return the form that goes with a number, such as `is` or `are`."""
    return one if number == 1 else several


def is_in_word(character: str) -> bool:
    """Return whether a character may be inside a word: a letter, number, mark, joiner or `_`, or U+FFFD.

    U+FFFD is what is left of a character of which only some bytes are known.
    """
    return character != "" and (character in _JOINING or unicodedata.category(character)[0] in "LNM")


def without_surrogates(text: str) -> str:
    """Return `text` with each lone surrogate, which UTF-8 cannot hold, as U+FFFD."""
    return replace_surrogates(text)[0]


def replace_surrogates(text: str, replacement: str = REPLACEMENT) -> tuple[str, int]:
    """Replace lone surrogates, which UTF-8 cannot hold; return the text and their number."""
    return (text, 0) if text.isascii() else _SURROGATE.subn(replacement, text)

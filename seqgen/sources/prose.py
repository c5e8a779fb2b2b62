"""Detect that the lines of a text are cut out of sentences, so that a line should not be a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

CUT_SHARE = 0.2
"""Share of the lines that end within a sentence from which a text reads as prose: 27% of a play in verse, 37% of a
license, 94% of wrapped prose; 17% of Python code, 4% of tweets in lower case, 0% of sentences, one per line.
"""
MIN_LINES = 20
MIN_WORDS = 3
"""Mean number of words of a line: names have fewer, whatever they end with."""
_WIDTH_PERCENTILE = 0.98
_SENTENCE_END = re.compile(r"""[.!?…。！？]["'”’»」』)\]]*\s*\Z""")


def describe_prose(passages: Iterable[Sequence[str]]) -> str | None:
    """Return what lines that are documents seem to be if they are cut out of sentences, for a message; else None.

    Args:
        passages: lines that follow one another, from several places of a text.
    """
    known = list(passages)
    lines = [line for passage in known for line in passage]
    if len(lines) < MIN_LINES or sum(len(line.split()) for line in lines) < MIN_WORDS * len(lines):
        return None
    width = sorted(map(len, lines))[int(_WIDTH_PERCENTILE * len(lines))]
    cut = sum(_ends_within_sentence(line, after, width) for passage in known for line, after in pairwise(passage))
    share = cut / len(lines)
    if share < CUT_SHARE:
        return None
    return (
        f"reads as prose: {share:.0%} of its lines end within a sentence, and so do its documents; leave "
        "--documents line out, or give --documents paragraph"
    )


def _ends_within_sentence(line: str, after: str, width: int) -> bool:
    """Return whether a line ends in a comma or semicolon, or was wrapped.

    A line was wrapped if it does not end a sentence, and the next one does not begin in upper case and its first word
    had no room in the line.
    """
    if line.rstrip().endswith((",", ";")):
        return True
    if _SENTENCE_END.search(line):
        return False
    word = after.split(maxsplit=1)[0]
    return word[0].isalpha() and not word[0].isupper() and len(line) + 1 + len(word) > width

"""Cut text into lines, which end at LF, CRLF or CR and nowhere else.

`str.splitlines` also cuts at VT, FF, FS, GS, RS, NEL, U+2028 and U+2029.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

LINE_END = re.compile(r"\r\n|\n|\r")


def with_lf(text: str) -> str:
    """Return `text` with every line end as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split_lines(text: str) -> list[str]:
    """Return the lines of `text` without their ends; the last is empty if the text ends with a line end."""
    return with_lf(text).split("\n")


def lines_with_ends(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text that comes in chunks, each with its end as it is."""
    return chain.from_iterable(lines_by_chunk(chunks))


def lines_by_chunk(chunks: Iterable[str]) -> Iterator[Iterable[str]]:
    """Yield the lines that each chunk of a text completes, with their ends as they are, before the next chunk is read.

    The last line may have no end.
    """
    held: list[str] = []
    for chunk in chunks:
        if held and held[-1].endswith("\r"):  # the LF of a CRLF may come next
            held[-1] += chunk
        else:
            held.append(chunk)
        if cut := last_line_start(held[-1]):
            rest, held[-1] = held[-1][cut:], held[-1][:cut]
            yield io.StringIO("".join(held), newline="")
            held = [rest]
    yield io.StringIO("".join(held), newline="")


def last_line_start(text: str) -> int:
    """Return the last position after a line end that more text cannot change; 0 if there is none.

    A CR at the end of `text` may be the first half of a CRLF.
    """
    end = len(text) - text.endswith("\r")
    return max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1


def next_line_start(text: str, position: int = 0) -> int | None:
    """Return the position after the first line end at `position` or later; None if there is none."""
    match = LINE_END.search(text, position)
    return None if match is None else match.end()

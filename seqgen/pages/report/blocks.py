"""The blocks that a report is made of, as the page's script draws them: figures, tables, texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Block = dict[str, Any]
LONGEST_LINE = 300
"""Characters of a line that the table of the strangest lines shows."""


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    title: str
    about: str
    """What it shows, in a sentence or two."""
    blocks: list[Block]


def figure(name: str, value: float | None, form: str) -> Block:
    """Return a figure, shown as the format string `form` says."""
    return {"name": name, "value": value, "shown": "" if value is None else form.format(value)}


def table_block(columns: Sequence[str], rows: Iterable[Sequence[str]], *, folded: str = "", words: int = 1) -> Block:
    """Return a table; the first `words` columns are text, the others numbers. `folded` is the name of a folded one."""
    return {"kind": "table", "columns": list(columns), "rows": [list(row) for row in rows], "folded": folded,
            "words": words}  # fmt: skip


def cut_line(line: str) -> str:
    """Return a line, cut to `LONGEST_LINE` characters."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def printable_sample(text: str, *, raw: bool) -> str:
    """Return text whose control characters, and of raw text all bytes but ASCII, are escaped."""
    return "".join(
        char if char == "\n" or (char.isprintable() and not (raw and char > "~")) else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )

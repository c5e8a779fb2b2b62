"""Draw words as points with their names in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from seqgen.pages.visible import show_invisible

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.embeddings.projection import Projection

WIDEST = 110
"""Columns of the map in a wider terminal, or in a pipe."""
HEIGHT = 30
"""Lines of the map."""
NAMED, OTHER = "bold red", "blue"


def print_map(console: Console, projection: Projection) -> None:
    """Print words as points, each with its name if there is room, and the names that had none below."""
    lines, hidden = map_lines(projection, min(console.width, WIDEST), ascii_only=console.options.ascii_only)
    for line in lines:
        console.print(line, soft_wrap=True)
    if hidden:
        console.print(Text(f"without room for their names: {', '.join(hidden)}", "dim"), soft_wrap=True)


def map_lines(projection: Projection, width: int, *, ascii_only: bool = False) -> tuple[list[Text], list[str]]:
    """Return the lines of a map `width` columns wide, and the names that have no room.

    A named word has another sign than the others, so that they differ without color too.
    """
    from seqgen.embeddings.projection import place_labels

    names = [_spell(word, ascii_only=ascii_only) for word in projection.words]
    low, range_ = projection.points.min(0), np.ptp(projection.points, axis=0)
    shares = (projection.points - low) / np.where(range_ > 0, range_, 1)
    cells = np.rint(np.stack([shares[:, 0] * (width - 1), (1 - shares[:, 1]) * (HEIGHT - 1)], axis=1)).astype(int)
    widths = [cell_len(name) for name in names]
    odd = [(size + 1 - size % 2, 1) for size in widths]  # so that a label above its point begins at a column
    places = place_labels(cells + 0.5, odd, (width, HEIGHT), (0.5, 0.5))
    rows = [[(" ", "")] * width for _ in range(HEIGHT)]
    signs = "#*" if ascii_only else "◆•"
    for number in reversed(range(len(names))):
        column, row = cells[number].tolist()
        is_named = number < projection.named
        style = NAMED if is_named else OTHER
        rows[row][column] = (signs[0] if is_named else signs[1], style)
        place = places[number]
        if place is not None:
            left, top = (round(value) for value in place)
            if left < column:  # next to the point, where a blank was added
                left += odd[number][0] - widths[number] if top == row else 0
            _write(rows[top], left, names[number], style)
    hidden = [name for name, place in zip(names, places, strict=True) if place is None]
    lines = [Text.assemble(*row) for row in rows]
    for line in lines:
        line.rstrip()
    return lines, hidden


def _write(row: list[tuple[str, str]], column: int, name: str, style: str) -> None:
    """Write a name into the cells of a row; a wide character takes two cells, and a combining one none."""
    for char in name:
        size = cell_len(char)
        if size == 0:
            before, own = row[column - 1]
            row[column - 1] = (before + char, own)
            continue
        row[column : column + size] = [(char, style), *[("", "")] * (size - 1)]
        column += size


def _spell(word: str, *, ascii_only: bool) -> str:
    """Return a word with signs for its invisible characters, in ASCII if the terminal has no others."""
    name = show_invisible(word)
    return name.encode("ascii", "backslashreplace").decode() if ascii_only else name

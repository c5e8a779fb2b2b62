"""Draw attention as a map of shaded characters, for a terminal or a plain text file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import regex
from rich.cells import cell_len, set_cell_size

from seqgen.pages.attention import UNKNOWN_NOTE, AttentionExample

SHADES = {"░": 0.05, "▒": 0.25, "▓": 0.5, "█": 0.75}
"""The least weight that is drawn by each shade; a smaller one is a blank."""
_COLUMN = 2
"""Terminal cells of a column: the width of a Chinese or Korean character."""
_LONGEST = 12
"""Terminal cells of the longest token that is shown whole."""


def attention_text(example: AttentionExample, width: int) -> list[str]:
    """Return the lines of a map: a row for each target token, a column for each source token, the mean of all heads.

    The source tokens are written downwards above their columns. Columns that do not fit into `width` terminal cells
    follow below, as a second map. The line below it
    explains the shades. It has no colors, so it needs no NO_COLOR.
    """
    labels = [_shorten(token) for token in example.shown_target]
    margin = max(map(cell_len, labels))
    columns = max((width - margin - 1) // _COLUMN, 1)
    lines = []
    for start in range(0, len(example.source), columns):
        names = example.shown_source[start : start + columns]
        shades = _shade(example.mean[:, start : start + columns])
        lines += [" " * (margin + 1) + line for line in _write_downwards(names)]
        lines += [
            f"{' ' * (margin - cell_len(label))}{label} {row}".rstrip()
            for label, row in zip(labels, shades, strict=True)
        ]
        lines.append("")
    legend = ", ".join(f"{shade} from {least}" for shade, least in SHADES.items())
    return [*lines, legend, *([UNKNOWN_NOTE] if example.has_unknown else [])]


def _shade(weights: npt.NDArray[np.float64]) -> list[str]:
    """Return a string for each row of [T, S] weights."""
    levels = np.digitize(weights, list(SHADES.values()))
    drawn = [" ", *SHADES]
    return ["".join(drawn[level] * _COLUMN for level in row) for row in levels.tolist()]


def _write_downwards(tokens: list[str]) -> list[str]:
    """Return lines in which each token is a column, one grapheme in a line, its last one in the last line."""
    stacks = [regex.findall(r"\X", _shorten(token)) for token in tokens]
    height = max(map(len, stacks))
    padded = [[""] * (height - len(stack)) + stack for stack in stacks]
    return [
        "".join(set_cell_size(grapheme, _COLUMN) for grapheme in line).rstrip() for line in zip(*padded, strict=True)
    ]


def _shorten(token: str) -> str:
    return token if cell_len(token) <= _LONGEST else set_cell_size(token, _LONGEST - 1).rstrip() + "…"

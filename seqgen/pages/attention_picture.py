"""Write attention as a picture, PNG or SVG, by the optional matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen.pages.attention import UNKNOWN_NOTE, AttentionExample
from seqgen.pages.picture import require_matplotlib, save_picture

CELL = 0.22
"""Inches of a cell."""
LARGEST = 40.0
"""Inches of the longer side."""
SMALL_MAP = 1.7
"""Inches of a map among those of all heads."""


def write_attention_picture(example: AttentionExample, path: Path) -> None:
    """Write a map: a row for each target token, a column for each source token, the mean of all heads.

    Args:
        example: what is drawn.
        path: ends in .png or .svg.

    Raises:
        ConfigError: matplotlib is not installed.
        SaveError: the file could not be written.
    """
    figures = require_matplotlib()
    tokens = [*example.shown_target, *example.shown_source]
    fonts, missing = _choose_fonts({char for token in tokens for char in token})
    longest = max(map(len, tokens))
    size = [
        min(CELL * (count + 2) + 0.1 * longest, LARGEST) for count in (len(example.source) + 6, len(example.target))
    ]
    figure = figures.Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(example.mean, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="nearest")
    for axis, names in ((axes.xaxis, example.shown_source), (axes.yaxis, example.shown_target)):
        labels = [_spell(name, missing) for name in names]
        axis.set_ticks(range(len(labels)), labels, fontfamily=fonts, parse_math=False, fontsize=9)
        axis.set_tick_params(length=0)
    axes.xaxis.tick_top()
    for label in axes.get_xticklabels():
        label.set_rotation(0 if len(label.get_text()) == 1 else 90)
    if example.has_unknown:
        axes.set_xlabel(UNKNOWN_NOTE, fontsize=8, parse_math=False)
    figure.colorbar(image, ax=axes, label="attention weight")
    save_picture(figure, path)


def write_heads_picture(examples: Sequence[AttentionExample], path: Path) -> None:
    """Write the maps of all heads, small and without tokens: a row of maps for each example, a column for each head.

    Args:
        examples: one for each layer, with equal numbers of heads.
        path: ends in .png or .svg.

    Raises:
        ConfigError: matplotlib is not installed.
        SaveError: the file could not be written.
    """
    figures = require_matplotlib()
    rows, columns = len(examples), len(examples[0].heads)
    size = [min(count * SMALL_MAP + 0.4, LARGEST) for count in (columns, rows)]
    figure = figures.Figure(figsize=size, layout="constrained")
    for line, example in zip(figure.subplots(rows, columns, squeeze=False), examples, strict=True):
        for axes, head, name in zip(line, example.heads, example.names, strict=True):
            axes.imshow(head, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="nearest")
            axes.set_title(name, fontsize=8, parse_math=False)
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(example.name, fontsize=8, parse_math=False)
    save_picture(figure, path)


def _choose_fonts(characters: set[str]) -> tuple[list[str], set[str]]:
    """Return installed font families that have the characters, and the characters that none has.

    The first is matplotlib's own. Fonts without outlines, as of colored emoji, cannot be drawn; the font of last resort
    has a box for every character.
    """
    manager = require_matplotlib("matplotlib.font_manager")
    chosen = ["DejaVu Sans"]
    missing = {ord(char) for char in characters} - _codes(manager, manager.findfont(chosen[0]))
    for entry in manager.fontManager.ttflist:
        if not missing:
            break
        if not entry.name.startswith("Last Resort") and (found := missing & _codes(manager, entry.fname)):
            chosen.append(entry.name)
            missing -= found
    return chosen, {chr(code) for code in missing}


def _codes(manager: Any, path: str) -> set[int]:
    font = manager.get_font(path)
    return set(font.get_charmap()) if font.scalable else set()


def _spell(name: str, missing: set[str]) -> str:
    return "".join(f"U+{ord(char):04X}" if char in missing else char for char in name)

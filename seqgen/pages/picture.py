"""Write figures of the optional matplotlib as pictures, PNG or SVG."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

from seqgen.errors import ConfigError
from seqgen.pages.chart_file import PICTURE_SUFFIXES
from seqgen.utils.files import write_atomically

DOTS_PER_INCH = 150


def check_picture(path: Path) -> None:
    """Refuse a picture that could not be drawn, before the work for it.

    Raises:
        ConfigError: the name does not end in .png or .svg, or matplotlib is not installed.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(f"{path}: a picture is {' or '.join(PICTURE_SUFFIXES)}; change the ending of its name")
    require_matplotlib()


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure in the format of the path's ending. The same figure is always the same SVG.

    Raises:
        SaveError: the file could not be written.
    """
    content, kind = io.BytesIO(), path.suffix.lower()[1:]
    with require_matplotlib("matplotlib").rc_context({"svg.hashsalt": "seqgen"}):  # otherwise its ids are random
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(content, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
    write_atomically(path, content.getvalue())


def require_matplotlib(module: str = "matplotlib.figure") -> Any:
    """Return a module of matplotlib.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            "matplotlib, which draws pictures, is not installed; pip install 'seqgen[plot]', or write a page, NAME.html"
        ) from error


def choose_fonts(characters: set[str]) -> tuple[list[str], set[str]]:
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


def spell(name: str, missing: set[str]) -> str:
    """Return a name with the code points of characters that no font has."""
    return "".join(f"U+{ord(char):04X}" if char in missing else char for char in name)

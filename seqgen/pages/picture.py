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

"""Write charts to a file: a page or a picture, by the ending of its name. Imports neither numpy nor matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqgen.pages.chart import Chart

PAGE_SUFFIX = ".html"
PICTURE_SUFFIXES = (".png", ".svg")
CHART_SUFFIXES = (PAGE_SUFFIX, *PICTURE_SUFFIXES)
"""The endings of the files that a chart can be written to."""


def write_charts(charts: Sequence[Chart], title: str, path: Path) -> None:
    """Write charts one below another: a page with a title if `path` ends in .html, else a picture.

    Raises:
        ConfigError: the name ends in none of .html, .png and .svg, or a picture is to be drawn without matplotlib.
        SaveError: the charts are too large for a page, or the file could not be written.
    """
    if path.suffix.lower() == PAGE_SUFFIX:
        from seqgen.pages.chart import chart_page
        from seqgen.utils.files import write_atomically

        write_atomically(path, chart_page(charts, title).encode())
    else:
        from seqgen.pages.chart_picture import write_picture

        write_picture(charts, path)

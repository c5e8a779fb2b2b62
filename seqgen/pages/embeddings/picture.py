"""Write word vectors in two dimensions as a picture, PNG or SVG, by the optional matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seqgen.embeddings.projection import Projection, place_labels
from seqgen.pages.chart_picture import COLORS
from seqgen.pages.embeddings.page import describe_axes
from seqgen.pages.picture import choose_fonts, require_matplotlib, save_picture, spell
from seqgen.pages.visible import show_invisible

INCHES = (8.0, 7.0)
MARGIN = 0.06
"""The share of each side that points stay away from."""
GAP = 5.0
"""Pixels from the middle of a point to its label."""
FONT_SIZE = 8


def write_embedding_picture(projection: Projection, title: str, path: Path) -> None:
    """Write words as points with their names, where these have room.

    Args:
        projection: the words.
        title: the heading.
        path: ends in .png or .svg.

    Raises:
        ConfigError: matplotlib is not installed.
        SaveError: the file could not be written.
    """
    figures = require_matplotlib()
    canvases = require_matplotlib("matplotlib.backends.backend_agg")
    words = [show_invisible(word) for word in projection.words]
    fonts, missing = choose_fonts({char for word in [title, *words] for char in word})
    figure = figures.Figure(figsize=INCHES, layout="constrained", facecolor="white")
    canvas = canvases.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(spell(title, missing), fontsize=11, fontfamily=fonts, parse_math=False, wrap=True)
    axes.set_xlabel(describe_axes(projection), fontsize=8, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(MARGIN)
    colors = [COLORS[1] if number < projection.named else COLORS[0] for number in range(len(words))]
    axes.scatter(*projection.points.T, s=14, c=colors, zorder=2)
    canvas.draw()  # from here on the axes have their place
    labels = [
        axes.text(
            0, 0, spell(word, missing), transform=axes.transAxes, fontsize=FONT_SIZE, fontfamily=fonts, color=color,
            parse_math=False, va="bottom", ha="left",
        )
        for word, color in zip(words, colors, strict=True)
    ]  # fmt: skip
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    area = axes.get_window_extent()
    points = axes.transData.transform(projection.points) - [area.x0, area.y0]
    points[:, 1] = area.height - points[:, 1]  # down
    sizes = np.array([(box.width, box.height) for box in boxes])
    places = place_labels(points, sizes, (area.width, area.height), (GAP, GAP))
    for label, place, (_, height) in zip(labels, places, sizes.tolist(), strict=True):
        if place is None:
            label.remove()
        else:
            label.set_position((place[0] / area.width, 1 - (place[1] + height) / area.height))
    figure.set_layout_engine("none")  # or it would move the axes away from the labels
    save_picture(figure, path)

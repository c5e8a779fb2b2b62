"""Vectors in two dimensions by principal components, and labels that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.embeddings.neighbors import Neighbor, Neighbors
from seqgen.errors import ConfigError

Floats = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

MOST_WORDS = 1_000
"""Words in a picture: more of them are a cloud."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Words as points."""

    words: list[str]
    points: Floats
    """[N, 2]."""
    explained: tuple[float, float]
    """The share of the variance along each axis."""
    named: int
    """How many of the words the user named; they come first."""
    neighbors: list[list[Neighbor]]
    """For each word the nearest words of the whole vocabulary."""


def project(neighbors: Neighbors, words: Sequence[str], count: int, each: int) -> Projection:
    """Project words with their neighbors, or without `words` the first of the vocabulary, onto two dimensions.

    Args:
        neighbors: the vectors, which are projected at length 1.
        words: the words that are named; `each` neighbors of each are added.
        count: how many words there are without `words`. The first of a vocabulary are usually the most frequent.
        each: neighbors of each word.

    Raises:
        TextError: a word is not in the vocabulary.
        ConfigError: there are fewer than two words, or more than `MOST_WORDS`.
    """
    named = list(dict.fromkeys(map(neighbors.row, words)))
    around = {row: neighbors.around(row, each) for row in named}
    added = [row for found in around.values() for row, _ in found]
    rows = list(dict.fromkeys([*named, *added])) or list(range(min(count, len(neighbors.words))))
    if not 2 <= len(rows) <= MOST_WORDS:
        raise ConfigError(f"a picture has 2 to {MOST_WORDS:,} words, not {len(rows):,}; name more words, or fewer")
    points, explained = principal_components(neighbors.units[rows])
    return Projection(
        words=[neighbors.words[row] for row in rows],
        points=points,
        explained=explained,
        named=len(named),
        neighbors=[neighbors.named(around.get(row) or neighbors.around(row, each)) for row in rows],
    )


def principal_components(vectors: npt.NDArray[np.floating]) -> tuple[Floats, tuple[float, float]]:
    """Return vectors [N, D] along their first two principal components, [N, 2], and the shares of the variance.

    The largest weight of each component is positive, so that the picture does not depend on the machine's sign.
    """
    centered = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    _, lengths, components = np.linalg.svd(centered, full_matrices=False)
    largest = np.abs(components).argmax(1)
    signs = np.sign(components[np.arange(len(components)), largest])
    points = np.zeros((len(vectors), 2))
    first = (components * signs[:, None])[:2]
    points[:, : len(first)] = centered @ first.T
    shares = [*(lengths**2 / max(float((lengths**2).sum()), 1e-300)), 0.0, 0.0]
    return points, (float(shares[0]), float(shares[1]))


def place_labels(
    points: npt.ArrayLike, sizes: npt.ArrayLike, area: tuple[float, float], gap: tuple[float, float]
) -> list[tuple[float, float] | None]:
    """Return the left top corner of each label, or None for a label that has no free place.

    The first labels are placed first. A label is placed to the right of its point, to the left, above or below: at the
    first of these places at which it covers no other label and no other point.

    Args:
        points: [N, 2], x to the right and y down.
        sizes: width and height of each label, [N, 2].
        area: width and height of the picture; labels stay inside.
        gap: from the middle of a point to a label, across and down; also half the size of a point.
    """
    at, size = np.asarray(points, np.float64), np.asarray(sizes, np.float64)
    taken = np.zeros((0, 4))
    marks = np.concatenate([at - gap, at + gap], axis=1)
    placed: list[tuple[float, float] | None] = []
    for number, ((x, y), (width, height)) in enumerate(zip(at.tolist(), size.tolist(), strict=True)):
        others = np.concatenate([taken, np.delete(marks, number, axis=0)])
        corners = [
            (x + gap[0], y - height / 2),
            (x - gap[0] - width, y - height / 2),
            (x - width / 2, y - gap[1] - height),
            (x - width / 2, y + gap[1]),
        ]
        free = (
            (left, top)
            for left, top in corners
            if 0 <= left <= area[0] - width and 0 <= top <= area[1] - height
            if not _overlaps(others, (left, top, left + width, top + height))
        )
        corner = next(free, None)
        placed.append(corner)
        if corner is not None:
            taken = np.concatenate([taken, [[*corner, corner[0] + width, corner[1] + height]]])
    return placed


def _overlaps(boxes: Floats, box: Box) -> bool:
    left, top, right, bottom = box
    return bool(((boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)).any())

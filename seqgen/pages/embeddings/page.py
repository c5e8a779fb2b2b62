"""The page of word vectors: words as points, with their names and their nearest words."""

from __future__ import annotations

from seqgen.embeddings.projection import Projection
from seqgen.pages.page import make_page
from seqgen.pages.visible import show_invisible


def embedding_page(projection: Projection, title: str) -> str:
    """Return the HTML of a page with words as points; pointing at one shows its nearest words.

    Raises:
        SaveError: there are too many words for one page.
    """
    data = {
        "words": [show_invisible(word) for word in projection.words],
        "points": [[float(f"{value:.5g}") for value in point] for point in projection.points.tolist()],
        "named": projection.named,
        "explained": list(projection.explained),
        "neighbors": [
            [[show_invisible(word), round(similarity, 3)] for word, similarity in found]
            for found in projection.neighbors
        ],
    }
    return make_page("embedding", title, data)


def describe_axes(projection: Projection) -> str:
    """Return what the axes are, and how much of the differences between the words they show."""
    first, second = projection.explained
    return (
        f"the first two principal components of {len(projection.words):,} vectors of length 1, with {first:.0%} and "
        f"{second:.0%} of their variance"
    )

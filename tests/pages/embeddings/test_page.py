"""The page of word vectors."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from seqgen.embeddings.neighbors import Neighbor
from seqgen.embeddings.projection import Projection
from seqgen.pages.embeddings.page import describe_axes, embedding_page

HOSTILE = ["</script>", "\u2028", "👩‍👧", "مرحبا", "고양이", "x" * 60]
STROKE = 6.1
"""Pixels that the halos of two names add to their boxes, as Chromium measures them."""


def projection_of(words: list[str], named: int = 0) -> Projection:
    points = np.random.default_rng(0).normal(size=(len(words), 2))
    found = [[Neighbor(words[number - 1], 0.87654), Neighbor("elsewhere", 0.5)] for number in range(len(words))]
    return Projection(words, points, (0.34, 0.125), named, found)


def test_embedding_page_holds_words_points_and_neighbors():
    projection = projection_of(HOSTILE, named=2)

    page = embedding_page(projection, "Words <of> v")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])

    assert data["words"] == ["</script>", "U+2028", *HOSTILE[2:]]
    np.testing.assert_allclose(data["points"], projection.points, rtol=1e-4)
    assert (data["named"], data["explained"]) == (2, [0.34, 0.125])
    assert data["neighbors"][0] == [["x" * 60, 0.877], ["elsewhere", 0.5]]
    assert "Words &lt;of&gt; v" in page


def test_describe_axes_has_the_shares_of_the_variance():
    assert "6 vectors" in describe_axes(projection_of(HOSTILE))
    assert "34% and 12%" in describe_axes(projection_of(HOSTILE))


def boxes_of(page, selector: str) -> list[dict]:
    return [element.bounding_box() for element in page.query_selector_all(selector)]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_embedding_page_shows_names_that_do_not_overlap(open_page, width, scheme):
    words = [*HOSTILE, *(f"word{number}" for number in range(80))]

    page = open_page(embedding_page(projection_of(words, named=3), "v"), width, scheme)

    names = boxes_of(page, "#map .placed text")
    assert len(names) > 20
    for number, one in enumerate(names):
        for other in names[:number]:
            apart = [
                one[axis] + one[size] <= other[axis] + STROKE or other[axis] + other[size] <= one[axis] + STROKE
                for axis, size in (("x", "width"), ("y", "height"))
            ]
            assert any(apart), (one, other)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hidden = len(words) - len(names)
    assert f"{hidden} of {len(words)}" in page.inner_text("#hidden")


@pytest.mark.slow
def test_embedding_page_shows_the_neighbors_of_a_word(open_page):
    words = ["cat", "dog", "bird", "고양이"]
    page = open_page(embedding_page(projection_of(words), "v"))
    (dog,) = boxes_of(page, "#map .word:nth-of-type(3) circle")

    page.mouse.move(dog["x"] + dog["width"] / 2, dog["y"] + dog["height"] / 2)

    assert page.inner_text("#reading") == "dog: cat 0.88, elsewhere 0.50"
    assert page.text_content("#map .near text") == "cat"
    page.fill("#word", "고양이")
    assert page.inner_text("#reading").startswith("고양이: bird")
    page.focus("#map")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#reading").startswith("cat: ")

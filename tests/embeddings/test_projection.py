"""Principal components of points of known geometry, and labels that do not overlap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seqgen.embeddings.neighbors import Neighbors
from seqgen.embeddings.projection import place_labels, principal_components, project
from seqgen.embeddings.vectors import WordVectors
from seqgen.errors import ConfigError, TextError


def test_principal_components_are_the_directions_of_the_largest_variance():
    x, y = np.array([-2, -1, 0, 1, 2.0]), np.array([1, -1, 0, -1, 1.0])
    first, second = np.array([0, 0.6, 0, 0.8]), np.array([1.0, 0, 0, 0])
    vectors = 7 + x[:, None] * first + y[:, None] * second

    points, explained = principal_components(vectors)

    np.testing.assert_allclose(points, np.stack([x, y], 1), atol=1e-12)
    assert explained == pytest.approx((10 / 14, 4 / 14))


def test_principal_components_have_a_fixed_sign():
    vectors = np.random.default_rng(0).normal(size=(20, 5))

    points, _ = principal_components(vectors)
    mirrored, _ = principal_components(-vectors)

    np.testing.assert_allclose(points, -mirrored, atol=1e-12)
    components = np.linalg.lstsq(points, vectors - vectors.mean(0), rcond=None)[0]
    assert all(component[np.abs(component).argmax()] > 0 for component in components)


@pytest.mark.parametrize("vectors", [[[1.0], [3.0]], [[1.0, 2.0], [1.0, 2.0]]])
def test_principal_components_of_a_line_or_a_point_are_finite(vectors):
    points, explained = principal_components(np.array(vectors))

    assert points.shape == (2, 2)
    assert np.isfinite(points).all()
    assert sum(explained) == pytest.approx(1 if len(vectors[0]) == 1 else 0)


@pytest.fixture
def circle():
    """Ten words at equal angles."""
    angles = np.radians(np.arange(10) * 36)
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return Neighbors(WordVectors([f"w{number}" for number in range(10)], vectors), "circle")


def test_project_shows_named_words_with_their_neighbors(circle):
    projection = project(circle, ["w5", "w0", "w5"], count=60, each=2)

    assert (projection.words[:2], projection.named) == (["w5", "w0"], 2)
    assert sorted(projection.words) == ["w0", "w1", "w4", "w5", "w6", "w9"]
    assert [{one.word for one in found} for found in projection.neighbors[:2]] == [{"w4", "w6"}, {"w1", "w9"}]
    assert {one.word for one in projection.neighbors[projection.words.index("w9")]} == {"w0", "w8"}
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(projection.points, 2)]
    assert max(distances) == pytest.approx(2)  # the vectors have two dimensions, so nothing is lost


def test_project_shows_the_first_words_where_none_is_named(circle):
    projection = project(circle, [], count=4, each=1)

    assert (projection.words, projection.named) == (["w0", "w1", "w2", "w3"], 0)
    assert len(project(circle, [], count=60, each=1).words) == 10


def test_project_keeps_pieces_apart_that_differ_only_in_the_space():
    pieces = Neighbors(WordVectors(["▁a", "a", "b"], np.eye(3, dtype=np.float32)), "pieces")

    assert project(pieces, ["a"], count=60, each=2).words == ["▁a", "a", "b"]


def test_project_refuses_one_word_too_many_words_and_unknown_words(circle, monkeypatch):
    monkeypatch.setattr("seqgen.embeddings.projection.MOST_WORDS", 9)
    with pytest.raises(ConfigError, match="not 1"):
        project(circle, ["w0"], count=60, each=0)
    with pytest.raises(ConfigError, match="not 10"):
        project(circle, [], count=60, each=0)
    with pytest.raises(TextError, match="'w11'"):
        project(circle, ["w11"], count=60, each=0)


def test_place_labels_covers_no_label_and_no_point():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, (400, 300), (60, 2))
    sizes = np.stack([rng.uniform(20, 80, 60), np.full(60, 12)], 1)

    places = place_labels(points, sizes, (400, 300), (5, 4))

    boxes = [
        (left, top, left + width, top + height)
        for (left, top), (width, height) in ((place, size) for place, size in zip(places, sizes, strict=True) if place)
    ]
    assert len(boxes) > 15
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        assert not any(left < x < right and top < y < bottom for x, y in points)


def test_place_labels_takes_the_first_free_side_in_order():
    size, area = [(20, 10)], (100, 100)

    assert place_labels([(50, 50)], size, area, (3, 2)) == [(53, 45)]
    assert place_labels([(90, 50)], size, area, (3, 2)) == [(67, 45)]
    assert place_labels([(50, 50), (60, 50), (40, 50)], size * 3, area, (3, 2))[0] == (40, 38)
    assert place_labels([(50, 50), (60, 50), (40, 50), (50, 40)], size * 4, area, (3, 2))[0] == (40, 52)
    assert place_labels([(5, 5)], [(200, 10)], area, (3, 2)) == [None]

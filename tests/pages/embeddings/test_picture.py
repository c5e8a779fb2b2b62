"""Pictures of word vectors by matplotlib."""

from __future__ import annotations

import re

import numpy as np
import pytest

from seqgen.embeddings.projection import Projection
from seqgen.pages.embeddings.picture import write_embedding_picture

pytest.importorskip("matplotlib")


def projection_of(words: list[str]) -> Projection:
    points = np.random.default_rng(0).normal(size=(len(words), 2))
    return Projection(words, points, (0.3, 0.2), 1, [[] for _ in words])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_write_embedding_picture_is_the_same_each_time(tmp_path, suffix):
    projection = projection_of(["king", "$queen$", "_x", "고양이", "\U0001f600"])

    for name in ("a", "b"):
        write_embedding_picture(projection, "$Words$", tmp_path / f"{name}{suffix}")

    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first == (tmp_path / f"b{suffix}").read_bytes()
    assert first.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


@pytest.mark.slow
def test_write_embedding_picture_puts_names_next_to_their_points(tmp_path):
    points = np.array([[0, 0], [9, 9], [9, 0], [0, 9], [4, 5]], float)
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]

    write_embedding_picture(Projection(words, points, (0.6, 0.4), 0, [[]] * 5), "Words", tmp_path / "a.svg")

    content = (tmp_path / "a.svg").read_text("utf-8")
    marks = [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill', content)]
    names = dict(re.findall(r"<!-- (\w+) -->\s*<g [^>]*translate\(([\d. ]+)\)", content))
    assert len(marks) == len(words)
    for word, (x, y) in zip(words, marks, strict=True):
        left, bottom = map(float, names[word].split())
        assert -45 < left - x < 10
        assert abs(bottom - y) < 10


@pytest.mark.slow
def test_write_embedding_picture_leaves_out_names_without_room(tmp_path):
    words = [f"word{number}" for number in range(300)]

    write_embedding_picture(projection_of(words), "Words", tmp_path / "a.svg")

    shown = set(re.findall(r"<!-- (word\d+) -->", (tmp_path / "a.svg").read_text("utf-8")))
    assert 30 < len(shown) < 250

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_plot_draws_words_in_the_terminal(answers, vectors):
    text = answers("embed", "plot", "king", "여왕", "--vectors", vectors, "--neighbors", 1)

    first, *lines = text.splitlines()
    assert first.startswith(str(vectors))
    shown = "\n".join(lines)
    assert all(word in shown for word in ("king", "여왕", "man", "[bold]x"))
    assert "Seoul" not in shown


def test_plot_shows_the_first_words(answers, vectors):
    record = json.loads(answers("embed", "plot", "--vectors", vectors, "--words", 3, "--json"))

    assert [one["word"] for one in record["words"]] == ["king", "queen", "man"]
    assert record["named"] == 0
    assert sum(record["explained"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "start"),
    [("out.html", b"<!doctype html>"), pytest.param("out.png", b"\x89PNG", marks=pytest.mark.slow)],
)
def test_plot_writes_a_page_or_a_picture(answers, vectors, name, start):
    assert answers("embed", "plot", "--vectors", vectors, "--out", name) == ""

    assert Path(name).read_bytes().startswith(start)


def test_plot_refuses_other_endings_and_single_words(refuses, vectors):
    refuses(2, "embed", "plot", "--vectors", vectors, "--out", "out.jpg", words=("--out", "out.jpg"))
    refuses(2, "embed", "plot", "king", "--neighbors", 0, "--vectors", vectors, words=("not 1",))

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("expression", [("king - man + woman",), ("king", "-", "man", "+", "woman")])
def test_analogy_leaves_the_given_words_out(answers, vectors, expression):
    lines = answers("embed", "analogy", *expression, "--vectors", vectors, "--top", 2).splitlines()

    assert [line.split()[0] for line in lines[1:]] == ["queen", "Seoul"]


def test_analogy_as_json_has_its_words(answers, vectors):
    record = json.loads(answers("embed", "analogy", "왕 + woman - man", "--vectors", vectors, "--json"))

    assert (record["added"], record["subtracted"]) == (["왕", "woman"], ["man"])
    assert record["neighbors"][0]["word"] == "여왕"
    assert len(record["neighbors"]) == 5


def test_analogy_refuses_words_without_signs(refuses, vectors):
    refuses(2, "embed", "analogy", "king", "man", "woman", "--vectors", vectors, words=("king - man + woman",))

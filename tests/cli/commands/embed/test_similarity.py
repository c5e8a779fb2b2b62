from __future__ import annotations

import json

import pytest


def test_similarity_prints_the_cosine(answers, vectors):
    assert answers("embed", "similarity", "man", "woman", "--vectors", vectors) == "-0.600\n"

    record = json.loads(answers("embed", "similarity", "왕", "Seoul", "--vectors", vectors, "--json"))
    assert record == {"source": str(vectors), "words": ["왕", "Seoul"], "similarity": pytest.approx(2 / 17**0.5)}


def test_similarity_refuses_a_word_that_is_missing(refuses, vectors):
    refuses(1, "embed", "similarity", "man", "womann", "--vectors", vectors, words=("womann", "did you mean woman"))

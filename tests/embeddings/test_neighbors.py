"""Neighbors and analogies of vectors whose geometry is known."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest

from seqgen.embeddings.neighbors import Analogy, Neighbors, parse_analogy, unit_length
from seqgen.embeddings.vectors import WordVectors
from seqgen.errors import ConfigError, TextError

PLANE = {
    "king": (3.0, 3.0),
    "queen": (1.0, -1.0),
    "man": (0.0, 2.0),
    "woman": (0.0, -0.5),
    "royal": (5.0, 0.1),
    "nothing": (0.0, 0.0),
}


def neighbors_of(words: dict[str, tuple[float, ...]]) -> Neighbors:
    return Neighbors(WordVectors(list(words), np.array(list(words.values()), np.float32)), "v.txt")


def test_similarity_is_the_cosine():
    plane = neighbors_of(PLANE)

    assert plane.similarity("man", "woman") == pytest.approx(-1)
    assert plane.similarity("king", "man") == pytest.approx(math.sqrt(0.5))
    assert plane.similarity("king", "nothing") == 0


def test_nearest_returns_the_most_similar_first_without_the_word():
    found = neighbors_of(PLANE).nearest("king", 2)

    assert [one.word for one in found] == ["royal", "man"]
    assert found[0].similarity == pytest.approx(5.1 / math.sqrt(2 * (25 + 0.01)))
    assert [one.word for one in neighbors_of(PLANE).nearest("king", 99)][2:] == ["queen", "nothing", "woman"]


def test_nearest_puts_equal_similarities_in_the_order_of_the_vocabulary():
    words = {f"w{number}": (1.0, float(number % 2)) for number in range(40)}

    assert [one.word for one in neighbors_of(words).nearest("w7", 3)] == ["w1", "w3", "w5"]


def test_solve_sums_vectors_of_length_one_and_leaves_the_given_words_out():
    found = neighbors_of(PLANE).solve(Analogy(("king", "woman"), ("man",)), 5)

    target = np.array([math.sqrt(0.5), math.sqrt(0.5) - 2])
    assert [one.word for one in found] == ["queen", "royal", "nothing"]
    assert found[0].similarity == pytest.approx((target @ [1, -1]) / math.sqrt(2 * target @ target))


def test_solve_leaves_out_words_that_differ_from_the_given_ones_in_case_alone():
    cased = neighbors_of({**PLANE, "King": (3.0, 3.1), "WOMAN": (0.0, -1.0), "kings": (3.0, 2.9)})

    found = cased.solve(Analogy(("king", "woman"), ("man",)), 9)

    assert [one.word for one in found] == ["queen", "royal", "nothing", "kings"]


def test_solve_leaves_out_given_words_with_and_without_the_space_before_them():
    pieces = {f"\u2581{word}": vector for word, vector in PLANE.items()}
    found = neighbors_of({**pieces, "king": (3.0, 3.1), "Queen": (2.9, 3.0)}).solve(
        Analogy(("king", "woman"), ("man",)), 9
    )

    assert {"king", "\u2581king"}.isdisjoint(one.word for one in found)
    assert {"\u2581queen", "Queen"} <= {one.word for one in found}


def test_nearest_and_solve_refuse_vectors_without_another_word():
    pair = neighbors_of({"king": (1.0, 0.0), "queen": (0.0, 1.0)})

    assert [one.word for one in pair.nearest("king", 5)] == ["queen"]
    with pytest.raises(TextError, match=r"v\.txt has no other word"):
        pair.solve(Analogy(("king", "queen"), ()), 5)
    with pytest.raises(TextError, match=r"v\.txt has no other word"):
        neighbors_of({"king": (1.0, 0.0)}).nearest("king", 5)
    with pytest.raises(TextError, match="'nothing' is 0"):
        neighbors_of({**PLANE, "nothing": (0.0, 0.0)}).nearest("nothing", 5)


def test_solve_refuses_a_sum_of_zero():
    with pytest.raises(TextError, match="sum is 0"):
        neighbors_of(PLANE).solve(Analogy(("king",), ("king",)), 5)


def test_row_names_words_of_similar_spelling():
    plane = neighbors_of({**PLANE, "Seoul": (1.0, 1.0), "고양이": (1.0, 0.0)})

    for word, hint in (("kings", "king"), ("seoul", "Seoul"), ("KING", "king"), ("고양", "고양이")):
        with pytest.raises(TextError, match=rf"'{word}' .* 8 words of v.txt; did you mean {hint}"):
            plane.row(word)
    with pytest.raises(TextError, match=r"v\.txt$"):
        plane.row("xylophone")


def test_row_and_find_any_case_accept_decomposed_words():
    words = neighbors_of({"cat": (1.0, 0.0), "학교": (0.0, 1.0), "École": (1.0, 1.0)})

    assert words.row(unicodedata.normalize("NFD", "학교")) == 1
    assert words.find_any_case(unicodedata.normalize("NFD", "école")) == 2
    with pytest.raises(TextError, match="did you mean 학교"):
        words.row(unicodedata.normalize("NFD", "학교에"))


def test_row_prefers_the_piece_with_the_space_before_it():
    pieces = neighbors_of({"king": (1.0, 0.0), "▁king": (0.0, 1.0), "s": (1.0, 1.0)})

    assert [pieces.row(word) for word in ("king", " king", "▁king", "s")] == [1, 1, 1, 2]


def test_find_any_case_prefers_the_exact_word_then_the_first():
    cased = neighbors_of({"Polish": (1.0, 0.0), "polish": (0.0, 1.0), "▁Straße": (1.0, 1.0)})

    words = ("polish", "POLISH", "Polish", "STRASSE", "pole")
    assert [cased.find_any_case(word) for word in words] == [1, 0, 0, 2, None]


def test_unit_length_keeps_a_vector_of_zeros():
    np.testing.assert_allclose(unit_length(np.array([[3, 4], [0, 0]], np.float32)), [[0.6, 0.8], [0, 0]])


@pytest.mark.parametrize(
    "expression",
    [
        ["king - man + woman"],
        ["king", "-", "man", "+", "woman"],
        ["king \u2212 man", "+", "woman"],
        ["king \u2013 man + woman"],
    ],
)
def test_parse_analogy_reads_one_argument_or_several(expression):
    assert parse_analogy(expression) == Analogy(("king", "woman"), ("man",))


def test_parse_analogy_keeps_hyphens_inside_words():
    assert parse_analogy(["well-known + e-mail"]) == Analogy(("well-known", "e-mail"), ())


@pytest.mark.parametrize("expression", ["king", "king man", "king -", "- man", "king - - man", "king man + woman", ""])
def test_parse_analogy_refuses_other_expressions(expression):
    with pytest.raises(ConfigError, match=r"king - man \+ woman"):
        parse_analogy([expression])

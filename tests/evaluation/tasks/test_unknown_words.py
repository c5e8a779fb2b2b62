from __future__ import annotations

import math

import numpy as np
import pytest

from seqgen.errors import RunError
from seqgen.evaluation.tasks.unknown_words import replace_unknown
from seqgen.tokenizers.word import WordTokenizer, split_words

SOURCE = ["Alice", " ", "met", " ", "Bob"]


def test_unknown_words_become_the_most_attended_words():
    attention = np.array(
        [
            [0.7, 0.1, 0.1, 0.05, 0.05],
            [0.2, 0.2, 0.2, 0.2, 0.2],
            [0.1, 0.0, 0.2, 0.1, 0.6],
            [0.9, 0.0, 0.0, 0.0, 0.1],
        ]
    )

    replaced = replace_unknown(["<unk>", " ", "<unk>", "traf"], [True, False, True, False], attention, SOURCE)

    assert replaced == ["Alice", " ", "Bob", "traf"]


def test_white_space_and_padding_are_never_copied():
    attention = np.array([[0.1, 0.3, 0.15, 0.0, 0.05, 0.4]])

    assert replace_unknown(["?"], np.array([True]), attention, SOURCE) == ["met"]


def test_the_first_of_equally_attended_words_is_copied():
    assert replace_unknown(["?"], [True], np.full((1, 5), 0.2), SOURCE) == ["Alice"]


def test_output_for_a_source_without_words_stays():
    assert replace_unknown(["?"], [True], np.ones((1, 1)), [" "]) == ["?"]
    assert replace_unknown([], [], np.ones((0, 5)), SOURCE) == []


def test_words_of_a_tokenizer_are_replaced_by_its_unknown_id():
    tokenizer = WordTokenizer([" ", "met"])
    ids = tokenizer.encode("Alice met Bob")

    pieces = [tokenizer.decode([one]) for one in ids]
    replaced = replace_unknown(pieces, ids == tokenizer.unknown_id, np.eye(5), list(split_words("Alice met Bob")))

    assert "".join(replaced) == "Alice met Bob"


def test_nan_is_refused_where_a_word_is_unknown():
    attention = np.array([[1.0, 0, 0, 0, 0], [math.nan, 0, 0, 0, 0]])

    assert replace_unknown(["?", "b"], [True, False], attention, SOURCE) == ["Alice", "b"]
    with pytest.raises(RunError, match=r"word 2 .*NaN"):
        replace_unknown(["?", "?"], [True, True], attention, SOURCE)


@pytest.mark.parametrize(
    ("output", "unknown", "shape"), [("ab", [True], (2, 5)), ("a", [True], (2, 5)), ("a", [True], (1, 4))]
)
def test_attention_of_another_shape_is_refused(output, unknown, shape):
    with pytest.raises(ValueError, match="does not fit"):
        replace_unknown(output, unknown, np.zeros(shape), SOURCE)

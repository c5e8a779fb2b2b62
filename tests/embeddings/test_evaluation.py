"""Word pairs and analogy questions in the formats of the public sets; Spearman's correlation."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.embeddings.evaluation import evaluate_file, spearman
from seqgen.embeddings.neighbors import Neighbors
from seqgen.embeddings.vectors import WordVectors
from seqgen.errors import TextError

ANGLES = {"cat": 0, "tiger": 10, "dog": 25, "car": 80, "Bus": 85, "고양이": 3}


@pytest.fixture
def animals():
    angles = np.radians(list(ANGLES.values()))
    return Neighbors(WordVectors(list(ANGLES), np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)), "v")


@pytest.fixture
def evaluate(tmp_path):
    def evaluate(neighbors, content, **options):
        path = tmp_path / "file"
        path.write_text(content, "utf-8")
        return evaluate_file(path, neighbors, **options)

    return evaluate


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4, 5], [10, 20, 25, 30, 99], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        # 1 - 6 sum d^2 / (n (n^2 - 1)) without ties: differences of ranks 1, 1, 1, 1, 0
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
        # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
        ([1, 2, 2, 9], [1, 2, 3, 4], 4.5 / np.sqrt(22.5)),
        # ranks 1.5, 1.5, 3 and 3, 1.5, 1.5: -0.75 / 1.5
        ([0, 0, 1], [7, 5, 5], -0.5),
        ([1, 1], [1, 2], None),
        ([1], [1], None),
        ([], [], None),
    ],
)
def test_spearman_is_the_correlation_of_ranks(first, second, expected):
    assert spearman(first, second) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "content",
    [
        "# WordSim\nWord 1\tWord 2\tHuman (mean)\ncat\ttiger\t9\ncat\tdog\t8\ndog\tcar\t1\ncat\tunicorn\t5\n",
        "Word 1,Word 2,Human (mean),1,2\ncat,tiger,9,1,9\ncat,dog,8,1,9\n\ndog,car,1,1,9\ncat,unicorn,5,1,9\n",
        "word1\tword2\tPOS\tSimLex\tc\ncat\ttiger\tN\t9\t1\ncat\tdog\tN\t8\t2\ndog\tcar\tN\t1\t3\ncat\tunicorn\tN\t5\t1",
        '"cat","tiger",9\r\ncat,DOG,8\r\ndog,car,1\r\ncat,unicorn,5',
    ],
)
def test_evaluate_file_reads_the_formats_of_word_pairs(evaluate, animals, content):
    report = evaluate(animals, content)

    assert report.spearman == pytest.approx(1)
    assert (report.pairs, report.used, report.missing) == (4, 3, ["unicorn"])


def test_evaluate_file_returns_minus_one_for_opposite_rankings(evaluate, animals):
    report = evaluate(animals, "cat\t고양이\t1\ncat\ttiger\t2\ncat\tdog\t3\ncat\tbus\t4\n")

    assert (report.spearman, report.used) == (pytest.approx(-1), 4)


def test_evaluate_file_answers_questions_by_section(evaluate):
    words = {
        "Athens": (1, 0, 1, 0), "Greece": (1, 0, 0, 1), "Oslo": (0, 1, 1, 0), "Norway": (0, 1, 0, 1),
        "good": (-1, 0, 1, 0), "better": (-1, 0, 0, 1), "bad": (0, -1, 1, 0), "worse": (0, -1, 0.4, -1),
        "awful": (0, -1, 0, 1),
    }  # fmt: skip
    space = Neighbors(WordVectors(list(words), np.array(list(words.values()), np.float32)), "v")
    reported = []

    report = evaluate(
        space,
        ": capitals\nathens greece oslo norway\nAthens Greece Tokyo Japan\n\n: gram2-comparative\n"
        "good better bad worse\nbad worse good better\n: empty\n",
        progress=lambda done, total: reported.append((done, total)),
    )

    assert [(one.name, one.questions, one.used, one.correct) for one in report.sections] == [
        ("capitals", 2, 1, 1),
        ("gram2-comparative", 2, 2, 0),
        ("empty", 0, 0, 0),
    ]
    assert [one.accuracy for one in report.sections] == [1, 0, None]
    assert report.missing == ["Tokyo", "Japan"]
    assert [(one.name, one.used, one.correct) for one in report.totals] == [
        ("semantic", 1, 1), ("syntactic", 2, 0), ("total", 3, 1)
    ]  # fmt: skip
    assert reported[-1] == (4, 4)


def test_answer_to_a_question_is_no_given_word_in_another_case_and_counts_in_any_case(evaluate):
    words = {"man": (1, 0), "woman": (1, 1), "king": (2, 0), "King": (2, 1.9), "queen": (2, 2.3), "QUEEN": (2, 2.2)}
    space = Neighbors(WordVectors(list(words), np.array(list(words.values()), np.float32)), "v")

    report = evaluate(space, ": gender\nman woman king queen\n: other\nman woman king Woman\n")

    assert [one.correct for one in report.sections] == [1, 0]
    only = Neighbors(WordVectors(["man", "woman", "king"], np.eye(3, dtype=np.float32)), "v")
    assert evaluate(only, ": all\nman woman king man\n").sections[0].correct == 0


def test_evaluate_file_answers_questions_in_blocks(evaluate, animals, monkeypatch):
    content = ": all\n" + "".join(f"cat tiger {word} dog\n" for word in ANGLES)
    whole = evaluate(animals, content)

    monkeypatch.setattr("seqgen.embeddings.evaluation.BLOCK_VALUES", 2 * len(ANGLES))

    assert evaluate(animals, content) == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("# only\n", "empty"),
        ("cat\ttiger\n", "line 1"),
        ("cat\ttiger\t9\ncat\tdog\tnine\n", "line 2"),
        ("cat\ttiger\t9\ncat\tdog\tnan\n", "line 2"),
        ("cat\ttiger\tnan\ncat\tdog\t9\n", "line 1"),
        ("Word 1\tWord 2\tHuman\n", "no word pairs"),
        ("cat tiger dog car\n", "line 1"),
        (": section\ncat tiger dog\n", "line 2 .* 3"),
        (": section\n", "no questions"),
    ],
)
def test_evaluate_file_refuses_other_formats(evaluate, animals, content, message):
    with pytest.raises(TextError, match=f"file.*{message}"):
        evaluate(animals, content)


def test_evaluate_file_refuses_what_it_cannot_read(animals, tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9\ttea\t3\n")
    for name, message in (("gone", "gone"), ("latin", "byte 3"), (".", "regular")):
        with pytest.raises(TextError, match=message):
            evaluate_file(tmp_path / name, animals)

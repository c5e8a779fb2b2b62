from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAIRS = "king\tman\t9\nking\tqueen\t7\nking\tWOMAN\t3\nking\tunicorn\t1\n"
QUESTIONS = ": family\nman woman king queen\nman woman 왕 여왕\nman woman boy girl\n: gram1\nking queen man 왕\n"


@pytest.fixture
def files(in_tmp):
    Path("pairs.tsv").write_text(PAIRS, "utf-8")
    Path("questions.txt").write_text(QUESTIONS, "utf-8")


def test_evaluate_prints_the_correlation_and_the_coverage(invoke, files, vectors):
    result = invoke("embed", "evaluate", "pairs.tsv", "--vectors", vectors)

    assert result.stdout.startswith("pairs.tsv: Spearman 1.000 on 3 of 4 pairs (75.0%")
    assert "1 word" in result.stderr
    assert "unicorn" in result.stderr


def test_evaluate_prints_the_accuracy_of_each_section(answers, files, vectors):
    first, _, *rows = answers("embed", "evaluate", "questions.txt", "--vectors", vectors).splitlines()

    assert first.startswith("questions.txt: 66.7% correct of 3 of 4 questions (75.0%")
    assert [row.split() for row in rows] == [
        ["family", "2", "2", "100.0%", "66.7%"],
        ["gram1", "0", "1", "0.0%", "100.0%"],
        ["semantic", "2", "2", "100.0%", "66.7%"],
        ["syntactic", "0", "1", "0.0%", "100.0%"],
    ]


def test_evaluate_as_json_has_every_file(answers, files, vectors):
    record = json.loads(answers("embed", "evaluate", "pairs.tsv", "questions.txt", "--vectors", vectors, "--json"))

    assert (record["source"], record["words"]) == (str(vectors), 8)
    pairs, questions = record["files"]
    assert pairs == {
        "file": "pairs.tsv", "spearman": pytest.approx(1), "pairs": 4, "used": 3, "missing": ["unicorn"]
    }  # fmt: skip
    assert questions["totals"]["total"] == {
        "name": "total", "questions": 4, "used": 3, "correct": 2, "accuracy": pytest.approx(2 / 3)
    }  # fmt: skip
    assert (len(questions["sections"]), questions["missing"]) == (2, ["boy", "girl"])


def test_evaluate_notes_lines_that_repeat_a_word_unless_quiet(invoke, files, in_tmp):
    Path("twice.txt").write_text("king 1 0\nking 2 0\nman 1 1\nqueen 0 1\nwoman 0 1\n", "utf-8")

    command = ("embed", "evaluate", "pairs.tsv", "--vectors", "twice.txt")

    assert "note: 1 line of twice.txt is left out" in invoke(*command).stderr
    assert invoke(*command, "--quiet").stderr == ""


def test_evaluate_refuses_another_format(refuses, vectors):
    refuses(1, "embed", "evaluate", vectors, "--vectors", vectors, words=(str(vectors), "line 1"))

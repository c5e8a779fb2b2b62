from __future__ import annotations

import json

import pytest

from seqgen.runs.embeddings.source import read_vectors


def test_nearest_lists_words_with_their_cosines(answers, vectors):
    lines = answers("embed", "nearest", "왕", "--vectors", vectors, "--top", 3).splitlines()

    assert [line.split() for line in lines[1:]] == [["[bold]x", "0.728"], ["여왕", "0.529"], ["Seoul", "0.485"]]


def test_nearest_of_a_char_model_lists_letters(answers, run):
    record = json.loads(answers("embed", "nearest", "e", "--json", "--top", 4))

    assert (record["source"], record["word"]) == (str(run), "e")
    assert len(record["neighbors"]) == 4
    letters = set(read_vectors(run).words)
    assert {one["word"] for one in record["neighbors"]} <= letters - {"e"}
    assert answers("embed", "nearest", "e", "--run", run) == answers("embed", "nearest", "e")


@pytest.mark.parametrize(("word", "hint"), [("seoul", "Seoul"), ("kin", "king"), ("여", "여왕")])
def test_nearest_names_a_word_that_may_be_meant(refuses, vectors, word, hint):
    refuses(1, "embed", "nearest", word, "--vectors", vectors, words=(word, str(vectors), f"did you mean {hint}"))


def test_nearest_notes_lines_that_repeat_a_word(invoke, in_tmp):
    (in_tmp / "twice.txt").write_text("cat 1 0\ndog 1 1\ncat 0 1\n", "utf-8")

    result = invoke("embed", "nearest", "cat", "--vectors", "twice.txt")

    assert result.stdout.split()[2:] == ["dog", "0.707"]
    assert result.stderr == "note: 1 line of twice.txt is left out, because its word is in an earlier line\n"


def test_nearest_refuses_two_sources_and_missing_or_wrong_ones(refuses, vectors, run):
    refuses(2, "embed", "nearest", "e", "--run", run, "--vectors", vectors, words=("--vectors",))
    refuses(1, "embed", "nearest", "e", "--run", vectors, words=(str(vectors), "--vectors"))
    refuses(2, "embed", "nearest", "e", "--vectors", run, words=(str(run), "--run"))
    refuses(1, "embed", "nearest", "e", "--vectors", "gone.txt", words=("gone.txt",))
    refuses(2, "embed", "nearest", "e", "--vectors", vectors, "--member", "lstm", words=("--member",))


def test_nearest_without_a_run_names_the_command_that_makes_one(refuses, in_tmp):
    refuses(1, "embed", "nearest", "king", words=("seqgen embed train",))


def test_nearest_shows_a_character_that_would_join_others_as_a_letter(answers, in_tmp):
    (in_tmp / "jamo.txt").write_text("\u1102 1 0\n\u1161 1 1\n", "utf-8")

    assert answers("embed", "nearest", "\u1102", "--vectors", "jamo.txt").split()[2:] == ["ㅏ", "0.707"]

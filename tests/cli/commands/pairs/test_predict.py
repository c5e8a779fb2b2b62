"""`seqgen predict`: a line out for each line in, JSON, tables, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from rich.console import Console
from seqgen.cli.bars import WorkBar


@pytest.fixture
def classifier(label_runs):
    return label_runs / "classifier"


@pytest.fixture
def tagger(label_runs):
    return label_runs / "tagger"


def test_a_text_is_answered_by_a_table_of_labels_with_probabilities(invoke, classifier):
    lines = invoke("predict", "aaaax", "--run", classifier).stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["many", "few"]
    shares = [float(line.split()[1].rstrip("%")) for line in lines]
    assert shares[0] > 50
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_a_text_longer_than_a_file_name_can_be_is_a_text(invoke, tagger):
    assert len(invoke("predict", "cat sees " * 40, "--run", tagger).stdout.splitlines()) == 80


def test_a_sentence_is_answered_by_its_words_with_tags(invoke, tagger):
    lines = invoke("predict", "café sees cat", "--run", tagger).stdout.splitlines()

    assert [line.split()[:2] for line in lines] == [["café", "N"], ["sees", "V"], ["cat", "N"]]


def test_each_line_of_a_text_is_a_text(invoke, classifier, tagger):
    assert invoke("predict", "aaaax\n\nbx", "--run", classifier).stdout == "many\n\nfew\n"
    assert invoke("predict", "cat sees\r\n본다", "--run", tagger).stdout == "N V\nV\n"


def test_a_file_gives_a_line_for_each_line(invoke, classifier, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("aaaax\n\nbx\r\naaax", encoding="utf-8")

    assert invoke("predict", path, "--run", classifier).stdout.split("\n") == ["many", "", "few", "many", ""]


def test_stdin_gives_a_line_for_each_line(invoke, tagger):
    assert invoke("predict", "-", "--run", tagger, stdin="cat sees\n\n본다 .\n").stdout == "N V\n\nV O\n"


def test_a_pipe_that_is_named_gives_a_line_for_each_line(invoke, tagger):
    read, write = os.pipe()
    os.write(write, b"cat sees\n")
    os.close(write)

    assert invoke("predict", f"/dev/fd/{read}", "--run", tagger).stdout == "N V\n"
    os.close(read)


def test_a_tab_between_words_is_not_unknown(invoke, tagger):
    assert invoke("predict", "cat\tsees", "--run", tagger).stderr == ""


def test_bar_counts_texts_while_labels_go_to_a_pipe(monkeypatch, invoke, tagger):
    monkeypatch.setattr(WorkBar, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr("seqgen.cli.bars.stderr", lambda: Console(stderr=True, force_terminal=True, width=100))

    shown = invoke("predict", "-", "--run", tagger, stdin="cat sees\n본다 .\n")

    assert shown.stdout == "N V\nV O\n"
    assert "2 texts" in shown.stderr


def test_json_has_an_object_with_probabilities_for_each_line(invoke, classifier, tagger):
    first, second = map(
        json.loads, invoke("predict", "-", "--run", classifier, "--json", stdin="aaaax\n\n").stdout.splitlines()
    )
    (tagged,) = map(json.loads, invoke("predict", "cat .", "--run", tagger, "--json").stdout.splitlines())

    assert (first["text"], first["label"]) == ("aaaax", "many")
    assert first["probabilities"].keys() == {"few", "many"}
    assert second == {"text": "", "label": None, "probabilities": {}, "source_cut": False}
    assert [(word["word"], word["tag"]) for word in tagged["words"]] == [("cat", "N"), (".", "O")]
    assert sum(tagged["words"][0]["probabilities"].values()) == pytest.approx(1)


def test_texts_longer_than_the_model_reads_are_counted(invoke, classifier):
    result = invoke("predict", "-", "--run", classifier, stdin="aaaaaaaaaax\nax\n")

    assert "1 text" in result.stderr
    assert " 6 tokens" in result.stderr
    assert "1 text" not in invoke("predict", "-", "--run", classifier, "--quiet", stdin="aaaaaaaaaax\n").stderr


def test_encoding_applies_to_files(invoke, refuses, tagger, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("본다 cat\n".encode("cp949"))

    assert invoke("predict", path, "--run", tagger, "--encoding", "cp949").stdout == "V N\n"
    assert "--encoding" in refuses(1, "predict", path, "--run", tagger)
    refuses(2, "predict", "cat", "--run", tagger, "--encoding", "cp949", words=("encoding",))


def test_unknown_characters_are_noted(invoke, tagger):
    for argument, options in (("cat 왕", {}), ("-", {"stdin": "cat\n왕\n"})):
        result = invoke("predict", argument, "--run", tagger, **options)
        assert "'왕'" in result.stderr
        assert "<unk>" in result.stderr
    assert invoke("predict", "cat", "--run", tagger).stderr == ""


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_text_is_refused(refuses, classifier, text):
    refuses(1, "predict", text, "--run", classifier, words=("empty",))


def test_a_text_that_looks_like_a_missing_file_is_noted(invoke, classifier):
    assert "no file texts.tvs" in invoke("predict", "texts.tvs", "--run", classifier).stderr


def test_a_run_of_another_task_is_refused(refuses, run):
    refuses(2, "predict", "a", "--run", run, words=("--task classify", "seqgen sample"))


@pytest.mark.parametrize("command", ["sample", "compress"])
def test_other_commands_name_predict(refuses, classifier, command, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("aab", encoding="utf-8")

    refuses(2, command, *([text] if command == "compress" else []), "--run", classifier, words=("seqgen predict",))


@pytest.mark.slow
def test_each_line_of_a_pipe_is_answered_before_the_next_comes(tagger):
    process = subprocess.Popen(
        [sys.executable, "-m", "seqgen", "predict", "-", "--run", str(tagger)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with process:
        for line, tags in ((".", "O"), ("cat sees", "N V"), ("본다 .", "V O")):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{tags}\n"
        process.stdin.close()
    assert process.returncode == 0

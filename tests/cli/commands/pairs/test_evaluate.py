"""`seqgen eval` of runs that translate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from seqgen.cli.bars import WorkBar

import seqgen


@pytest.fixture
def run(translator):
    return seqgen.load(translator())


def test_json_has_the_figures_of_the_library(answers, run, pairs):
    found = json.loads(answers("eval", "pairs.tsv", "--run", run.path, "--json"))

    expected = run.evaluate_pairs(pairs)
    assert (found["text"], found["run"]) == ("pairs.tsv", str(run.path))
    assert found["pairs"] == 112
    assert found["exact_match"] == expected.report.exact_match
    assert found["targets"]["nats_per_token"] == pytest.approx(expected.cost.nats_per_token)
    assert found["targets"]["tokens"] == 112 * 4
    assert {"empty", "truncated", "sources_cut", "by_source_length", "chrf", "bleu"} <= found.keys()


def test_without_a_text_the_withheld_pairs_are_measured(answers, run):
    found = json.loads(answers("eval", "--json"))

    assert (found["text"], found["pairs"]) == ("validation part", 6)


def test_the_pairs_of_the_training_are_noted(invoke, run):
    config = seqgen.load(run.path).config
    (text,) = config.data.text

    assert "trained on this text" in invoke("eval", text).stderr
    assert "trained on this text" not in invoke("eval").stderr


def test_impossible_search_is_refused_before_pairs_are_read(refuses, run):
    refuses(2, "eval", "missing.tsv", "--beam", 100_000, words=("--beam", "1000"))


def test_unknown_characters_of_either_side_are_noted(invoke, run):
    Path("some.tsv").write_text("1é\t2\n3\t왕\n", "utf-8")

    shown = invoke("eval", "some.tsv").stderr
    assert "some.tsv has what is not in the char vocabulary of this model: 'é', '왕'" in shown
    assert "vocabulary" not in invoke("eval").stderr


def test_table_shows_exact_match_by_source_length(answers, run):
    Path("some.tsv").write_text("1\t2\n123456\t4\n", "utf-8")

    table = answers("eval", "some.tsv")

    for words in ("exact match", "bits per byte", "empty outputs", "length limit", "sources that were cut"):
        assert words in table
    assert "source tokens" in table


def test_terminal_shows_a_bar_of_pairs(invoke, run, pairs, monkeypatch):
    monkeypatch.setattr(WorkBar, "SHORT_SECONDS", 0.0)

    assert "112 of 112 pairs" in invoke("eval", "pairs.tsv", "--max-length", 1, terminal=200).stderr


def test_search_settings_apply(answers, endless):
    Path("some.tsv").write_text("123\t777\n", "utf-8")

    found = [json.loads(answers("eval", "some.tsv", "--json", "--max-length", length)) for length in (3, 4)]

    assert [one["exact_match"] for one in found] == [1.0, 0.0]
    assert [one["truncated"] for one in found] == [1, 1]


def test_parallel_files_and_bad_lines(answers, invoke, run):
    for name, content in (("a.en", "1\n2\n"), ("a.de", "3\n4\n"), ("bad.tsv", "1\t2\nno tab\n")):
        Path(name).write_text(content, "utf-8")

    assert json.loads(answers("eval", "a.en", "a.de", "--json"))["pairs"] == 2
    assert json.loads(answers("eval", "bad.tsv", "--json", "--on-bad-line", "skip"))["pairs"] == 1
    refused = invoke("eval", "bad.tsv")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "line 2" in refused.stderr


def test_skipped_lines_are_noticed(invoke, run):
    Path("bad.tsv").write_text("1\t2\nno tab\n", "utf-8")

    result = invoke("eval", "bad.tsv", "--on-bad-line", "skip")

    assert result.exit_code == 0
    assert "bad.tsv" in result.stderr
    assert "line 2" in result.stderr


@pytest.mark.parametrize("option", [("--context-window", 20), ("--cache",), ("--sequential",)])
def test_settings_of_texts_are_refused(refuses, run, pairs, option):
    refuses(2, "eval", "pairs.tsv", *option, words=(option[0].strip("-"),))


def test_search_settings_are_refused_for_a_run_of_texts(refuses, corpus, in_tmp):
    seqgen.train("corpus.txt", cell="gru", hidden_size=4, max_steps=1, precision="fp32").run()

    refuses(2, "eval", "--beam", 2, words=("beam", "--task translate"))

"""`seqgen eval --surprisal`, `--by` and `--calibration`."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from seqgen.cli.commands.evaluate.surprisal import Request

import seqgen
from seqgen.errors import ConfigError
from seqgen.sources.source import load_documents

TEXT = "The old king paints the rain.\nzzz qqq!\n\nNo one forgets the river.\n"


@pytest.fixture
def text(run):
    Path("held-out.txt").write_text(TEXT, "utf-8")
    return "held-out.txt"


def test_surprisal_writes_a_row_for_each_token_whose_nats_are_those_of_score(answers, run, text):
    shown = answers("eval", text, "--surprisal", "out.jsonl")

    rows = [json.loads(line) for line in Path("out.jsonl").read_text("utf-8").splitlines()]
    scores = seqgen.load(run).score(TEXT)
    assert [row["nats"] for row in rows] == pytest.approx(scores.nats.tolist(), rel=1e-5)
    assert [row["text"] for row in rows] == scores.tokens
    assert [row["spelling_nats"] for row in rows] == pytest.approx(scores.unk_cost.tolist())
    assert {row["place"] for row in rows} == {text}
    assert f"{len(rows)} tokens" in shown
    bits = (scores.nats + scores.unk_cost).sum() / math.log(2) / len(TEXT)
    assert f"{bits:.4f} bits per byte" in shown


def test_by_line_shows_and_writes_the_strangest_lines_first(answers, run, text):
    shown = answers("eval", text, "--by", "line", "--top", 2).splitlines()
    answers("eval", text, "--by", "line", "--surprisal", "out.tsv")

    rows = [line.split("\t") for line in Path("out.tsv").read_text("utf-8").splitlines()]
    lines = seqgen.load(run).surprisal(load_documents([text]), tokens=False).lines
    assert [int(row[rows[0].index("line")]) for row in rows[1:]] == (lines.strangest() + 1).tolist()
    assert len(rows) == 1 + 4
    assert [line.split()[0] for line in shown[-2:]] == [str(line + 1) for line in lines.strangest(2)]
    assert "zzz qqq!" in shown[-2]


def test_text_of_a_document_is_cut_in_a_pipe_and_no_line_is_padded(answers, run, text):
    Path("long.txt").write_text(TEXT * 30, "utf-8")

    lines = answers("eval", "long.txt", text, "--by", "document").splitlines()

    start = lines[-3].index("text")
    assert lines[-2][start:].startswith("The old king")
    assert [line[-1] for line in lines[-2:] if len(line) > start + 80 - 1] == ["…"]
    assert max(len(line) for line in lines[-3:]) == start + 80
    assert [line.rstrip() for line in lines] == lines


@pytest.mark.parametrize("width", [60, 150])
def test_text_of_a_document_has_the_columns_that_figures_leave_in_a_terminal(invoke, run, text, width):
    Path("long.txt").write_text(TEXT * 30, "utf-8")

    shown = re.sub(r"\x1b\[[\d;]*m", "", invoke("eval", "long.txt", "--by", "document", terminal=width).stdout)

    head, row = shown.splitlines()[-2:]
    assert head.split() == ["nats", "bits", "per", "byte", "strangeness", "text"]
    assert len(row) == width
    assert row.endswith("…")


@pytest.mark.parametrize("file", ["out.html", "out.tsv"])
def test_strangest_lines_are_shown_where_a_file_is_written_too(answers, run, text, file):
    alone = answers("eval", text, "--by", "line", "--top", 2)

    assert answers("eval", text, "--by", "line", "--top", 2, "--surprisal", file).startswith(alone)
    assert Path(file).exists()


def test_by_token_and_by_document_are_shown(answers, run, text):
    Path("second.txt").write_text("The river.\n", "utf-8")

    tokens = answers("eval", text, "--by", "token", "--top", 3).splitlines()
    documents = answers("eval", text, "second.txt", "--by", "document").splitlines()

    assert len(tokens) == len(documents) + 1 == 3 + 1 + 2
    assert "rank" in tokens[2]
    assert {line.split()[0] for line in documents[-2:]} == {text, "second.txt"}


def test_json_has_the_rows_and_the_calibration(answers, run, text):
    record = json.loads(answers("eval", text, "--by", "line", "--calibration", "--json"))

    assert record["run"] == str(run)
    assert record["texts"] == [text]
    assert record["strangest"][0]["text"] == "zzz qqq!"
    assert (record["by"], len(record["strangest"])) == ("line", 4)
    calibration = record["calibration"]
    assert sum(row["count"] for row in calibration["bins"]) == record["tokens"] == len(TEXT)
    gaps = [row["count"] * abs(row["confidence"] - row["accuracy"]) for row in calibration["bins"]]
    assert calibration["error"] == pytest.approx(sum(gaps) / len(TEXT))


def test_calibration_prints_its_bins_and_draws_them(answers, run, text):
    shown = answers("eval", text, "--calibration", "--out", "out.html").splitlines()

    error = json.loads(answers("eval", text, "--calibration", "--json"))["calibration"]["error"]
    assert any(f"{error:.4f}" in line for line in shown)
    assert Path("out.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_calibration_is_drawn_as_a_picture(answers, run, text):
    answers("eval", text, "--calibration", "--out", "out.svg")

    assert "<svg" in Path("out.svg").read_text("utf-8")


def test_surprisal_writes_a_page_against_another_run(answers, run, text):
    answers("train", "held-out.txt", "--cell", "ngram", "--out", "runs/other", "--valid-split", "none", "--quiet")

    options = ("--run", run, "--surprisal", "out.html", "--against", "runs/other", "--quiet")

    shown = answers("eval", text, *options).splitlines()

    record = json.loads(answers("eval", text, *options, "--json"))
    figures = {one["run"]: one for one in (record, record["against"])}
    assert list(figures) == [str(run), "runs/other"]
    bits = [one["bits_per_byte"] for one in figures.values()]
    for line, name, value in zip(shown[-3:-1], figures, bits, strict=True):
        assert line.startswith(f"{name}: {len(TEXT)} tokens")
        assert line.endswith(f"{value:.4f} bits per byte")
    better = str(run) if bits[0] < bits[1] else "runs/other"
    assert shown[-1] == f"{better} needs {abs(bits[0] - bits[1]):.4f} bits per byte less"
    page = Path("out.html").read_text("utf-8")
    assert str(run) in page
    assert "runs/other" in page
    assert "difference" in page


def test_page_of_a_long_text_notes_what_it_shows(invoke, run, text, monkeypatch):
    monkeypatch.setattr("seqgen.pages.surprisal.MOST_TOKENS", 40)

    shown = invoke("eval", text, "--surprisal", "out.html")

    assert shown.exit_code == 0
    assert re.search(r"\b3 lines\b.*\b4 lines\b", shown.stderr)
    assert invoke("eval", text, "--surprisal", "out.html", "--quiet").stderr == ""


def test_validation_part_and_context_options_apply(answers, run):
    record = json.loads(answers("eval", "--by", "line", "--context-window", 4, "--json"))

    assert record["texts"] == ["validation part"]
    expected = json.loads(answers("eval", "--context-window", 4, "--json"))
    assert record["nats_per_token"] == pytest.approx(expected["nats_per_token"], rel=1e-5)
    assert record["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=1e-5)


@pytest.mark.parametrize(
    ("code", "arguments", "word"),
    [
        (2, ["--surprisal", "out.pdf"], "out.pdf"),
        (2, ["--surprisal", "out"], ".html"),
        (4, ["--surprisal", "gone/out.html"], "gone"),
        (2, ["--calibration", "--out", "out.tsv"], "out.tsv"),
        (2, ["--out", "out.png"], "--calibration"),
        (2, ["--against", "runs/other"], "--surprisal"),
        (2, ["--against", "runs/other", "--surprisal", "out.tsv"], "--surprisal"),
        (2, ["--top", 3], "--by"),
        (2, ["--by", "line", "--top", 0], "--top"),
        (2, ["--by", "word"], "--by"),
        (2, ["--by", "line", "--dynamic"], "dynamic"),
        (2, ["--calibration", "--cache"], "cache"),
        (2, ["--surprisal", "out.html", "--against", "runs/corpus-gru"], "against"),
    ],
)
def test_impossible_requests_are_refused(refuses, run, text, code, arguments, word):
    refuses(code, "eval", text, *arguments, words=(word,))

    assert not Path("out.html").exists()


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        (Request(calibration=True), "calibration"),
        (Request(by="line", calibration=True), "by"),
        (Request(file="out.tsv", by="line"), "surprisal"),
    ],
    ids=["calibration", "by", "surprisal"],
)
@pytest.mark.parametrize(("task", "figures"), [("classify", "calibration error"), ("translate", "figures of this run")])
def test_runs_of_other_tasks_are_refused_by_the_name_of_the_option(request_, option, task, figures):
    run = SimpleNamespace(path="runs/pairs", config=SimpleNamespace(data=SimpleNamespace(task=task)))

    with pytest.raises(ConfigError, match=rf"^{option}: .*continue texts.*--task {task}.*{figures}"):
        request_.refuse_pairs(run)
    Request().refuse_pairs(run)


@pytest.mark.slow
def test_runs_of_other_tasks_are_refused(refuses, label_runs, text):
    words = ("--by", "continue texts", "calibration error")
    refuses(2, "eval", text, "--run", label_runs / "classifier", "--by", "line", words=words)


@pytest.mark.parametrize(
    ("other", "named", "code"),
    [
        ("runs/gone", True, 1),
        ("runs/corpus-gru", True, 2),
        ("runs/classifier", True, 2),
        ("runs/other", False, 2),
    ],
    ids=["missing", "the run itself", "another task", "another validation part"],
)
def test_against_refuses_the_runs_that_compare_refuses(refuses, run, label_runs, text, other, named, code):
    shutil.copytree(label_runs / "classifier", "runs/classifier")
    config = json.loads((run / "config.json").read_text("utf-8"))
    config["data"]["valid_share"] = 0.3
    shutil.copytree(run, "runs/other")
    Path("runs/other/config.json").write_text(json.dumps(config), "utf-8")
    texts = [text] if named else []

    error = refuses(code, "eval", *texts, "--run", run, "--surprisal", "out.html", "--against", other, words=(other,))
    assert (" --against: " in error) is (code == 2)
    assert "--run" not in error
    refuses(code, "compare", run, other, *(("--text", text) if named else ()), words=(other,))


@pytest.mark.slow
def test_against_refuses_a_run_that_reads_other_bytes(refuses, run, text):
    settings = {"cell": "ngram", "documents": "line", "tokenizer": "char", "valid_split": "none"}
    seqgen.train("corpus.txt", out="runs/lines", **settings).run()
    options = ("--documents", "line", "--run", "runs/lines", "--surprisal", "out.html", "--against", run)

    refuses(2, "eval", text, "--quiet", *options, words=("--against", str(run), "runs/lines"))


def test_too_many_tokens_for_one_by_one_are_refused(refuses, run, text, monkeypatch):
    monkeypatch.setattr("seqgen.evaluation.surprisal.measure.MOST_TOKENS", 10)

    refuses(1, "eval", text, "--surprisal", "out.tsv", words=("--by line",))

"""`seqgen inspect context`: tables, JSON, charts, members, and errors."""

from __future__ import annotations

import json
import re
import shutil
from inspect import signature
from pathlib import Path

import pytest
from seqgen.cli.commands.inspect import context as command

import seqgen
from seqgen.inspection.context import LONGEST, TARGETS, measure_context
from seqgen.pages.charts.context import context_charts

FEW = ("--targets", 5, "--longest", 16)


@pytest.fixture
def expected(corpus, run):
    """Return the losses of the run at five places of the corpus."""
    (found,) = measure_context([seqgen.load(run)], [corpus.read_text("utf-8")], targets=5, longest=16)
    return found


def test_table_has_a_column_for_each_run(answers, run, transformer, expected):
    shown = answers("inspect", "context", run, transformer, "--text", "corpus.txt", *FEW)

    lines = [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines()]
    assert lines[1] == ["last tokens", "corpus-gru", "corpus-transformer"]
    assert [line[0] for line in lines[2:9]] == ["1", "2", "4", "8", "16", "all before", "within 1% of the best"]
    value, error = expected.loss(expected.by_length[0], "nats per token")
    assert lines[2][1] == f"{value:.4f} ± {error:.4f}"
    assert ["disturbed, k", "corpus-gru", "corpus-transformer"] in lines
    value, error = expected.added(expected.shuffled[1], "nats per token")
    assert next(line for line in lines if line[0] == "shuffled, 10")[1] == f"{value:+.4f} ± {error:.4f}"


def test_many_unknown_tokens_are_noted_for_each_run(invoke, run):
    (run.parents[1] / "much.txt").write_text("왕국 a king " * 9, "utf-8")
    other = shutil.copytree(run, "runs/other")

    shown = invoke("inspect", "context", run, other, "--text", "much.txt", *FEW)

    assert shown.exit_code == 0
    for one in (run, other):
        assert f"20% of its 90 tokens are <unk>, because they are not in the vocabulary of {one}\n" in shown.stderr


def test_json_has_every_loss_in_both_units(answers, run, expected):
    found = json.loads(answers("inspect", "context", run, "--text", "corpus.txt", "--json", *FEW))

    (record,) = found["runs"]
    assert (found["text"], found["places"], record["run"]) == ("corpus.txt", 5, str(run))
    assert record["tokens"] == 5

    assert [one["tokens"] for one in record["lengths"]] == [1, 2, 4, 8, 16]
    for one, losses in zip(record["lengths"], expected.by_length, strict=True):
        assert one["nats_per_token"] == expected.loss(losses, "nats per token")._asdict()
        assert one["bits_per_byte"] == expected.loss(losses, "bits per byte")._asdict()
    assert record["whole"]["nats_per_token"]["value"] == pytest.approx(expected.whole.mean())
    assert [(one["kind"], one["distance"]) for one in record["disturbed"][2:5]] == [
        ("shuffled", 5), ("shuffled", 10), ("replaced", 5)
    ]  # fmt: skip
    assert record["disturbed"][3]["added"]["nats_per_token"]["value"] == pytest.approx(
        (expected.shuffled[1] - expected.undisturbed).mean()
    )
    assert record["horizon"] == expected.horizon


@pytest.mark.slow
def test_run_with_limited_positions_has_shorter_contexts(invoke, corpus, run):
    settings = {"cell": "transformer", "positions": "sinusoidal", "block_size": 6, "max_steps": 1}
    seqgen.train("corpus.txt", out="runs/limited", hidden_size=16, **settings).run()

    result = invoke("inspect", "context", "runs/limited", run, "--text", "corpus.txt", *FEW, terminal=80)
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]

    assert [len(line) for line in lines if line[0] in {"2", "4", "8", "16"}][:4] == [3, 3, 2, 2]
    assert "4 or 16 tokens" in result.stdout
    assert len(next(line for line in lines if line[0] == "shuffled, 10")) == 2
    assert "short" not in result.stderr


@pytest.mark.slow
def test_members_are_measured_as_runs(answers, corpus, in_tmp):
    settings = {"hidden_size": 8, "max_steps": 2, "batch_size": 4, "precision": "fp32"}
    seqgen.train("corpus.txt", out="runs/mixed", cell="gru+ngram", **settings).run()

    records = json.loads(answers("inspect", "context", "--members", "--json", *FEW))["runs"]

    assert [Path(one["run"]) for one in records] == [
        Path("runs/mixed"), Path("runs/mixed/members/gru"), Path("runs/mixed/members/ngram")
    ]  # fmt: skip


def test_page_has_the_charts(answers, run, expected):
    assert answers("inspect", "context", run, "--text", "corpus.txt", "--out", "out.html", *FEW) == ""

    data = json.loads(re.search(r'id="data">(.*?)</script>', Path("out.html").read_text("utf-8"), re.DOTALL)[1])
    for drawn, chart in zip(data["charts"], context_charts([expected], "nats per token"), strict=True):
        assert [curve["name"] for curve in drawn["curves"]] == [curve.name for curve in chart.curves]
        assert [curve["y"] for curve in drawn["curves"]] == [list(curve.y) for curve in chart.curves]


def test_runs_that_have_no_room_are_in_further_tables(answers, run):
    runs = [run, *(shutil.copytree(run, f"runs/a-name-of-some-length-{number}") for number in range(3))]

    printed = answers("inspect", "context", *runs, "--text", "corpus.txt", *FEW, terminal=80)

    shown = re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()
    heads = [line.split()[2:] for line in shown if line.split()[:2] == ["last", "tokens"]]
    assert len(heads) == 2
    assert [name for names in heads for name in names] == [Path(one).name for one in runs]
    assert max(map(len, shown)) <= 80
    assert all(line.count("±") == len(heads[0]) for line in shown[2:8])


def test_charts_are_drawn_in_a_terminal(answers, run):
    shown = answers("inspect", "context", "--text", "corpus.txt", *FEW, terminal=80)

    assert "tokens of context, n" in shown
    assert "tokens that stay as they are, k" in shown


@pytest.mark.slow  # matplotlib takes a second to import
def test_picture_is_drawn(answers, run):
    pytest.importorskip("matplotlib")

    answers("inspect", "context", "--out", "out.svg", *FEW)

    assert "<svg" in Path("out.svg").read_text("utf-8")


def test_short_documents_are_noted(invoke, run):
    Path("lines.jsonl").write_text('{"text": "The sailor"}\n' * 9, "utf-8")

    assert "4 tokens" in invoke("inspect", "context", "--text", "lines.jsonl").stderr
    assert invoke("inspect", "context", "--text", "lines.jsonl", "--quiet").stderr == ""


def test_defaults_are_those_of_the_library():
    parameters = signature(command.context).parameters

    assert (parameters["targets"].default, parameters["longest"].default) == (TARGETS, LONGEST)


@pytest.mark.slow
def test_runs_of_other_tasks_and_with_other_validation_parts_are_refused(refuses, run, label_runs):
    refuses(2, "inspect", "context", label_runs / "classifier", words=("classify",))
    Path("other.txt").write_text(Path("corpus.txt").read_text("utf-8")[::-1], "utf-8")
    seqgen.train("other.txt", out="runs/other", cell="ngram").run()
    refuses(2, "inspect", "context", run, "runs/other", words=("--text",))


def test_impossible_arguments_are_refused(refuses, run):
    def refused(code, *arguments, words):
        refuses(code, "inspect", "context", *arguments, words=words)

    Path("tiny.txt").write_text("a", "utf-8")
    refused(1, "--text", "tiny.txt", words=("short",))
    refused(1, "--text", "missing.txt", words=("missing.txt",))
    refused(1, "runs/missing", words=("runs/missing",))
    refused(2, "--out", "out.pdf", words=("--out", "out.pdf"))
    refused(4, "--out", "missing/out.html", words=("missing/out.html",))

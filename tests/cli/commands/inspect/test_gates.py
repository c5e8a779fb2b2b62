from __future__ import annotations

import json

import numpy as np
import pytest

import seqgen
from seqgen.inspection.gates import measure_gates


def test_gates_prints_the_tables_of_the_validation_part(answers, run):
    found = measure_gates(seqgen.load(run), seqgen.load(run).validation_texts())

    lines = answers("inspect", "gates", "--top", "3").splitlines()

    assert lines[0].startswith(f"{run}: gru 1x16, ")
    assert f"{found.tokens:,} tokens" in lines[0]
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in lines if line}
    for name, gate in found.gates.items():
        assert rows["0", name] == [f"{gate.mean.mean():.3f}", f"{gate.left.mean():.1%}", f"{gate.right.mean():.1%}"]
    places = [line.split()[:3] for line in lines[-3:]]
    assert places == [["0", str(unit), f"{found.half_life[0, unit]:.2f}"] for _, unit in found.longest(3)]


def test_json_has_the_figures_of_every_unit(answers, run, corpus):
    corpus.write_text("The sailor watches the river.\n", "utf-8")

    record = json.loads(answers("inspect", "gates", run, corpus, "--json"))

    found = measure_gates(seqgen.load(run), [corpus.read_text("utf-8")])
    assert (record["cell"], record["tokens"], record["retention"]) == ("gru", found.tokens, "update")
    assert (record["run"], record["text"]) == (str(run), str(corpus))
    assert [(one["layer"], one["unit"]) for one in record["units"]] == [(0, unit) for unit in range(16)]
    np.testing.assert_allclose([one["half_life"] for one in record["units"]], found.half_life[0])
    right = [one["gates"]["update"]["right"] for one in record["units"]]
    np.testing.assert_allclose(right, found.gates["update"].right[0])


def test_long_text_is_cut_with_a_notice(invoke, run, monkeypatch):
    monkeypatch.setattr("seqgen.cli.commands.inspect.gates.MOST_CHARACTERS", 50)

    result = invoke("inspect", "gates", run, "-", "--json", stdin="The sailor watches the river.\n" * 9)

    assert json.loads(result.stdout)["tokens"] == 50
    assert "50 of 270" in result.stderr


def test_many_unknown_tokens_are_noted(invoke, run):
    (run.parents[1] / "much.txt").write_text("왕국 a king " * 9, "utf-8")

    assert "much.txt: 20% of its 90 tokens are <unk>" in invoke("inspect", "gates", run, "much.txt").stderr
    assert invoke("inspect", "gates", run, "much.txt", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("name", "start"), [("gates.html", b"<!doctype html>"), pytest.param("gates.svg", b"<?xml", marks=pytest.mark.slow)]
)
def test_out_is_a_page_or_a_picture(invoke, run, name, start):
    if name.endswith(".svg"):
        pytest.importorskip("matplotlib")

    result = invoke("inspect", "gates", run, "--out", name)

    assert (result.exit_code, result.stdout) == (0, "")
    assert (run.parents[1] / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("code", "arguments", "word"),
    [
        (2, ["--out", "gates.pdf"], "gates.pdf"),
        (4, ["--out", "missing/gates.html"], "missing"),
        (1, ["nowhere.txt"], "nowhere.txt"),
        (1, ["empty.txt"], "empty.txt"),
        (2, ["--member", "lstm"], "lstm"),
    ],
)
def test_gates_refuses_impossible_arguments(refuses, run, code, arguments, word):
    (run.parents[1] / "empty.txt").touch()

    refuses(code, "inspect", "gates", run, *arguments, words=(word,))


@pytest.mark.slow
def test_gates_refuses_runs_without_gates(refuses, label_runs, corpus):
    refuses(2, "inspect", "gates", label_runs / "classifier", words=("--task classify",))
    for cell, words in (("rnn", ("gradients",)), ("ngram", ("ngram",))):
        seqgen.train(corpus, out=corpus.parent / cell, cell=cell, **({} if cell == "ngram" else {"max_steps": 1})).run()
        refuses(2, "inspect", "gates", corpus.parent / cell, words=words)

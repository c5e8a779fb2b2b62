from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

import seqgen
from seqgen.inspection.gradients import measure_gradients

QUICK = ("--distance", 20, "--positions", 4)


def test_gradients_prints_a_row_for_each_state(answers, run):
    documents = list(seqgen.load(run).validation_texts())
    (norms,) = measure_gradients(seqgen.load(run), documents, distance=20, positions=4).norms

    lines = answers("inspect", "gradients", *QUICK).splitlines()

    figures = [f"{norms.mean[k]:.2g}" for k in (0, 2, 20)]
    horizon = [">", "20"] if norms.horizon is None else [str(norms.horizon)]
    assert "4 positions" in lines[0]
    assert lines[2].split() == ["corpus-gru", "trained", "h", *figures, f"{norms.decay:.3g}", *horizon]
    assert len(lines) == 3


def test_json_has_the_norms_of_every_run_trained_and_untrained(answers, run, corpus):
    shutil.copytree(run, "runs/second")

    record = json.loads(
        answers("inspect", "gradients", run, "runs/second", "--text", corpus, "--untrained", "--json", *QUICK)
    )

    loaded, text = seqgen.load(run), corpus.read_text("utf-8")
    assert (record["text"], record["of"], record["distance"], record["positions"]) == (str(corpus), "state", 20, 4)
    assert [(one["run"], one["trained"]) for one in record["runs"]] == [
        (str(run), True), (str(run), False), ("runs/second", True), ("runs/second", False)
    ]  # fmt: skip
    for one, trained in zip(record["runs"][:2], (True, False), strict=True):
        (norms,) = measure_gradients(loaded, [text], distance=20, positions=4, trained=trained).norms
        np.testing.assert_allclose(one["norms"][0]["mean"], norms.mean)
        np.testing.assert_allclose(one["norms"][0]["high"], norms.quantile(0.9))
        assert (one["norms"][0]["horizon"], one["norms"][0]["factor_per_token"]) == (norms.horizon, norms.decay)
    assert record["runs"][1]["gate_bias"] == {"update": 0.0}


def test_long_text_is_cut_with_a_notice(invoke, run, monkeypatch):
    monkeypatch.setattr("seqgen.cli.commands.inspect.gradients.MOST_CHARACTERS", 50)

    result = invoke("inspect", "gradients", run, "--text", "-", *QUICK, stdin="The sailor watches the river.\n" * 9)

    assert result.exit_code == 0
    assert "50 of 270" in result.stderr


def test_few_positions_are_noted(invoke, run):
    result = invoke("inspect", "gradients", run, "--text", "-", "--distance", 20, stdin="The sailor watches the ri")

    assert "4 positions" in result.stderr


def test_many_unknown_tokens_are_noted_for_each_run(invoke, run):
    (run.parents[1] / "much.txt").write_text("왕국 a king " * 9, "utf-8")
    other = shutil.copytree(run, "runs/other")

    shown = invoke("inspect", "gradients", run, other, "--text", "much.txt", *QUICK)

    assert shown.exit_code == 0
    for one in (run, other):
        assert f"20% of its 90 tokens are <unk>, because they are not in the vocabulary of {one}\n" in shown.stderr


def test_terminal_shows_a_table_that_fits_and_the_chart(invoke, run):
    long = shutil.copytree(run, "runs/a-name-of-quite-some-length-that-has-no-room")

    result = invoke("inspect", "gradients", run, long, "--untrained", *QUICK, terminal=80)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert "untrained, update bias 0" in result.stdout
    assert "k, tokens back" in result.stdout


@pytest.mark.slow
def test_out_is_a_page_or_a_picture(answers, run):
    pytest.importorskip("matplotlib")
    for name, start in (("gradients.html", b"<!doctype html>"), ("gradients.svg", b"<?xml")):
        assert answers("inspect", "gradients", run, *QUICK, "--out", name) == ""
        assert (run.parents[1] / name).read_bytes().startswith(start)


@pytest.mark.slow
def test_families_without_a_state_are_compared_by_the_input(answers, run, corpus):
    for cell in ("transformer", "window"):
        seqgen.train(corpus, out=f"runs/{cell}", cell=cell, hidden_size=16, max_steps=2, eval_every=2).run()

    record = json.loads(answers("inspect", "gradients", run, "runs/transformer", "runs/window", "--json", *QUICK))

    assert [one["norms"][0]["of"] for one in record["runs"]] == ["input"] * 3
    window = np.array(record["runs"][2]["norms"][0]["mean"])
    assert window[:8].all()
    assert not window[8:].any()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--out", "gradients.pdf"], 2, "gradients.pdf"),
        (["--out", "missing/gradients.html"], 4, "missing"),
        (["--text", "nowhere.txt"], 1, "nowhere.txt"),
        (["--text", "empty.txt"], 1, "empty.txt"),
        (["--distance", "9999"], 1, "10,001"),
        (["--member", "lstm"], 2, "lstm"),
        (["runs/corpus-gru"], 2, "itself"),
    ],
)
def test_gradients_refuses_impossible_arguments(refuses, run, arguments, code, word):
    (run.parents[1] / "empty.txt").touch()

    refuses(code, "inspect", "gradients", run, *arguments, words=(word,))


@pytest.mark.slow
def test_gradients_refuses_runs_without_gradients(refuses, label_runs, corpus, run):
    refuses(2, "inspect", "gradients", label_runs / "classifier", words=("--task classify",))
    seqgen.train(corpus, out="runs/ngram", cell="ngram").run()
    refuses(2, "inspect", "gradients", "runs/ngram", words=("ngram",))
    seqgen.train(corpus, out="runs/bytes", cell="rnn", encoding="bytes", hidden_size=8, max_steps=1).run()
    refuses(2, "inspect", "gradients", run, "runs/bytes", words=("bytes",))

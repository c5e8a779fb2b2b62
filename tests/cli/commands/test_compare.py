"""`seqgen compare`: rows of runs, columns of texts, and what a difference is a claim about."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

import seqgen

from ...conftest import TEXT
from ..conftest import SMALL


@pytest.fixture
def texts(in_tmp):
    """Two texts that no run has learned from."""
    for name, content in (("a.txt", TEXT[::-1] * 2), ("b.txt", TEXT.title() * 2)):
        Path(name).write_text(content, "utf-8")
    return ["a.txt", "b.txt"]


@pytest.fixture(scope="module")
def _fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "corpus.txt").write_text(TEXT, "utf-8", newline="")
    seqgen.train(folder / "corpus.txt", out=folder / "ngram", cell="ngram", tokenizer="char").run()
    return folder / "ngram"


@pytest.fixture
def ngram(run, _fitted):
    """A second run, of n-grams, on the same text."""
    return Path(shutil.copytree(_fitted, "runs/ngram"))


def test_compare_prints_runs_as_rows_and_texts_as_columns(invoke, run, ngram, texts):
    result = invoke("compare", run, ngram, "--text", *texts, terminal=200)

    head, first, second, *rest = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    expected = [seqgen.load(ngram).evaluate(text).bits_per_byte for text in texts]
    assert head.split() == ["run", "parameters", "trained", "tokens/s", *texts]
    assert (first.split()[0], second.split()[0]) == (str(run), str(ngram))
    assert all(f"{bits:.4f} (" in second for bits in expected)
    assert any("blocks of 500 bytes" in line and "95%" in line for line in rest)
    assert sum(line.startswith(str(run)) and str(ngram) in line for line in rest) == 2


def test_compare_json_has_the_figures_of_eval(answers, run, ngram, texts):
    found = json.loads(answers("compare", run, ngram, "--text", "a.txt", "--json"))

    assert [one["run"] for one in found["runs"]] == [str(run), str(ngram)]
    (text,) = found["texts"]
    for number, path in enumerate([run, ngram]):
        evaluation = json.loads(answers("eval", "a.txt", "--run", path, "--json"))
        one = text["runs"][number]
        assert one["bits_per_byte"] == pytest.approx(evaluation["bits_per_byte"], rel=1e-9)
        assert one["interval"][0] < one["bits_per_byte"] < one["interval"][1]
    (pair,) = text["differences"]
    assert pair["runs"] == [str(run), str(ngram)]
    assert pair["interval"][0] < pair["bits_per_byte"] < pair["interval"][1]
    assert 0 < pair["p"] <= 1
    assert (text["block_bytes"], text["bytes"]) == (500, len(TEXT) * 2)


@pytest.mark.slow
def test_compare_dynamic_shows_both_figures_of_a_text(answers, ngram, texts):
    shown = answers("compare", ngram, "--text", "a.txt", "--dynamic")

    evaluation = json.loads(answers("eval", "a.txt", "--run", ngram, "--dynamic", "--json"))
    head, row, *_ = shown.splitlines()
    assert head.split()[-3:] == ["a.txt", "a.txt,", "dynamic"]
    assert f" {evaluation['bits_per_byte']:.4f} (" in row
    assert f" {evaluation['dynamic']['bits_per_byte']:.4f} (" in row


@pytest.mark.slow
def test_compare_csv_has_a_line_for_each_run_and_text(answers, run, ngram, texts):
    rows = list(csv.DictReader(io.StringIO(answers("compare", run, ngram, "--text", *texts, "--csv", "--block", 250))))

    assert [(row["run"], row["text"]) for row in rows] == [(str(one), text) for text in texts for one in (run, ngram)]
    assert {row["block_bytes"] for row in rows} == {"250"}
    assert float(rows[0]["low"]) < float(rows[0]["bits_per_byte"]) < float(rows[0]["high"])
    assert int(rows[0]["parameters"]) > 0


def test_compare_takes_the_validation_part_that_the_runs_share(invoke, run, ngram):
    result = invoke("compare", run, ngram, "--json")

    (text,) = json.loads(result.stdout)["texts"]
    assert text["text"] == "validation part"
    assert text["differences"] == []
    table = invoke("compare", run, ngram)
    assert "--block" in table.stderr
    assert "(" not in table.stdout


@pytest.mark.slow
def test_compare_seeds_shows_the_spread_and_compares_groups(answers, run, ngram, texts):
    for name, seed, size in (("s1", 1, 16), ("s2", 2, 16), ("big-1", 1, 24), ("big-2", 2, 24)):
        settings = {**SMALL, "seed": seed, "hidden_size": size, "max_steps": 2, "eval_every": 2}
        seqgen.train("corpus.txt", out=f"runs/{name}", **settings).run()
    runs = ["runs/s1", "runs/s2", "runs/big-1", "runs/big-2", ngram]

    found = json.loads(answers("compare", *runs, "--text", "a.txt", "--seeds", "--json"))
    shown = answers("compare", *runs, "--text", "a.txt", "--seeds")

    (text,) = found["texts"]
    bits = {one["run"]: one["bits_per_byte"] for one in text["runs"]}
    small, big, alone = text["seeds"]
    assert (small["group"], big["group"], alone["group"]) == ("runs/s*", "runs/big-*", "runs/ngram")
    assert small["mean"] == pytest.approx((bits["runs/s1"] + bits["runs/s2"]) / 2)
    assert (big["least"], big["most"]) == (
        min(bits["runs/big-1"], bits["runs/big-2"]), max(bits["runs/big-1"], bits["runs/big-2"])
    )  # fmt: skip
    assert alone["deviation"] is None
    (methods,) = text["methods"]
    assert methods["groups"] == ["runs/s*", "runs/big-*"]
    assert methods["least_p"] == pytest.approx(1 / 3)
    assert "2 and 2 seeds" in shown
    assert f"{small['mean']:.4f}" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["runs/corpus-gru", "runs/gone"], 1, ("runs/gone",)),
        (["runs/corpus-gru", "runs/corpus-gru"], 2, ("runs/corpus-gru",)),
        (["runs/corpus-gru", "runs/classifier"], 2, ("runs/classifier", "--task classify")),
        (["runs/corpus-gru", "runs/other"], 2, ("runs/other", "--text")),
        (["runs/corpus-gru", "--seeds", "--text", "a.txt"], 2, ("--seed",)),
        (["runs/corpus-gru", "--text", "gone.txt"], 1, ("gone.txt",)),
        (["runs/corpus-gru", "--encoding", "cp949"], 2, ("--encoding", "--text")),
        (["runs/corpus-gru", "--text", "a.txt", "--csv", "--json"], 2, ("--csv", "--json")),
        (["runs/corpus-gru", "--text", "a.txt", "--dynamic", "--stride", "3"], 2, ("--stride",)),
        (["--text", "a.txt"], 2, ("RUN",)),
    ],
)
def test_compare_refuses(refuses, run, label_runs, texts, arguments, code, words):
    shutil.copytree(label_runs / "classifier", "runs/classifier")
    if "runs/other" in arguments:
        config = json.loads((run / "config.json").read_text("utf-8"))
        config["data"]["valid_share"] = 0.3
        shutil.copytree(run, "runs/other")
        Path("runs/other/config.json").write_text(json.dumps(config), "utf-8")

    refuses(code, "compare", *arguments, words=words)


def test_compare_names_the_run_without_weights(refuses, run, texts):
    (run / "model.safetensors").unlink()

    refuses(1, "compare", run, "--text", "a.txt", words=(str(run),))


@pytest.mark.slow
def test_compare_prints_a_table_for_each_text_where_one_is_too_wide(invoke, run, ngram, texts):
    result = invoke("compare", run, ngram, "--text", *texts, terminal=60)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    assert [line.split()[-1] for line in lines if line.split()[:1] == ["run"]][:2] == texts
    assert max(map(len, lines[:6])) <= 60
    assert "parameters" in result.stderr

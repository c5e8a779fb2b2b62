from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import seqgen
from seqgen.inspection.step import step_text
from seqgen.pages.step import write_equation

pytestmark = pytest.mark.slow


def test_step_prints_the_equations_and_the_costs_of_hello(answers, run):
    steps = step_text(seqgen.load(run), "hello")

    text = answers("inspect", "step")

    (unit,) = steps.units
    assert text.startswith(f"{run}: gru 1x16, char; layer 0, unit {unit.unit}\n")
    squeezed = re.sub(r" +", " ", text)
    for equations in unit.equations:
        for equation in equations:
            symbol, formula, numbers, result = write_equation(equation)
            assert f" {symbol} = {formula} = {numbers} = {result}\n" in squeezed
    headings = [line for line in text.splitlines() if " -> " in line]
    assert headings == ["start -> h", "h -> e", "e -> l", "l -> l", "l -> o"]
    for found in steps.next_tokens[:-1]:
        assert f"cost of {found.actual}: -ln p = {found.nats:.3f} nats\n" in text
    assert answers("inspect", "step", run, "hello") == answers("inspect", "step", run) == text
    assert answers("inspect", "step", "hello") == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "options"),
    [("step", ("hello",)), ("gates", ()), ("units", ()), ("gradients", ("--positions", 2, "--distance", 3))],
)
def test_tables_and_pages_of_a_member_name_it_and_its_run(answers, corpus, in_tmp, command, options):
    settings = {"hidden_size": 8, "max_steps": 2, "batch_size": 4, "precision": "fp32"}
    seqgen.train("corpus.txt", out="runs/mixed", cell="gru+ngram", **settings).run()

    shown = answers("inspect", command, "runs/mixed", *options)
    answers("inspect", command, "runs/mixed", *options, "--out", "out.html")

    name = "gru of mixed" if command == "gradients" else "gru of runs/mixed"
    assert name in shown
    assert re.search(rf"<title>.*\b{name}\b", Path("out.html").read_text("utf-8"))


def test_step_shows_the_chosen_unit(answers, run):
    record = json.loads(answers("inspect", "step", run, "a b", "--unit", "3", "--layer", "0", "--top", "2", "--json"))

    assert (record["run"], record["text"], record["tokens"]) == (str(run), "a b", 3)
    first, *others = record["steps"]
    assert (first["token"], first["units"], first["next"]) == (None, [], "a")
    assert [one["token"] for one in others] == ["a", " ", "b"]
    (unit,) = others[0]["units"]
    assert (unit["layer"], unit["unit"]) == (0, 3)
    assert [one["symbol"] for one in unit["equations"]] == ["r", "z", "h~", "h'"]
    assert all(len(one["top"]) == 2 for one in record["steps"])


def test_step_reads_a_file_and_cuts_it(invoke, run, corpus, monkeypatch):
    monkeypatch.setattr("seqgen.cli.commands.inspect.step.MOST_TOKENS", 3)

    result = invoke("inspect", "step", run, corpus, "--json")

    assert [one["token"] for one in json.loads(result.stdout)["steps"]] == [None, *"The"]
    assert "first 3 tokens" in result.stderr


def test_step_notes_what_is_not_in_the_vocabulary(invoke, run):
    result = invoke("inspect", "step", run, "a가")

    assert result.exit_code == 0
    assert "'가'" in result.stderr


def test_out_is_a_page_with_further_units(invoke, run):
    result = invoke("inspect", "step", run, "hello", "--unit", "5", "--out", "step.html")

    assert (result.exit_code, result.stdout) == (0, "")
    page = (run.parents[1] / "step.html").read_text("utf-8")
    units = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["units"]
    assert len(units) == 8
    assert units[0]["unit"] == 5


@pytest.mark.parametrize(
    ("code", "arguments", "word"),
    [
        (2, ["hello", "--out", "step.png"], ".html"),
        (4, ["hello", "--out", "missing/step.html"], "missing"),
        (1, [""], "text"),
        (2, ["hello", "--unit", "16"], "15"),
        (2, ["hello", "--layer", "1"], "layer"),
    ],
)
def test_step_refuses_impossible_arguments(refuses, run, code, arguments, word):
    refuses(code, "inspect", "step", run, *arguments, words=(word,))


def test_single_argument_in_an_existing_folder_is_a_run(refuses, run):
    refuses(1, "inspect", "step", "runs/missing", words=("runs/missing",))


@pytest.mark.slow
def test_step_prints_the_attention_of_a_transformer(answers, corpus):
    settings = {"hidden_size": 16, "heads": 2, "layers": 2, "max_steps": 1}
    run = corpus.parent / "transformer"
    seqgen.train(corpus, out=run, cell="transformer", **settings).run()
    steps = step_text(seqgen.load(run), "he")

    text = answers("inspect", "step", run, "he")

    first, second, third = steps.attention[1, 1]
    assert f"layer 1 attends to: start {first:.2f}, h {second:.2f}, e {third:.2f}\n" in text
    record = json.loads(answers("inspect", "step", run, "he", "--json"))
    assert record["steps"][2]["attention"] == steps.attention[:, 1].tolist()
    assert record["steps"][1]["units"] == []

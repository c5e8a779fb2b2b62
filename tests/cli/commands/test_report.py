"""`seqgen report`: one page about a run."""

from __future__ import annotations

import json

import pytest

from seqgen.runs.directory import RunDirectory
from seqgen.runs.summary import summarize


def test_report_writes_a_page_into_the_newest_run(answers, run):
    assert answers("report") == f"{run / 'report.html'}\n"

    page = (run / "report.html").read_text("utf-8")
    assert run.name in page
    assert answers("info", run)  # the page does not disturb the run


@pytest.mark.slow
def test_report_writes_where_out_says(answers, run):
    assert answers("report", run, "--out", "page.html") == "page.html\n"

    assert "Surprisal" in (run.parent.parent / "page.html").read_text("utf-8")
    assert not (run / "report.html").exists()


def test_report_json_has_the_result_and_writes_no_page(answers, run):
    made = json.loads(answers("report", run, "--json"))

    figures = {one["name"]: one["value"] for one in made["sections"][0]["blocks"][0]["figures"]}
    directory = RunDirectory(run)
    assert figures["bits per byte"] == summarize(directory, directory.read_config()).best_bits_per_byte
    assert not (run / "report.html").exists()


@pytest.mark.slow
def test_report_of_a_stopped_run_notes_what_is_left_out(invoke, stopped):
    (stopped / "model.safetensors").unlink()

    result = invoke("report", stopped)

    assert (result.exit_code, result.stdout) == (0, f"{stopped / 'report.html'}\n")
    assert "left out: Samples" in result.stderr


def test_report_leaves_out_a_damaged_line_and_names_it(invoke, run):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    incomplete = lines[-1][:9]
    (run / "metrics.jsonl").write_bytes(b"".join([*lines[:2], b"\xffdamaged\n", *lines[2:], incomplete]))

    result = invoke("report", run, "--json")

    made = json.loads(result.stdout)
    assert "Curves" in [one["title"] for one in made["sections"]]
    assert list(made["left_out"]) == ["Damaged lines"]
    assert f"{run / 'metrics.jsonl'}: line 3 " in result.stderr


def test_report_refuses_a_missing_run_and_an_impossible_out_before_the_work(refuses, run):
    (run / "model.safetensors").write_bytes(b"damaged")  # would be an error too, but later

    refuses(2, "report", run, "--out", "page.txt", words=("page.txt", ".html"))
    refuses(4, "report", run, "--out", "nowhere/page.html", words=("nowhere",))
    refuses(1, "report", "nothing", words=("nothing",))
    refuses(1, "report", run, words=("model.safetensors",))

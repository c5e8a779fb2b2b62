"""`seqgen runs`: one line a run, and a broken one hides no other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from seqgen.runs.directory import RunDirectory


@pytest.fixture
def second(run):
    """A second run next to the first."""
    return Path(shutil.copytree(run, "runs/second"))


def test_without_runs_prints_a_note(invoke):
    result = invoke("runs")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("note: no runs under runs/ yet")
    assert "seqgen train" in result.stderr


def test_without_runs_json_is_an_empty_list(invoke):
    result = invoke("runs", "--json")

    assert json.loads(result.stdout) == []
    assert result.stderr == ""


def test_each_run_is_one_line(answers, run):
    long = Path(shutil.copytree(run, "runs/a-run-with-quite-a-long-name-that-no-narrow-column-would-ever-hold"))

    lines = answers("runs").splitlines()

    assert len(lines) == 3
    assert lines[0].split() == ["run", "model", "vocabulary", "text", "parameters", "bits/byte", "steps", "time",
                                "state"]  # fmt: skip
    for line, path in zip(lines[1:], sorted([run, long]), strict=True):
        assert line.startswith(f"{path} ")
        assert "gru 1x16" in line
        assert "corpus.txt" in line
        assert "5/5" in line
        assert line.split()[-1] == "complete"


def test_accuracy_is_shown_where_a_run_has_it(invoke, label_runs, run):
    shutil.copytree(label_runs / "classifier", "runs/classifier")

    head, *both = (line.split() for line in invoke("runs").stdout.splitlines())
    accuracy, bits = head.index("accuracy") - len(head), head.index("bits/byte") - len(head)
    rows = {line[0]: line for line in both}
    assert rows["runs/classifier"][accuracy].endswith("%")
    assert (rows["runs/classifier"][bits], rows["runs/corpus-gru"][accuracy]) == ("-", "-")

    shutil.rmtree("runs/corpus-gru")
    assert "bits/byte" not in invoke("runs").stdout
    Path("runs/classifier").rename("runs/" + "a" * 60)
    assert "% accuracy, complete" in invoke("runs", terminal=60).stdout


NAMES = ["runs/corpus-gru", "runs/english-prose-transformer-12", "runs/a-name-of-some-length-gru-2"]


@pytest.mark.parametrize(
    ("terminal", "columns"),
    [
        (60, ["run", "bits/byte", "state"]),
        (80, ["run", "model", "bits/byte", "steps", "time", "state"]),
        (100, ["run", "model", "text", "bits/byte", "steps", "time", "state"]),
        (200, ["run", "model", "vocabulary", "text", "parameters", "bits/byte", "steps", "time", "state"]),
    ],
)
def test_narrow_terminal_drops_columns_not_names(invoke, run, terminal, columns):
    for name in NAMES[1:]:
        shutil.copytree(run, name)

    result = invoke("runs", terminal=terminal)

    head, *rows = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    assert head.split() == columns
    assert sorted(row.split()[0] for row in rows) == sorted(NAMES)
    assert max(map(len, rows)) <= terminal
    assert [name for name in ("vocabulary", "model", "text") if name in result.stderr] == [
        name for name in ("vocabulary", "model", "text") if name not in columns
    ]


def test_name_longer_than_line_has_its_own_line(invoke, run):
    long = Path(shutil.copytree(run, "runs/" + "a" * 60))

    lines = invoke("runs", terminal=60).stdout.splitlines()

    assert str(long) in lines
    assert [line.split()[-1] for line in lines if "bits/byte, " in line] == ["complete"] * 2


def test_state_of_run_in_training_is_running(answers, run):
    with RunDirectory(run).acquire_lock():
        (row,) = json.loads(answers("runs", "--json"))
        shown = json.loads(answers("info", "--json"))["summary"]["state"]

    assert row["state"] == shown == "running"
    assert json.loads(answers("runs", "--json"))[0]["state"] == "complete"


def test_json_has_every_field(answers, run, second):
    first, other = json.loads(answers("runs", "--json"))

    assert (first["run"], other["run"]) == (str(run), str(second))
    assert first["state"] == "complete"
    assert (first["cell"], first["shape"]) == ("gru", "1x16")
    assert first["steps"] == first["total_steps"] == first["best_step"] == 5
    assert first["parameters"] > 0
    assert first["best_bits_per_byte"] > 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"wings": 2}'),
        ("model.safetensors", b"half"),
        ("metrics.jsonl", b"not json\n"),
        ("metrics.jsonl", b"[]\n"),
        ("metrics.jsonl", b'{"event": "finished", "step": 1, "reason": "tired"}\n'),
        ("metrics.jsonl", b"\xff\xfe\n"),
    ],
)
def test_broken_run_is_a_note_and_others_are_listed(invoke, run, second, name, content):
    (run / name).write_bytes(content)

    result = invoke("runs")

    assert result.exit_code == 0
    assert str(second) in result.stdout
    assert str(run) not in result.stdout
    assert result.stderr.startswith("note: ")
    assert str(run / name) in result.stderr
    assert result.stderr.count("\n") == 1
    assert [one["run"] for one in json.loads(invoke("runs", "--json").stdout)] == [str(second)]


def test_only_broken_runs_are_not_reported_as_none(invoke, run):
    (run / "config.json").write_text("{", "utf-8")

    assert "there are no runs" not in invoke("runs").stderr


def test_state_of_run_without_weights_is_empty(answers, run):
    (run / "model.safetensors").unlink()
    (run / "metrics.jsonl").unlink()

    (row,) = json.loads(answers("runs", "--json"))

    assert (row["state"], row["steps"], row["best_bits_per_byte"], row["parameters"]) == ("empty", 0, None, None)
    assert "empty" in answers("runs")


@pytest.mark.parametrize("terminal", [0, 100])
def test_markup_in_names_is_printed_literally(answers, run, terminal):
    run.rename("runs/[bold]red")

    assert "[bold]red" in answers("runs", terminal=terminal)

"""`seqgen runs`: one line a run, and a broken one hides no other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import seqgen
from seqgen.runs.directory import RunDirectory

from ...conftest import TEXT
from ..conftest import SMALL


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
        ("metrics.jsonl", b'{"event": "finished", "step": 1, "reason": "tired"}\n'),
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


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b'{"event": "evaluated", "step": 5}\n'])
def test_run_with_a_damaged_line_is_listed_and_the_line_is_noted(invoke, run, line):
    expected = invoke("runs").stdout
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join([*lines[:2], line, *lines[2:]]))

    result = invoke("runs")

    assert (result.exit_code, result.stdout) == (0, expected)
    assert f"{run / 'metrics.jsonl'}: line 3 " in result.stderr
    assert result.stderr.count("\n") == 1
    assert "line 3 " in invoke("info", run).stderr


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


@pytest.fixture(scope="module")
def _more_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("more")
    (folder / "corpus.txt").write_text(TEXT, "utf-8", newline="")
    seqgen.train(folder / "corpus.txt", out=folder / "mixed", **{**SMALL, "cell": "gru+ngram"}).run()
    shutil.copytree(folder / "mixed" / "members" / "ngram", folder / "a-ngram")
    return folder


@pytest.fixture
def several(run, label_runs, _more_runs):
    """Runs of several tasks, cells and states."""
    for source in (_more_runs / "a-ngram", _more_runs / "mixed", label_runs / "classifier"):
        shutil.copytree(source, Path("runs", source.name))
    (run / "model.safetensors").unlink()
    return run


def _listed(answers, *arguments) -> list[str]:
    return [Path(one["run"]).name for one in json.loads(answers("runs", "--json", *arguments))]


def test_runs_are_sorted_by_a_column(answers, several):
    rows = {Path(one["run"]).name: one for one in json.loads(answers("runs", "--json"))}

    by_bits = _listed(answers, "--sort", "bits")
    assert by_bits[-1] == "classifier"
    assert by_bits[:3] == sorted(by_bits[:3], key=lambda name: rows[name]["best_bits_per_byte"])
    assert _listed(answers, "--sort", "name") == ["a-ngram", "classifier", "corpus-gru", "mixed"]
    assert _listed(answers, "--sort", "parameters")[-1] == "corpus-gru"
    assert _listed(answers, "--sort", "time") == sorted(rows, key=lambda name: rows[name]["seconds"])
    assert _listed(answers) == sorted(rows, key=lambda name: rows[name]["created"])


def test_runs_are_filtered_and_named(invoke, several):
    for arguments, names in (
        (["--cell", "ngram"], ["a-ngram"]),
        (["--cell", "gru+ngram"], ["mixed"]),
        (["--task", "classify"], ["classifier"]),
        (["--state", "empty"], ["corpus-gru"]),
        (["runs/mixed", "runs/a-ngram", "runs/mixed"], ["a-ngram", "mixed"]),
    ):
        result = invoke("runs", "--json", *arguments)

        assert sorted(Path(one["run"]).name for one in json.loads(result.stdout)) == names
        assert result.stderr == ""


def test_no_run_that_fits_the_filters_is_a_note(invoke, run):
    result = invoke("runs", "--cell", "lstm", "--task", "tag")

    assert result.stdout == ""
    assert "--cell" in result.stderr
    assert result.stderr.count("\n") == 1


def test_named_run_that_is_missing_is_an_error(refuses, run):
    refuses(1, "runs", run, "runs/gone", words=("runs/gone",))


def test_task_is_shown_where_tasks_differ(answers, several):
    head, *rows = answers("runs").splitlines()

    column = head.split().index("task")
    assert {row.split()[column] for row in rows} == {"generate", "classify"}
    assert "task" not in answers("runs", "--task", "generate").splitlines()[0].split()


def test_plot_draws_the_curves_of_runs_in_the_terminal(invoke, several):
    result = invoke("runs", "--plot", terminal=80)

    lines = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(0x2800 < ord(character) < 0x2900 for line in lines[:20] for character in line)
    names = ("corpus-gru", "a-ngram", "mixed, gru", "mixed, ngram", "mixed")
    legend = [line for line in lines[-8:] if line.endswith(names)]
    assert len(legend) == 5
    assert "runs/classifier" in result.stderr


def test_plot_writes_a_page_with_the_validation_losses(answers, run):
    answers("runs", run, "--plot", "curves.html", "--against", "time")

    (chart,) = json.loads(re.search(r'id="data">(.*?)</script>', Path("curves.html").read_text("utf-8"))[1])["charts"]
    (curve,) = chart["curves"]
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    evaluated = [one for one in events if one["event"] == "evaluated"]
    assert curve["x"] == [one["seconds"] for one in evaluated]
    assert curve["y"] == [one["bits_per_byte"] for one in evaluated]
    assert curve["name"] == str(run)


def test_plot_leaves_out_a_damaged_line_and_notes_it_once(invoke, run):
    expected = invoke("runs", "--plot").stdout
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join([*lines[:1], b"damaged\n", *lines[1:], b'{"event": "evalu']))

    result = invoke("runs", "--plot")

    assert (result.exit_code, result.stdout) == (0, expected)
    assert f"{run / 'metrics.jsonl'}: line 2 " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_plot_writes_a_picture(answers, run, name):
    pytest.importorskip("matplotlib")

    answers("runs", "--plot", name, run)

    assert Path(name).stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--plot=curves.pdf"], 2, ("--plot", "curves.pdf", ".svg")),
        (["--plot", "gone/curves.html"], 4, ("gone",)),
        (["--plot", "--json"], 2, ("--plot", "--json")),
        (["--against", "time"], 2, ("--against", "--plot")),
        (["--plot", "--cell", "lstm"], 1, ("bits per byte",)),
    ],
)
def test_plot_refuses(invoke, run, arguments, code, words):
    result = invoke("runs", *arguments)

    assert result.exit_code == code
    assert all(word in result.stderr for word in words)
    assert not list(Path().glob("curves*"))

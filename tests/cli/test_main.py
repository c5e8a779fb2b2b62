"""The program: its table of commands, and what only a process shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqgen import __version__

MAIN = "from seqgen.cli.main import main; main()"


def run(*arguments, check="", **options):
    """`seqgen ARGUMENTS...` as a process of its own; `check` is what it does at its end."""
    checked = f"import os\nleave = os._exit\ndef end(code):\n    {check}\n    leave(code)\nos._exit = end\n"
    code = checked + MAIN if check else MAIN
    options["env"] = {**os.environ, "PYTHONUNBUFFERED": "", **options.get("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.fixture
def closed_pipe():
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_help_lists_the_commands(answers):
    text = answers("--help")

    for command in ("demo", "train", "sample", "eval", "runs", "info", "tokenizer"):
        assert f" {command} " in text
    assert answers("-h") == text


def test_the_version(answers):
    assert answers("--version") == f"seqgen {__version__}\n"


SPIN = "print(os.environ.get('GOMP_SPINCOUNT'), flush=True)"


@pytest.mark.parametrize(
    ("chosen", "spins"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
        ({"OMP_NUM_THREADS": "1"}, "None"),
    ],
)
def test_idle_threads_sleep_unless_the_user_says_how_they_wait(monkeypatch, chosen, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    result = run("runs", check=SPIN, env=chosen)

    assert result.stdout.decode().splitlines()[-1] == spins


def test_the_library_sets_no_environment():
    code = "import os; before = dict(os.environ); import seqgen; seqgen.train; assert dict(os.environ) == before"

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--hiden-size", "3"], ["train", "--layers", "two"],
                                       ["train", "--cell", "[/x]"], ["[/x]"], ["train", "--cell"], []])  # fmt: skip
def test_usage_is_2(invoke, arguments):
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["train", "--cell", "[/x]"], ["[/x]"]])
def test_markup_in_what_was_typed_is_shown_as_it_is(invoke, arguments):
    assert "'[/x]'" in invoke(*arguments).stderr


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        (["train"], ["lstm", "char", "utf-8", "2m", "blocks", "corpus:pydoc, embedded", "runs/<text>-<cell>"]),
        (["sample"], ["500", "0.8", "the newest under runs/", "fp32"]),
        (["eval"], ["what the run itself withheld", "the window"]),
        (["info"], ["the newest"]),
        (["tokenizer", "build"], ["0.9995"]),
    ],
)
def test_help_names_the_defaults(invoke, command, defaults):
    text = invoke(*command, "--help", terminal=200).stdout

    for default in defaults:
        assert f"[default: ({default})]" in text


@pytest.mark.parametrize("command", ["train", "eval", "info"])
def test_usage_brackets_an_argument_once(answers, command):
    assert "[[" not in answers(command, "--help")


@pytest.mark.parametrize("arguments", [["sample", "--help"], ["info", "runs/corpus-gru"], ["runs"], ["--version"]])
def test_a_question_costs_no_torch(run_directory, arguments):
    done = run(*arguments, check="import sys; assert 'torch' not in sys.modules")

    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


@pytest.fixture
def run_directory(request):
    """A run that the commands find."""
    return request.getfixturevalue("run")


def test_a_check_at_the_end_can_fail(run_directory):
    assert run("runs", check="assert False").returncode == 1


def test_output_is_utf8_whatever_the_locale_says(answers, in_tmp):
    (in_tmp / "한글.txt").write_text("왕이 그린다\r\n", "utf-8", newline="")
    answers("tokenizer", "build", "한글.txt", "--tokenizer", "byte", "--out", "built")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ids = answers("tokenizer", "encode", "왕이\r\n", "--tokenizer", "built").encode()

    done = run("tokenizer", "decode", "--tokenizer", "built", input=ids, env=environment)

    assert done.stdout == "왕이\r\n".encode()
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["info", "runs/corpus-gru"], ["tokenizer", "show"],
                                       ["tokenizer", "encode", "The king"]])  # fmt: skip
def test_a_reader_who_has_had_enough_is_no_error(run_directory, closed_pipe, arguments):
    done = run(*arguments, stdout=closed_pipe)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_4(run_directory):
    with Path("/dev/full").open("w") as full:
        done = run("tokenizer", "encode", "The king", stdout=full)

    assert done.returncode == 4
    assert done.stderr.decode() == "error: the output could not be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_closed_stream_is_no_bug(closed, tmp_path):
    code = f"import os; os.close({closed}); os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'seqgen.cli.main'])"
    script = "from seqgen.cli.main import main; import sys; sys.argv = ['seqgen', 'runs']; main()"
    code = code.replace("'-m', 'seqgen.cli.main'", f"'-c', {script!r}")

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_full_disk_under_the_help_is_one_sentence(tmp_path):
    script = "from seqgen.cli.main import main; import sys; sys.argv = ['seqgen', '--help']; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr.count("\n")) == (4, 1)

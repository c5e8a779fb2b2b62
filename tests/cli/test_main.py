"""The program as a process: streams, exit codes, environment, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqgen import __version__
from seqgen.models.registry import CELLS

MAIN = "from seqgen.cli.main import main; main()"


def run(*arguments, check="", **options):
    """Run `seqgen ARGUMENTS...` as a process; `check` is run in it at its end."""
    checked = f"import os\nleave = os._exit\ndef end(code):\n    {check}\n    leave(code)\nos._exit = end\n"
    code = checked + MAIN if check else MAIN
    options["env"] = {**os.environ, "PYTHONUNBUFFERED": "", **options.get("env", {})}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.fixture
def closed_pipe():
    """The writing end of a pipe whose reading end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_help_lists_commands(answers):
    text = answers("--help")

    for command in ("demo", "train", "sample", "eval", "runs", "info", "tokenizer"):
        assert f" {command} " in text
    assert answers("-h") == text


def test_version(answers):
    assert answers("--version") == f"seqgen {__version__}\n"


SPIN = "print(os.environ.get('GOMP_SPINCOUNT'), flush=True)"


@pytest.mark.parametrize(
    ("chosen", "spins"),
    [
        ({}, "10000"),
        pytest.param({"GOMP_SPINCOUNT": "7"}, "7", marks=pytest.mark.slow),
        pytest.param({"OMP_WAIT_POLICY": "active"}, "None", marks=pytest.mark.slow),
        ({"OMP_NUM_THREADS": "1"}, "None"),
    ],
)
def test_spin_count_is_set_unless_user_configures_openmp(monkeypatch, chosen, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    result = run("runs", check=SPIN, env=chosen)

    assert result.stdout.decode().splitlines()[-1] == spins


@pytest.mark.slow
def test_library_sets_no_environment_variable():
    code = "import os; before = dict(os.environ); import seqgen; seqgen.train; assert dict(os.environ) == before"

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--hiden-size", "3"], ["train", "--layers", "two"],
                                       ["train", "--cell", "[/x]"], ["[/x]"], ["train", "--cell"], []])  # fmt: skip
def test_usage_error_exits_with_2(invoke, arguments):
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["train", "--cell", "[/x]"], ["[/x]"]])
def test_markup_in_arguments_is_printed_literally(invoke, arguments):
    assert "'[/x]'" in invoke(*arguments).stderr


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        (
            ["train"],
            [
                "lstm+ngram; lstm with --task or --valid-split none",
                "auto; byte with --encoding bytes",
                "utf-8",
                "2m",
                "auto",
                "corpus:pydoc, embedded",
                "runs/<text>-<cell>",
            ],
        ),
        (["sample"], ["500", "0.8", "the newest under runs/", "fp32"]),
        (["eval"], ["the validation part of the run's own text", "the window"]),
        (["info"], ["the newest under runs/"]),
        (["tokenizer", "build"], ["0.9995"]),
    ],
)
def test_help_shows_defaults(invoke, command, defaults):
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m|│", "", invoke(*command, "--help", terminal=200).stdout).split())

    for default in defaults:
        assert f"[default: {default}]" in text


@pytest.mark.parametrize("command", ["train", "eval", "info"])
def test_usage_has_single_brackets(answers, command):
    assert "[[" not in answers(command, "--help")


@pytest.mark.parametrize("arguments", [["info", "runs/corpus-gru"], ["--version"]])
def test_command_imports_no_torch(run_directory, arguments):
    done = run(*arguments, check="import sys; assert 'torch' not in sys.modules")

    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


@pytest.fixture
def run_directory(request):
    """A run that the commands find."""
    return request.getfixturevalue("run")


def test_check_helper_can_fail(run_directory):
    assert run("runs", check="assert False").returncode == 1


def test_output_is_utf8_in_every_locale(answers, in_tmp):
    (in_tmp / "한글.txt").write_text("왕이 그린다\r\n", "utf-8", newline="")
    answers("tokenizer", "build", "한글.txt", "--tokenizer", "byte", "--out", "built")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ids = answers("tokenizer", "encode", "왕이\r\n", "--tokenizer", "built").encode()

    done = run("tokenizer", "decode", "--tokenizer", "built", input=ids, env=environment)

    assert done.stdout == "왕이\r\n".encode()
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs"],
        ["--help"],
        *(
            pytest.param(line.split(), marks=pytest.mark.slow)
            for line in ("--version", "train --help", "cache -h", "runs --json", "tokenizer show")
        ),
    ],
)
def test_closed_pipe_is_not_an_error(run_directory, closed_pipe, arguments):
    done = run(*arguments, stdout=closed_pipe)

    assert (done.returncode, done.stderr) == (0, b"")


def test_full_disk_exits_with_4(run_directory):
    with Path("/dev/full").open("w") as full:
        done = run("tokenizer", "encode", "The king", stdout=full)

    assert done.returncode == 4
    assert done.stderr.decode() == "error: the output could not be written: No space left on device\n"


@pytest.mark.parametrize(
    ("closed", "code"),
    [pytest.param(0, 0, marks=pytest.mark.slow), (1, 4), pytest.param(2, 0, marks=pytest.mark.slow)],
)
def test_stdout_that_the_parent_has_closed_is_an_error_and_other_streams_are_not(closed, code):
    command = [sys.executable, "-c", MAIN, "--version"]
    script = f"import os; os.close({closed}); os.execv({sys.executable!r}, {command!r})"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert done.stderr == ("error: the output could not be written: stdout is closed\n" if code else "")


def test_full_disk_during_help_exits_with_4(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = run("--help", stdout=full)

    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)


def test_python_m_seqgen_is_seqgen():
    done = subprocess.run([sys.executable, "-m", "seqgen", "--version"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"seqgen {__version__}\n")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("train --cell ", list(CELLS)), ("train --tokenizer b", ["byte", "bpe"])],
)
def test_shell_completion_offers_choices(typed, completed):
    words = f"seqgen {typed}"
    protocol = {"_SEQGEN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    assert run(env=protocol).stdout.decode().split() == completed

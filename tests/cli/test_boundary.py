"""The boundary: each error its exit code and one sentence; a bug is a log file, never a traceback on the screen."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import torch
from seqgen.cli.boundary import guarded

from seqgen import errors


def end_of(error, capsys):
    """The exit code and the stderr of a command that raises `error`."""

    def command():
        raise error

    with pytest.raises(SystemExit) as caught:
        guarded(command)()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return caught.value.code, err


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigError, 2),
        (errors.TextError, 1),
        (errors.TokenizerError, 1),
        (errors.RunError, 1),
        (errors.TrainingError, 1),
        (errors.SaveError, 4),
        (errors.SeqgenError, 1),
    ],
)
def test_each_error_has_its_exit_code_and_is_one_sentence(capsys, kind, code):
    assert end_of(kind("what, where, what to do"), capsys) == (code, "error: what, where, what to do\n")


def test_a_long_sentence_is_not_broken_and_markup_is_shown_as_it_is(capsys):
    message = "[/x] [bold]" + "a long path/" * 40

    assert end_of(errors.TextError(message), capsys) == (1, f"error: {message}\n")


def test_control_characters_in_an_error_are_written_out(capsys):
    assert end_of(errors.TextError("\x1b[31m.txt: no"), capsys) == (1, "error: \\x1b[31m.txt: no\n")


def test_an_interrupt_is_130(capsys):
    assert end_of(KeyboardInterrupt(), capsys) == (130, "error: interrupted\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_too_little_memory_is_no_bug(capsys, error):
    code, message = end_of(error, capsys)

    assert code == 1
    assert message.startswith("error: there is not enough memory for this; try a smaller --batch-size")
    assert message.count("\n") == 1


def test_a_setting_is_named_as_it_is_typed(capsys):
    _, message = end_of(errors.ConfigError("hidden_size: should be 1; max_steps: no; runs/x_y: is: fine"), capsys)

    assert message == "error: --hidden-size: should be 1; --max-steps: no; runs/x_y: is: fine\n"


def test_a_bug_is_3_with_its_traceback_in_a_log(capsys):
    code, message = end_of(ZeroDivisionError("the bug itself"), capsys)

    assert code == 3
    assert "bug in seqgen" in message
    assert "the bug itself" not in message
    log = Path(re.search(r"details are in (\S+)$", message.strip()).group(1)).read_text("utf-8")
    assert log.startswith("seqgen ")
    assert "Traceback (most recent call last)" in log
    assert "ZeroDivisionError: the bug itself" in log


def test_a_bug_whose_log_cannot_be_written_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    code, message = end_of(ZeroDivisionError("the bug itself"), capsys)

    assert code == 3
    assert "ZeroDivisionError" in message
    assert message.count("\n") == 1


def test_what_a_command_gives_back_and_takes_is_untouched():
    def command(first: int, *, second: str) -> None:
        """Its docstring is the help."""
        assert (first, second) == (1, "2")

    wrapped = guarded(command)
    wrapped(1, second="2")

    assert (wrapped.__name__, wrapped.__doc__) == ("command", "Its docstring is the help.")

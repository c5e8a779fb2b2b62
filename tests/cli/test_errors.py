"""The boundary: each error its exit code and one sentence; a bug is a log file, never a traceback on the screen."""

from __future__ import annotations

import ast
import re
import tempfile
from pathlib import Path
from typing import Annotated

import pytest
import torch
import typer
from seqgen.cli.errors import handle_errors, options_of, own_advice

import seqgen
from seqgen import errors

from .conftest import commands

COMMANDS = commands()


def end_of(error, capsys):
    """The exit code and the stderr of a command that raises `error`."""

    def command():
        raise error

    with pytest.raises(SystemExit) as caught:
        handle_errors(command)()
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
    assert message.startswith("error: there is not enough memory for this")
    assert message.count("\n") == 1


def test_a_setting_is_named_as_it_is_typed(capsys):
    _, message = end_of(errors.ConfigError("hidden_size: should be 1; max_steps: no; runs/x_y: is: fine"), capsys)

    assert message == "error: --hidden-size: should be 1; --max-steps: no; runs/x_y: is: fine\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_known(name):
    function, command = COMMANDS[name]

    typed = {one for parameter in command.params for one in (*parameter.opts, *parameter.secondary_opts)}

    assert options_of(function) == {one for one in typed if one.startswith("-")} - {"--help", "-h"}


@pytest.mark.parametrize(
    ("advice", "options", "expected"),
    [
        ("say --a, or --b c, or convert it", {"--a", "--b"}, "say --a, or --b c, or convert it"),
        ("say --a, or --b c, or convert it", {"--a"}, "say --a, or convert it"),
        ("say --a, or --b c, or convert it", {"--b"}, "say --b c, or convert it"),
        ("say --a, or --b c, or convert it", set(), "convert it"),
        ("say --a, or --b c", set(), None),
        ("try a smaller --a, --b or --c", {"--a", "--c"}, "try a smaller --a, or --c"),
        ("try a smaller --a, --b or --c", {"--b"}, "try a smaller --b"),
        ("train one with `seqgen train --a`, or say --b", set(), "train one with `seqgen train --a`"),
        ("say --a; or leave it out", set(), "leave it out"),
    ],
)
def test_advice_is_for_the_options_that_there_are(advice, options, expected):
    shown = own_advice(f"x.txt: is --wrong; {advice}; and more", options)

    assert shown == "; ".join(part for part in ("x.txt: is --wrong", expected, "and more") if part)


def _messages():
    """Every text of the library that names an option after a semicolon."""
    for path in sorted(Path(seqgen.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
                if re.search(r"; .*--[a-z]", text) and "seqgen " not in text:
                    yield text


@pytest.mark.parametrize("name", COMMANDS)
def test_no_message_advises_a_command_to_use_what_it_lacks(name):
    options, messages = options_of(COMMANDS[name][0]), list(_messages())

    assert len(messages) > 10
    for message in messages:
        _, *clauses = own_advice(message, options).split("; ")
        assert set(re.findall(r"--[a-z][a-z-]*", " ".join(clauses))) <= options, message


def test_a_command_gives_no_advice_of_others(capsys):
    def command(encoding: Annotated[str, typer.Option()] = "") -> None:
        raise errors.TextError("x is not utf-8; say --encoding, or --errors replace, or convert it to UTF-8 first")

    with pytest.raises(SystemExit):
        handle_errors(command)()

    assert capsys.readouterr().err == "error: x is not utf-8; say --encoding, or convert it to UTF-8 first\n"


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

    wrapped = handle_errors(command)
    wrapped(1, second="2")

    assert (wrapped.__name__, wrapped.__doc__) == ("command", "Its docstring is the help.")

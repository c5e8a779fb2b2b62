"""The boundary: an exit code and one sentence for each error; a bug is a log file, not a traceback on the screen."""

from __future__ import annotations

import ast
import functools
import re
import tempfile
from pathlib import Path

import pytest
import torch
from seqgen.cli.errors import handle_errors, own_advice

import seqgen
from seqgen import errors

from .conftest import commands

COMMANDS = commands()


def end_of(error, capsys):
    """Return the exit code and the stderr of a command that raises `error`."""

    with pytest.raises(SystemExit) as caught, handle_errors():
        raise error
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
def test_each_error_has_its_exit_code(capsys, kind, code):
    assert end_of(kind("what, where, what to do"), capsys) == (code, "error: what, where, what to do\n")


def test_long_error_is_not_wrapped_and_markup_is_literal(capsys):
    message = "[/x] [bold]" + "a long path/" * 40

    assert end_of(errors.TextError(message), capsys) == (1, f"error: {message}\n")


def test_control_characters_in_error_are_escaped(capsys):
    assert end_of(errors.TextError("\x1b[31m.txt: no"), capsys) == (1, "error: \\x1b[31m.txt: no\n")


def test_keyboard_interrupt_exits_with_130(capsys):
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
def test_out_of_memory_exits_with_1(capsys, error):
    code, message = end_of(error, capsys)

    assert code == 1
    assert "memory" in message
    assert message.count("\n") == 1


def test_config_error_names_options(capsys):
    _, message = end_of(errors.ConfigError("hidden_size: should be 1; max_steps: no; runs/x_y: is: fine"), capsys)

    assert message == "error: --hidden-size: should be 1; --max-steps: no; runs/x_y: is: fine\n"


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
def test_own_advice_keeps_advice_on_known_options(advice, options, expected):
    shown = own_advice(f"x.txt: is --wrong; {advice}; and more", options)

    assert shown == "; ".join(part for part in ("x.txt: is --wrong", expected, "and more") if part)


@functools.cache
def _messages():
    """Return every text of the library that names an option after a semicolon."""
    found = []
    for path in sorted(Path(seqgen.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
                if re.search(r"; .*--[a-z]", text) and "seqgen " not in text:
                    found.append(text)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_no_message_advises_an_option_that_the_command_lacks(name):
    options = {one for parameter in COMMANDS[name][1].params for one in (*parameter.opts, *parameter.secondary_opts)}
    messages = _messages()

    assert len(messages) > 10
    for message in messages:
        _, *clauses = own_advice(message, options).split("; ")
        assert set(re.findall(r"--[a-z][a-z-]*", " ".join(clauses))) <= options, message


def test_error_leaves_out_advice_on_options_of_other_commands(capsys):
    with pytest.raises(SystemExit), handle_errors({"--encoding"}):
        raise errors.TextError("x is not utf-8; say --encoding, or --errors replace, or convert it to UTF-8 first")

    assert capsys.readouterr().err == "error: x is not utf-8; say --encoding, or convert it to UTF-8 first\n"


def test_bug_exits_with_3_shows_its_last_line_and_logs_traceback(capsys):
    code, message = end_of(ZeroDivisionError("the first line\nthe bug itself"), capsys)

    assert code == 3
    assert "bug in seqgen" in message
    assert "the bug itself; " in message
    assert message.count("\n") == 1
    log = Path(re.search(r"details are in (\S+)$", message.strip()).group(1)).read_text("utf-8")
    assert log.startswith("seqgen ")
    assert "Traceback (most recent call last)" in log
    assert "ZeroDivisionError: the first line\nthe bug itself" in log


def test_bug_without_writable_log_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    code, message = end_of(ZeroDivisionError("the bug itself"), capsys)

    assert code == 3
    assert "ZeroDivisionError" in message
    assert message.count("\n") == 1

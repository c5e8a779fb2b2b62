"""Output: which stream, and what is escaped on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from seqgen.cli import output
from seqgen.cli.output import (
    clock,
    notice,
    printable,
    printable_bytes,
    stderr,
    stdout,
    tokenizer_name,
    write_json,
    write_stream,
    write_text,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 한글, é, 🙂\tand\n", "plain, 한글, é, 🙂\tand\n"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\x9b"),
        ("of Windows\r\n", "of Windows\n"),
        ("of an old\rMac\r\r\n", "of an old\nMac\n\n"),
        ("caf\udce9.txt", "caf\\xe9.txt"),
    ],
)
def test_printable_escapes_control_characters(text, shown):
    assert printable(text) == shown


def test_printable_bytes_escapes_all_but_ascii():
    assert printable_bytes("a\n\r\t\x00é\x9b~") == "a\n\\x0d\\x09\\x00\\xe9\\x9b~"


def test_write_text_writes_raw_bytes_to_pipe(capfdbinary):
    write_text("a\xff\r\n", raw=True)

    assert capfdbinary.readouterr().out == b"a\xff\r\n"


def test_write_text_escapes_controls_on_terminal_only(capsys, monkeypatch):
    write_text("\x1b[1m[/x]")
    assert capsys.readouterr().out == "\x1b[1m[/x]"

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_text("\x1b[1m[/x]")
    assert capsys.readouterr().out == "\\x1b[1m[/x]"


def test_write_stream_writes_whole_graphemes(monkeypatch):
    written = []
    monkeypatch.setattr(output, "write_text", written.append)

    write_stream(["The 👩", "\u200d", "👧 e", "\u0301", "nd", ""])

    assert written == ["The ", "👩\u200d👧 ", "e\u0301n", "d"]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["one\r", "\ntwo\r\n"], "one\ntwo\n"),  # a CRLF that is cut in two
        (["one\r", "two\r"], "one\ntwo\n"),
        (["one\r", "\r", "\n", "two\r", ""], "one\n\ntwo\n"),
    ],
)
def test_write_stream_shows_split_crlf_as_one_line_break(capsys, monkeypatch, pieces, shown):
    write_stream(pieces)
    assert capsys.readouterr().out == "".join(pieces)

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_stream(pieces)
    assert capsys.readouterr().out == shown


def test_write_json_is_one_line(capsys):
    write_json({"text": "한글\n\x1b[/x]"})

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "한글" in out
    assert json.loads(out) == {"text": "한글\n\x1b[/x]"}


def test_tokenizer_name_has_kind_and_normalization():
    assert (tokenizer_name("char", "none"), tokenizer_name("char", "nfd")) == ("char", "char/nfd")


def test_notice_is_one_line_on_stderr(capsys):
    notice("[/x] :smile: \x1b " + "long " * 50)
    notice("unheard", quiet=True)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("note: [/x] :smile: \\x1b long")
    assert err.count("\n") == 1
    assert "unheard" not in err


def test_consoles_print_without_markup(capsys):
    stdout().print("[bold]product[/x]")
    stderr().print("[bold]progress[/x]")

    assert capsys.readouterr() == ("[bold]product[/x]\n", "[bold]progress[/x]\n")


def test_stdout_console_does_not_wrap_in_pipe(capsys):
    stdout().print("word " * 100)

    assert capsys.readouterr().out.count("\n") == 1


def test_no_color_is_respected(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    notice("colourful")
    assert "\x1b[33m" in capsys.readouterr().err

    monkeypatch.setenv("NO_COLOR", "1")
    notice("colourless")
    assert "\x1b[33m" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("log", ["full", "broken"])
def test_unwritable_stderr_does_not_stop_training(corpus, in_tmp, log):
    """A full disk under the log, or a pipe whose reader has closed it."""
    command = [sys.executable, "-c", "from seqgen.cli.main import main; main()", "train", "corpus.txt", "--cell", "gru"]
    command += ["--hidden-size", "16", "--max-steps", "4", "--batch-size", "8", "--out", "run"]
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("wb") as full, os.fdopen(writer, "wb") as broken:
        stderr = full if log == "full" else broken
        ended = subprocess.run(command, stderr=stderr, stdout=subprocess.PIPE, check=False)

    assert ended.returncode == 0
    assert (in_tmp / "run" / "checkpoints" / "step-000004").is_dir()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals")
def test_closed_terminal_does_not_stop_training(corpus, in_tmp):
    command = [sys.executable, "-c", "from seqgen.cli.main import main; main()", "train", "corpus.txt", "--cell", "gru"]
    command += ["--hidden-size", "16", "--max-steps", "60", "--eval-every", "20", "--batch-size", "8", "--out", "run"]
    ours, theirs = os.openpty()
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    output = b""
    while b"step" not in output:
        output += os.read(ours, 4096)
    os.close(ours)
    process.communicate()

    assert process.returncode == 0
    assert (in_tmp / "run" / "checkpoints" / "step-000060").is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("command", [
    ("eval", "pipe"), ("corpus", "stats", "pipe"), ("corpus", "encode", "pipe"),
    ("tokenizer", "build", "pipe", "--out", "built"),
])  # fmt: skip
@pytest.mark.parametrize("terminal", [0, 100])
def test_named_pipe_is_noted(invoke, run, corpus, command, terminal):
    os.mkfifo("pipe")
    Thread(target=Path("pipe").write_bytes, args=(corpus.read_bytes(),), daemon=True).start()

    result = invoke(*command, terminal=terminal)

    assert result.exit_code == 0, result.output
    assert "reading from the pipe" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (65, "1:05"), (3599.9, "1:00:00"),
                           (3665, "1:01:05"), (360000, "100:00:00")],
)  # fmt: skip
def test_clock(seconds, shown):
    assert clock(seconds) == shown

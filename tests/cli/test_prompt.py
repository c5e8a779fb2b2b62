"""The prompt and the stop strings of `seqgen sample`: where they are read from, escapes, unknown characters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import LENGTH


def test_prompt_is_read_from_argument_file_or_stdin(samples):
    Path("prompt.txt").write_text("The old king\n", "utf-8")

    text = samples("--prompt", "The old king")

    assert samples("--prompt-file", "prompt.txt") == text
    assert samples("--prompt", "-", stdin="The old king\n") == text


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        (b"", ""), (b"\n", ""), (b"The\n", "The"), (b"The\r\n", "The"), (b"The\r", "The"), (b"The\n\n", "The\n"),
        (b"The\n\r\n", "The\n"), (b"The \n", "The "), (b"\nThe", "\nThe"), (b"The\x0b", "The\x0b"),
    ],
)  # fmt: skip
def test_prompt_file_loses_its_final_line_end(answers, run, content, prompt):
    Path("prompt.txt").write_bytes(content)

    for given in (("--prompt-file", "prompt.txt"), ("--prompt", "-")):
        assert json.loads(answers("sample", "--json", *LENGTH, *given, stdin=content))["prompt"] == prompt


def test_escapes_option_interprets_escapes(answers, run):
    shown = json.loads(answers("sample", "--json", *LENGTH, "--escapes", "--prompt", r"a\n\tb\\n\x41\ud55c\q é"))

    assert shown["prompt"] == "a\n\tb\\nA한\\q é"
    assert json.loads(answers("sample", "--json", *LENGTH, "--prompt", r"a\n"))["prompt"] == r"a\n"


def test_escaped_surrogate_pair_is_one_character(answers, run):
    shown = answers("sample", "--json", *LENGTH, "--escapes", "--prompt", r"\ud83d\ude00 \uD83D\uDE00\n")

    assert json.loads(shown)["prompt"] == "\U0001f600 \U0001f600\n"


@pytest.mark.parametrize("option", ["--prompt", "--stop"])
@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00"])
def test_lone_escaped_surrogate_is_refused(refuses, run, option, half):
    refuses(2, "sample", "--escapes", option, f"a{half} b", words=(f"{option}: ", f"{half} is half"))


@pytest.mark.parametrize("prompt", [(), ("--prompt", "-"), ("--prompt-file", "corpus.txt")])
def test_escapes_without_prompt_and_stop_is_refused(refuses, run, prompt):
    refuses(2, "sample", "--escapes", *prompt, words=("--escapes: ", "--prompt", "--stop"))


def test_escaped_stop_ends_text(samples):
    (text,) = samples("--prompt", "The old king", "--temperature", 1)
    (stopped,) = samples(
        "--prompt", "The old king", "--temperature", 1, "--escapes", "--stop", f"\\x{ord(text[9]):02x}"
    )

    assert stopped == text[: text.index(text[9])]


@pytest.mark.parametrize(
    ("stop", "words"),
    [(r"\n", r"'\n' has a backslash and a letter; --escapes"), ("€ or", "'€'"), ("\n", ""), ("The ", "")],
    ids=["escape", "unknown", "", "known"],
)
def test_stop_that_cannot_occur_is_noted(invoke, run, stop, words):
    stderr = invoke("sample", *LENGTH, "--stop", stop).stderr

    assert stderr.count("--stop") == (1 if words else 0)
    assert words in stderr
    assert invoke("sample", *LENGTH, "--stop", stop, "--quiet").stderr == ""


def test_unreadable_prompt_is_refused(refuses, run):
    Path("prompt.txt").write_bytes(b"The \xff")

    refuses(1, "sample", "--prompt", "-", stdin=b"The \xff", words=("stdin", "byte 4"))
    refuses(1, "sample", "--prompt-file", "prompt.txt", words=("prompt.txt", "byte 4"))
    refuses(1, "sample", "--prompt-file", "gone.txt", words=("gone.txt",))
    refuses(2, "sample", "--prompt-file", "prompt.txt", "--prompt", "The", words=("--prompt-file: ",))


def test_prompt_is_read_in_given_encoding(answers, refuses, run):
    Path("prompt.txt").write_bytes("왕 paints".encode("cp949"))
    piped = {"stdin": "왕 paints".encode("cp949")}

    for prompt, options in ((("--prompt-file", "prompt.txt"), {}), (("--prompt", "-"), piped)):
        assert answers("sample", *LENGTH, *prompt, "--encoding", "cp949", **options).startswith("왕 paints")
        refuses(1, "sample", *prompt, words=("byte 0", "--encoding"), **options)
    refuses(2, "sample", "--prompt-file", "prompt.txt", "--encoding", "klingon", words=("--encoding: ", "'klingon'"))


def test_unknown_characters_of_prompt_are_noted(invoke, refuses, run):
    result = invoke("sample", *LENGTH, "--prompt", "Thé 왕")

    assert result.exit_code == 0
    assert result.stdout.startswith("Thé 왕")
    assert result.stderr.startswith("note: ")
    assert "'é', '왕'" in result.stderr
    assert "<unk>" in result.stderr
    assert invoke("sample", *LENGTH, "--quiet", "--prompt", "Thé 왕").stderr == ""
    refuses(1, "sample", "--strict", "--prompt", "Thé 왕", words=("'é', '왕'", "--strict"))
    assert invoke("sample", *LENGTH, "--strict", "--prompt", "The king").stderr == ""


def test_only_first_unknown_characters_are_named(invoke, run):
    stderr = invoke("sample", *LENGTH, "--prompt", "0123456789+-").stderr

    assert "'9' ..." in stderr
    assert "'+'" not in stderr


def test_prompt_argument_with_invalid_utf8_is_refused_with_offset(refuses, run):
    prompt = b"The \xff\xfe".decode("utf-8", "surrogateescape")  # as Python hands on such an argument

    refuses(1, "sample", "--prompt", prompt, words=("at byte 4 (0xff)",))
    refuses(1, "sample", "--prompt", "\ud800", words=("at byte 0;",))  # as Windows might


def test_lone_surrogate_becomes_replacement_character(answers, samples, run):
    Path("prompt.txt").write_bytes(b"The +2AA-")  # utf-7 can hold a lone surrogate
    assert answers("sample", *LENGTH, "--prompt-file", "prompt.txt", "--encoding", "utf-7").startswith("The \ufffd")
    piped = answers("sample", *LENGTH, "--prompt", "-", "--encoding", "utf-7", stdin=b"The +2AA-")
    assert piped.startswith("The \ufffd")
    assert samples("--stop", "\udcff") == samples()  # as U+FFFD, which this model does not write

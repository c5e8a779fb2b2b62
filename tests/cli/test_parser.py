"""The command line: help whose choices stay whole, and usage errors that are one line and name what was meant."""

from __future__ import annotations

import re

import pytest
from seqgen.cli.parser import ALIASES, nearest

from .conftest import commands

COMMANDS = commands()


def _choices(command):
    """Yield the choices of a command's options."""
    for parameter in command.params:
        yield from getattr(parameter.type_descriptor, "choices", None) or ()


NARROW = [
    pytest.param(name, 60, marks=[] if name in {"train", "eval", "inspect units"} else pytest.mark.slow)
    for name in COMMANDS
]


@pytest.mark.parametrize(("name", "terminal"), [*NARROW, ("train", 80), ("train", 120)])
def test_help_never_splits_choices(answers, name, terminal):
    text = re.sub(r"\x1b\[[0-9;]*m", "", answers(*name.split(), "--help", terminal=terminal))

    if name == "train":
        assert "muon" in _choices(COMMANDS[name][1])
    for choice in _choices(COMMANDS[name][1]):
        assert re.search(rf"\b{choice}\b", text), choice
    assert max(map(len, text.splitlines())) <= terminal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --learning-rate 3", ("--learning-rate", "did you mean --lr?", "`seqgen train --help`")),
        ("train --epochs 3", ("did you mean --max-epochs?",)),
        ("train --hiden-size 3", ("did you mean --hidden-size?",)),
        ("train --learning-rate=3", ("did you mean --lr?",)),
        ("train --n-layer 3", ("did you mean --layers?",)),
        ("sample --temp 1", ("did you mean --temperature?", "`seqgen sample --help`")),
        ("sample --length 1", ("did you mean --max-new-tokens?",)),
        ("eval --model x", ("did you mean --run?",)),
        ("train --model gru", ("did you mean --cell?",)),
        ("train --zzz", ("--zzz",)),
        ("train --layers two", ("--layers: ", "valid integer", "`seqgen train --help`")),
        ("train --cell foo", ("--cell: ", "'foo'", "transformer")),
        ("train --cell", ("--cell", "requires an argument")),
        ("corpus fetch", ("NAME", "`seqgen corpus fetch --help`")),
        ("sample extra", ("extra", "`seqgen sample --help`")),
        ("translate -5", ("-5", "seqgen translate -- '-5...'", "`seqgen translate --help`")),
        ("tokenizer encode -5", ("-5", "seqgen tokenizer encode -- '-5...'")),
        ("trian", ("'trian'", "'train'")),
        ("tokenizer bild", ("'bild'", "'build'", "`seqgen tokenizer --help`")),
    ],
)
def test_usage_error_is_one_line(refuses, arguments, words):
    message = refuses(2, *arguments.split(), words=words)

    assert "Value error" not in message
    assert "Input" not in message
    assert ".;" not in message


def test_text_that_begins_with_a_dash_comes_after_two(invoke, answers, run):
    with_words = invoke("translate", "--a b", "--beam", 2)

    assert (with_words.exit_code, "-- '--a b...'" in with_words.stderr) == (2, True)
    assert " -- " not in invoke("sample", "-5").stderr  # it has no arguments
    assert answers("tokenizer", "encode", "--run", run, "--", "-t") != ""
    assert answers("sample", "--prompt", "-t", "--max-new-tokens", 1).startswith("-t")


def test_every_alias_names_an_option():
    known = {one for _, command in COMMANDS.values() for parameter in command.params for one in parameter.opts}

    assert {option for options in ALIASES.values() for option in options} <= known


def test_nearest_prefers_word_over_spelling():
    assert nearest("--time", ["--tie", "--max-time"]) == "--max-time"
    assert nearest("--weight", ["--height", "--weight-decay"]) == "--weight-decay"
    assert nearest("--zzz", ["--out", "--run"]) is None


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["sample", "--run", "a", "--run", "b"], "--run"),
        (["train", "a.txt", "--lr", "1", "--lr=2"], "--lr"),
        (["corpus", "stats", "a.txt", "--top", "1", "--top", "2"], "--top"),
        (["tokenizer", "show", "--run", "a", "--run", "a"], "--run"),
        (["sample", "-n", "1", "--num-samples", "2"], "--num-samples"),
    ],
)
def test_repeated_option_is_refused(invoke, arguments, flag):
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert flag in result.stderr
    assert "more than once" in " ".join(result.stderr.replace("│", " ").split())


def test_option_of_several_values_takes_all_up_to_the_next_option(refuses, run):
    """The last text is missing, and the runs before and after the texts are runs."""
    refuses(1, "compare", run, "--text", "corpus.txt", "gone.txt", "--quiet", words=("gone.txt",))
    refuses(1, "compare", "--text", "corpus.txt", "--quiet", run, "gone", words=("gone: no such run",))
    refuses(1, "compare", run, "--text", "corpus.txt", "--", "--text", words=("--text: no such run",))


def test_option_without_a_value_leaves_the_next_argument(answers, refuses, run):
    refuses(1, "runs", "--plot", "gone", words=("gone",))
    assert "bits per byte" in answers("runs", "--plot", "-")
    answers("runs", "--plot", "curves.html", run)
    assert (run.parent.parent / "curves.html").is_file()


def test_repeatable_options_may_be_repeated(answers, run):
    assert answers("sample", "--stop", "a", "--stop", "e", "-q", "-q", "--max-new-tokens", 5)

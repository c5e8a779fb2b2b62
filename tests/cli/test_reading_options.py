"""The options that say how texts are read mean the same to every command that reads one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from seqgen.cli.options import reading_settings

from .conftest import commands

GOOD = "".join(
    f'{number},"The sailor number {number} said ""no"",\nand left the quiet river."\n' for number in range(60)
)
TRAIN = ("--cell", "gru", "--hidden-size", 8, "--max-steps", 1, "--batch-size", 4, "--valid-split", "none")
COMMANDS = {
    "train": ("train", *TRAIN, "--out", "made"),
    "eval": ("eval", "--run", "runs/corpus-gru"),
    "stats": ("corpus", "stats"),
    "units": ("inspect", "units", "runs/corpus-gru"),
    "encode": ("corpus", "encode", "--cache-dir", "kept"),
    "build": ("tokenizer", "build", "--tokenizer", "char", "--out", "made"),
}
EVERY = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def folder(run, in_tmp):
    """Two tables, one with a bad row, and other files around them."""
    Path("docs/old").mkdir(parents=True)
    Path("docs/a.csv").write_text(f"id,review\n{GOOD}only one cell\n", "utf-8")
    Path("docs/old/b.csv").write_text("never read", "utf-8")
    Path("docs/c.md").write_text("Never read.", "utf-8")
    Path("docs/d.jsonl").write_text('{"review": "A line."}\n', "utf-8")
    return in_tmp


@EVERY
def test_every_command_reads_selected_files_fields_and_lines(invoke, folder, command):
    result = invoke(
        *command, "docs", "--glob", "*.{csv,xls}", "--glob", "*.jsonl", "--exclude", "old", "--field", "review",
        "--on-bad-line", "skip",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    stderr = " ".join(result.stderr.split())
    assert "note: 1 " in stderr
    assert "docs/a.csv, line 122" in stderr


@EVERY
def test_every_command_refuses_bad_line_by_number(refuses, folder, command):
    refuses(1, *command, "docs/a.csv", "--field", "review", words=("docs/a.csv, line 122", "--on-bad-line skip"))


@EVERY
def test_every_command_refuses_options_without_effect(refuses, folder, command):
    refuses(2, *command, "docs/c.md", "--glob", "*.md", words=("--glob: ", "docs/c.md"))
    refuses(2, *command, "docs/c.md", "--exclude", "*.md", words=("--exclude: ",))
    refuses(2, *command, "docs/c.md", "--field", "review", words=("--field: ", ".csv"))
    refuses(2, *command, "docs/a.csv", words=("--field: ", "'id', 'review'"))
    refuses(1, *command, "https://example.com/a.txt", words=("https://example.com/a.txt",))


@pytest.mark.parametrize(
    "option",
    [("--glob", "*.md"), ("--exclude", "x"), ("--field", "x"), ("--encoding", "cp949"), ("--errors", "replace"),
     ("--on-bad-line", "skip")],
)  # fmt: skip
def test_eval_of_validation_part_refuses_reading_options(refuses, folder, option):
    refuses(2, "eval", "--run", "runs/corpus-gru", *option, words=(f"{option[0]}: ",))


def test_file_name_that_is_not_utf8_is_escaped(invoke, answers, folder):
    try:
        Path("caf\udce9.txt").write_text("Some text. " * 99, "utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")

    assert "error: gone\\xe9.txt" in invoke("corpus", "stats", "gone\udce9.txt").stderr
    record = answers("eval", "caf\udce9.txt", "--run", "runs/corpus-gru", "--json")
    assert json.loads(record)["text"] == "caf\udce9.txt"
    assert "caf\\xe9.txt" in answers("corpus", "encode", "caf\udce9.txt")


def test_every_inspect_command_has_the_options_of_reading_and_of_the_machine():
    options = {
        name: {parameter.name for parameter in command.params}
        for name, (_, command) in commands().items()
        if name.startswith("inspect ")
    }

    assert len(options) == 6
    assert [name for name, found in options.items() if not found >= {*reading_settings(), "threads"}] == []
    on_cpu = {"inspect step", "inspect gradients"}  # in fp64
    assert {name for name, found in options.items() if "device" not in found} == on_cpu


@pytest.mark.parametrize("command", ["step", "attention"])
def test_reading_options_apply_to_a_file_and_are_refused_for_a_literal_text(
    answers, refuses, run, transformer, command
):
    Path("latin.txt").write_bytes("Thé".encode("latin-1"))
    inspect = ("inspect", command, transformer)

    record = json.loads(answers(*inspect, "latin.txt", "--encoding", "latin-1", "--json", "--quiet"))

    assert (record["run"], record["text"], record["tokens"]) == (str(transformer), "latin.txt", 3)
    refuses(1, *inspect, "latin.txt", words=("latin.txt", "UTF-8"))
    refuses(2, *inspect, "The", "--encoding", "latin-1", words=("--encoding",))


@pytest.mark.parametrize("command", ["units", "gates", "context", "gradients", "attention"])
def test_inspecting_the_validation_part_refuses_reading_options(refuses, run, transformer, command):
    model = transformer if command == "attention" else run

    refuses(2, "inspect", command, model, "--errors", "replace", words=("--errors",))

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

import seqgen

PROMPT = "The old"


def test_table_has_a_row_for_each_choice_most_probable_first(invoke, run):
    result = invoke("sample", "--choices", "king, child,moon", "--prompt", PROMPT)

    found = sorted(seqgen.load(run).choices(PROMPT, ["king", "child", "moon"]), key=lambda one: one.nats)
    assert result.exit_code == 0
    assert repr(PROMPT) in result.stdout.splitlines()[0]
    for line, one in zip(result.stdout.splitlines()[2:], found, strict=True):
        share = f"{one.share:.1%}" if one.share >= 0.0005 else "<0.1%"
        figures = (f"{one.nats:.3f}", f"{one.nats_per_token:.3f}", str(one.tokens), f"{one.end_nats:.3f}")
        assert line.split() == [one.text, share, *figures]
    assert "--no-space" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("beginning", "cut"), [("The old king paints. " * 9, True), ("한글 " * 30, True), ("\n" * 40, True), ("", False)]
)
def test_a_long_prompt_is_cut_at_its_beginning(invoke, run, beginning, cut):
    given = ("--choices", "king,moon", "--prompt", f"{beginning}the child")

    title = invoke("sample", *given, terminal=60).stdout.splitlines()[0]

    assert title.endswith("the child'")
    assert ("…" in title) == cut
    assert 58 <= cell_len(title) <= 60 or not cut
    assert repr(f"{beginning}the child") in invoke("sample", *given).stdout.splitlines()[0]


def test_json_has_the_figures_in_the_order_given(answers, run):
    given = ("--choices", "king,child", "--prompt", PROMPT)

    printed = json.loads(answers("sample", *given, "--json"))

    found = seqgen.load(run).choices(PROMPT, ["king", "child"])
    assert (printed["run"], printed["prompt"]) == (str(run), PROMPT)
    assert [one["text"] for one in printed["choices"]] == ["king", "child"]
    for one, expected in zip(printed["choices"], found, strict=True):
        assert one == {
            "text": expected.text, "continuation": f" {expected.text}", "tokens": expected.tokens,
            "token_nats": expected.token_nats, "end_nats": expected.end_nats, "share": expected.share,
            "nats": expected.nats, "nats_per_token": expected.nats_per_token,
        }  # fmt: skip


def test_repeated_option_has_one_choice_each_time(answers, run):
    given = ("--choices", "king, child", "--choices", "moon", "--prompt", PROMPT, "--no-space", "--json")

    printed = json.loads(answers("sample", *given))

    assert [one["continuation"] for one in printed["choices"]] == ["king, child", "moon"]


def test_spaces_around_a_choice_are_kept_and_shown_where_the_option_is_repeated(answers, run):
    one = answers("sample", "--choices", " king ,moon", "--prompt", PROMPT)
    several = answers("sample", "--choices", "king ", "--choices", "moon", "--prompt", PROMPT)

    assert "'king '" in several
    assert "'king" not in one
    assert sorted(line.split()[0] for line in one.splitlines()[2:]) == ["king", "moon"]
    tab = answers("sample", "--choices", "a\tb,\u6751", "--prompt", PROMPT, "--quiet")
    assert len(tab.splitlines()) == 4
    assert r"a\tb" in tab


def test_every_prompt_of_a_file_is_compared(answers, invoke, run):
    Path("prompts.txt").write_text("The\nA child \n", "utf-8")
    given = ("--choices", "king,moon", "--prompts-file", "prompts.txt")

    printed = [json.loads(line) for line in answers("sample", *given, "--json").splitlines()]

    assert [one["prompt"] for one in printed] == ["The", "A child "]
    assert [one["choices"][0]["continuation"] for one in printed] == [" king", "king"]
    assert answers("sample", *given).count("share") == 2


def test_unknown_character_is_noted_and_spelled(invoke, run):
    result = invoke("sample", "--choices", "king,한", "--prompt", PROMPT)

    assert "'한'" in result.stderr
    assert result.stdout.splitlines()[3].startswith("한")
    assert invoke("sample", "--choices", "king,한", "--prompt", PROMPT, "--quiet").stderr == ""


def test_strict_names_the_line_of_a_prompt_with_an_unknown_character(refuses, run):
    Path("prompts.txt").write_text("The\nA 한\n", "utf-8")
    given = ("sample", "--prompts-file", "prompts.txt", "--strict")

    refuses(1, *given, "--choices", "king,moon", words=("prompts.txt", "line 2", "'한'"))
    refuses(1, *given, words=("prompts.txt", "line 2", "'한'"))


def test_strict_refuses_an_unknown_character_in_a_choice(answers, refuses, run):
    refuses(1, "sample", "--choices", "king,한", "--prompt", PROMPT, "--strict", words=("'한'", "a choice", "--strict"))
    refuses(1, "sample", "--choices", "king,moon", "--prompt", "한", "--strict", words=("'한'", "the prompt"))
    answers("sample", "--choices", "king,moon", "--prompt", PROMPT, "--strict")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--choices", "a,,b"), ("--choices: ", "number 2 of 3")),
        (("--choices", "a,b,"), ("--choices: ", "number 3 of 3")),
        (("--choices", ""), ("--choices: ", "number 1 of 1")),
        (("--choices", "a,b, a"), ("--choices: ", "'a'")),
        (("--choices", "a", "--choices", " a", "--prompt", "The"), ("--choices: ", "' a'")),
        (("--choices", "a,,b", "--adapt", "gone.txt"), ("--choices: ", "number 2 of 3")),
        (("--choices", "a,b", "--temperature", 1), ("--temperature: ", "--choices")),
        (("--choices", "a,b", "--num-samples", 2), ("--num-samples: ", "--choices")),
        (("--no-space",), ("--no-space: ", "--choices")),
    ],
)
def test_impossible_choices_and_settings_are_refused(refuses, run, arguments, words):
    refuses(2, "sample", *arguments, words=words)


def test_prompt_beyond_the_positions_is_refused_with_its_line(invoke, corpus, in_tmp):
    settings = {"cell": "transformer", "positions": "sinusoidal", "heads": 1, "hidden_size": 16, "block_size": 32}
    seqgen.train("corpus.txt", max_steps=1, precision="fp32", **settings).run()
    Path("prompts.txt").write_text(f"a\n{'a' * 40}\n", "utf-8")

    result = invoke("sample", "--choices", "a,b", "--prompts-file", "prompts.txt", "--json")

    assert result.exit_code == 1
    assert "prompts.txt, line 2: " in result.stderr
    assert json.loads(result.stdout)["prompt"] == "a"

"""`seqgen sample`: seeds, settings, output, and runs that are missing or damaged."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.sample.sample import _describe

import seqgen
from seqgen.evaluation.memorization import Memorization
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory

from ...conftest import LENGTH


def test_same_seed_gives_same_text(samples):
    (text,) = samples("--seed", 3)

    assert samples("--seed", 3) == [text]
    assert samples("--seed", 4) != [text]
    assert len(text) == 60


def test_streamed_text_equals_json_text(answers, samples):
    (text,) = samples("--seed", 3, "--prompt", "The old")

    assert answers("sample", *LENGTH, "--seed", 3, "--prompt", "The old") == f"The old{text}\n"


@pytest.mark.slow
def test_numba_engine_gives_same_text_as_torch(answers, samples):
    pytest.importorskip("numba")

    assert samples("--seed", 3, "--engine", "numba", "-n", 2) == samples("--seed", 3, "-n", 2)
    assert answers("sample", *LENGTH, "--seed", 3, "--engine", "numba") == f"{samples('--seed', 3)[0]}\n"


def test_impossible_setting_writes_nothing_to_stdout(refuses, run):
    refuses(2, "sample", "--prompt", "The old", "--max-new-tokens", 0, words=("max-new-tokens",))


def test_json_is_an_object_per_text(answers, run):
    lines = answers("sample", "--json", *LENGTH, "--prompt", "The", "-n", 2, "--seed", 5, "--stop", "k").splitlines()

    made = [json.loads(line) for line in lines]
    assert [one.keys() for one in made] == [{"run", "prompt", "text", "finish_reason", "tokens", "seed", "sample"}] * 2
    assert [(one["run"], one["prompt"], one["seed"], one["sample"]) for one in made] == [
        (str(run), "The", 5, 0), (str(run), "The", 5, 1)
    ]  # fmt: skip
    for one in made:
        assert one["finish_reason"] == ("length" if one["tokens"] == len(one["text"]) == 60 else "stop")


def write_prompts(name, content):
    Path(name).write_text(content, "utf-8", newline="")
    return "--prompts-file", name


def test_prompts_file_has_a_prompt_per_line(answers, samples):
    given = write_prompts("prompts.txt", "The\r\n\nA child\n")

    made = [json.loads(line) for line in answers("sample", "--json", *LENGTH, *given, "-n", 2).splitlines()]

    assert [(one["prompt"], one["sample"]) for one in made] == [
        ("The", 0), ("The", 1), ("", 2), ("", 3), ("A child", 4), ("A child", 5)
    ]  # fmt: skip
    assert [one["text"] for one in made[:2]] == samples("--prompt", "The", "-n", 2)
    assert len({one["text"] for one in made}) == 6
    printed = answers("sample", *LENGTH, *given, "-n", 2)
    assert printed == "\n".join(
        f"--- {number} ---\n{one['prompt']}{one['text']}\n" for number, one in enumerate(made, 1)
    )


def test_prompts_file_of_json_lines_has_strings_and_objects(answers, run):
    lines = write_prompts("prompts.txt", "The old\n king\n")
    prompts = [answers("sample", "--json", *LENGTH, *lines), answers("sample", *LENGTH, *lines)]

    given = write_prompts("prompts.jsonl", '"The old"\n\n{"prompt": " king", "id": 7}\n')

    assert [answers("sample", "--json", *LENGTH, *given), answers("sample", *LENGTH, *given)] == prompts


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", ("a.txt",)), ("a.jsonl", "\n", ("a.jsonl",)), ("a.jsonl", '"The"\n{"text": "a"}\n', ("line 2",)),
        ("a.jsonl", "The\n", ("line 1", "JSON")), ("a.jsonl", "[" * 10**5, ("line 1", "JSON")),
    ],
)  # fmt: skip
def test_prompts_file_without_prompts_is_refused(refuses, run, name, content, words):
    refuses(1, "sample", *write_prompts(name, content), words=words)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [("a.txt", "a\n\nABC\n", 3), ("a.jsonl", '\n"a"\n\n"ABC"\n', 4)],
)
def test_prompt_beyond_the_positions_is_refused_with_file_and_line(refuses, corpus, in_tmp, name, content, line):
    settings = {"cell": "transformer", "positions": "sinusoidal", "heads": 1, "hidden_size": 16, "block_size": 32}
    seqgen.train("corpus.txt", max_steps=1, precision="fp32", **settings).run()

    for prompt, length, words in (("A" * 40, 1, ("40", "31")), ("A" * 30, 9, ("--max-new-tokens", "30", "2"))):
        given = write_prompts(name, content.replace("ABC", prompt))
        refused = refuses(2, "sample", *given, "--max-new-tokens", length, words=(f"{name}, line {line}: ", *words))
        assert "--prompt:" not in refused


def test_help_says_that_json_prints_lines(answers):
    shown = " ".join(answers("sample", "--help", terminal=200).split())

    assert "JSON object in its own line" in shown
    assert "one JSON document" not in shown


def test_prompts_file_excludes_other_prompts(refuses, run):
    given = write_prompts("prompts.txt", "The\n")

    refuses(2, "sample", *given, "--prompt", "A", words=("--prompts-file",))
    refuses(2, "sample", *given, "--prompt-file", "prompts.txt", words=("--prompts-file",))


def test_strict_refuses_an_unknown_character_in_any_prompt(refuses, run):
    refuses(1, "sample", *write_prompts("prompts.txt", "The\n한\n"), "--strict", words=("'한'",))


NAMES = [f"{first}{second}" for first in ("An", "Gre", "I", "Ju") for second in ("na", "ta", "da", "lia")]


@pytest.fixture
def names(_workshop, in_tmp):
    """A run on names, one per line."""
    made = _workshop / "names"
    if not made.exists():
        (_workshop / "names.txt").write_text("\n".join(NAMES * 30), "utf-8")
        settings = {"cell": "gru", "hidden_size": 24, "max_steps": 150, "eval_every": 150, "lr": 0.02, "batch_size": 8}
        seqgen.train(_workshop / "names.txt", documents="line", out=made, bptt=16, precision="fp32", **settings).run()
    return Path(shutil.copytree(made, "runs/names"))


def test_samples_of_names_end_by_themselves_and_are_lines(invoke, answers, names):
    result = invoke("sample", "-n", 30)

    lines = result.stdout.splitlines()
    assert len(lines) == 30
    assert len(set(lines) & set(NAMES)) > 5
    assert result.stderr == ""
    made = [json.loads(line) for line in answers("sample", "-n", 30, "--json").splitlines()]
    assert [one["text"] for one in made] == lines
    assert {one["finish_reason"] for one in made} == {"stop"}
    assert all(one["tokens"] == len(one["text"]) + 1 for one in made)
    assert answers("sample") == f"{lines[0]}\n"


def test_names_that_do_not_end_are_noted(invoke, names):
    result = invoke("sample", "-n", 30, "--max-new-tokens", 3)

    assert "30 texts" in result.stderr
    assert "--max-new-tokens" in result.stderr
    assert invoke("sample", "-n", 30, "--max-new-tokens", 3, "--quiet").stderr == ""


def test_samples_do_not_depend_on_their_number(answers, samples):
    texts = samples("-n", 3, "--prompt", "A")

    assert len(set(texts)) == 3
    assert samples("-n", 2, "--prompt", "A") == texts[:2]
    assert samples("--prompt", "A") == texts[:1]
    printed = answers("sample", *LENGTH, "-n", 3, "--prompt", "A")
    assert printed == "\n".join(f"--- {number} ---\nA{text}\n" for number, text in enumerate(texts, 1))


def test_no_echo_prints_only_new_text(answers, samples):
    texts = samples("-n", 2, "--prompt", "The old ")

    assert answers("sample", *LENGTH, "--prompt", "The old ", "--no-echo") == f"{texts[0]}\n"
    printed = answers("sample", *LENGTH, "--prompt", "The old ", "--no-echo", "-n", 2)
    assert printed == f"--- 1 ---\n{texts[0]}\n\n--- 2 ---\n{texts[1]}\n"


def test_prompt_that_takes_long_shows_progress_bar_on_terminal(invoke, run, monkeypatch):
    for seconds, is_shown in ((0.0, True), (1e9, False)):
        monkeypatch.setattr(WorkBar, "SHORT_SECONDS", seconds)
        shown = invoke("sample", *LENGTH, "--prompt", "The king", terminal=80).stderr
        assert ("reading the prompt" in shown) is is_shown
        assert invoke("sample", *LENGTH, "--prompt", "The king").stderr == ""


def test_weights_with_nan_are_refused(refuses, run):
    weights = load_file(run / "model.safetensors")
    weights["head.bias"].fill_(math.nan)
    (run / "model.safetensors").write_bytes(to_bytes(weights, RunDirectory(run).read_config().identity))

    refuses(1, "sample", words=("NaN or infinity", "train it again"))
    refuses(1, "sample", "--json", "-n", 2, words=("NaN or infinity",))


def test_memorization_is_a_note_on_stderr(invoke, answers, run):
    one = invoke("sample", *LENGTH, "--memorization")
    three = invoke("sample", *LENGTH, "--memorization", "-n", 3)

    assert one.stdout == answers("sample", *LENGTH)
    assert re.match(r"note: .* \d+ of 60 characters", one.stderr)
    assert one.stderr.count("\n") == 1
    assert three.stdout == answers("sample", *LENGTH, "-n", 3)
    assert [line[:15] for line in three.stderr.splitlines()] == [f"note: sample {number}:" for number in (1, 2, 3)]
    assert invoke("sample", *LENGTH, "--memorization", "--quiet").stderr == ""


def test_memorization_in_json_has_an_entry_per_sample(answers, run):
    lines = answers("sample", "--json", *LENGTH, "--memorization", "-n", 2).splitlines()

    for one in map(json.loads, lines):
        found = one["memorization"]
        assert found.keys() == {"characters", "longest_copy", "start", "copied_share"}
        assert found["characters"] == len(one["text"]) == 60
        assert one["text"][found["start"] :].startswith(found["longest_copy"])
        assert found["longest_copy"]
    assert len(lines) == 2


def test_long_copied_stretch_is_abbreviated():
    shown = _describe(Memorization(300, "a" * 100 + "\n" + "b" * 100, 7, 0.67))

    assert f"201 of 300 characters, '{'a' * 30} ... {'b' * 30}'; 67% of" in shown


def test_memorization_refuses_changed_training_text(refuses, stopped, corpus, monkeypatch):
    corpus.write_text(corpus.read_text("utf-8") + "And so on.\n", "utf-8")
    refuses(1, "sample", "--memorization", words=("corpus.txt",))

    corpus.unlink()
    monkeypatch.setenv("SEQGEN_CACHE", "empty")
    refuses(1, "sample", "--memorization", words=("corpus.txt",))


def test_text_ends_before_stop_string(answers, samples):
    (text,) = samples()
    stop = text[20:22]
    expected = text[: text.find(stop)]

    assert samples("--stop", "never in it", "--stop", stop) == [expected]
    assert answers("sample", *LENGTH, "--stop", stop) == f"{expected}\n"


def test_temperature_0_is_greedy(samples):
    (text,) = samples("--temperature", 0, "--seed", 1)

    assert samples("--temperature", 0, "--seed", 2) == [text]
    assert samples("--top-k", 1, "--seed", 3) == [text]


def test_processors_change_the_text(samples):
    (text,) = samples("--temperature", 1)

    for narrower in (["--top-k", 3], ["--top-p", 0.1], ["--min-p", 0.99], ["--temperature", 0.01]):
        temperature = [] if "--temperature" in narrower else ["--temperature", 1]
        assert samples(*temperature, *narrower) != [text]
    assert samples("--temperature", 1, "--top-k", 0, "--top-p", 1, "--min-p", 0) == [text]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--temperature", -1), ("--temperature", "nan"), ("--top-k", -1), ("--top-p", 0), ("--top-p", 1.1),
        ("--min-p", 2), ("--stop", ""), ("--max-new-tokens", 0), ("--num-samples", 0), ("--num-samples", -1),
        ("--seed", -1),
    ],
)  # fmt: skip
def test_impossible_setting_is_refused_by_its_option(refuses, run, flag, value):
    refuses(2, "sample", flag, value, words=(f"{flag}: ",))


def test_prompt_control_characters_are_escaped_on_terminal_only(answers, run):
    prompt = "\x1b]52;c;aGk=\x07\tThe\n"

    assert answers("sample", *LENGTH, "--prompt", prompt).startswith(prompt)
    shown = answers("sample", *LENGTH, "--prompt", prompt, terminal=80)
    assert shown.startswith("\\x1b]52;c;aGk=\\x07\tThe\n")
    assert answers("sample", *LENGTH, "--prompt", prompt, "-n", 2, terminal=80).count("\\x1b]52") == 2


def test_sampled_control_characters_are_escaped_on_terminal_only(answers, corpus, in_tmp):
    corpus.write_text(corpus.read_text("utf-8").replace("e", "\x1b"), "utf-8")
    for _ in seqgen.train("corpus.txt", cell="gru", hidden_size=16, max_steps=1, precision="fp32"):
        pass

    raw = answers("sample", "--max-new-tokens", 200)
    shown = answers("sample", "--max-new-tokens", 200, terminal=80)

    assert "\x1b" in raw
    assert shown == raw.replace("\x1b", "\\x1b")
    assert "\x1b" in json.loads(answers("sample", "--max-new-tokens", 200, "--json"))["text"]


@pytest.mark.parametrize("terminal", [0, 80])
def test_markup_is_printed_literally(invoke, refuses, run, terminal):
    result = invoke("sample", *LENGTH, "--prompt", "[/x][bold]:smile:", terminal=terminal)

    assert result.stdout.startswith("[/x][bold]:smile:")
    assert "'['" in result.stderr
    assert "'/'" in result.stderr
    assert "[/x]: " in invoke("sample", "--run", "[/x]", terminal=terminal).stderr


# --- no run, and half a run


def test_missing_run_is_refused(refuses):
    refuses(1, "sample", words=("seqgen train FILE",))
    refuses(1, "sample", "--run", "nowhere", words=("nowhere", "seqgen runs"))
    Path("folder").mkdir()
    refuses(1, "sample", "--run", "folder", words=("folder", "config.json"))
    Path("file").touch()
    refuses(1, "sample", "--run", "file", words=("file",))
    refuses(1, "sample", "--run", "x" * 300, words=("xxx",))


def truncate(run):
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def truncate_header(run):
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:4])


def resize(run):
    config = run / "config.json"
    config.write_text(config.read_text("utf-8").replace('"hidden_size": 16', '"hidden_size": 24'), "utf-8")


def change_cell(run):
    config = run / "config.json"
    content = json.loads(config.read_text("utf-8"))
    content["model"] = {"cell": "lstm", "hidden_size": 16}
    config.write_text(json.dumps(content), "utf-8")


def swap_tokenizer(run):
    file = run / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace("TW", "TX"), "utf-8")
    content = json.loads(file.read_text("utf-8"))
    content["characters"] = "".join(sorted({*content["characters"][1:], "~"}))
    file.write_text(json.dumps(content), "utf-8")


def empty_tokenizer(run):
    (run / "tokenizer" / "tokenizer.json").unlink()


def write(name, content):
    def damage(run):
        (run / name).write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: (run / "model.safetensors").unlink(), ("model.safetensors",)),
        (truncate, ("model.safetensors",)),
        (truncate_header, ("model.safetensors",)),
        (resize, ("model.safetensors", "config.json")),
        (change_cell, ("model.safetensors", "config.json")),
        (swap_tokenizer, ("tokenizer",)),
        (empty_tokenizer, ("tokenizer.json",)),
        (lambda run: (run / "config.json").unlink(), ("config.json",)),
        (write("config.json", b"{"), ("config.json",)),
        (write("config.json", b"\xff\xfe"), ("config.json",)),
        (write("config.json", b"[]"), ("config.json",)),
        (write("config.json", b'{"format_version": 2}'), ("config.json", "format_version")),
        (write("model.safetensors", b"cos\nsystem\n(S'touch canary'\ntR."), ("model.safetensors",)),
    ],
    ids=[
        "no weights", "truncated weights", "truncated header", "another size", "another cell", "another tokenizer",
        "no tokenizer", "no config", "half a config", "config no text", "config no object", "config of the future",
        "a pickle",
    ],
)  # fmt: skip
def test_damaged_run_is_refused(refuses, run, damage, words):
    damage(run)

    refuses(1, "sample", "--run", run, words=(str(run), *words))

    assert not Path("canary").exists()


def test_adapt_learns_from_a_text_first_and_leaves_the_run(samples, run):
    Path("other.txt").write_text("zebra zone " * 60, "utf-8")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    plain, adapted = samples("--temperature", 0), samples("--temperature", 0, "--adapt", "other.txt")

    assert plain != adapted
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert samples("--temperature", 0) == plain


def test_adapt_to_a_missing_file_is_refused(refuses, run):
    refuses(1, "sample", "--adapt", "missing.txt", words=("missing.txt",))

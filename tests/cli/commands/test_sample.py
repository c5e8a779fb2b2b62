"""`seqgen sample`: seeds, settings, output, and runs that are missing or damaged."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file
from seqgen.cli.commands.sample import _describe

import seqgen
from seqgen.evaluation.memorization import Memorization
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory

from ..conftest import LENGTH


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


def test_json_names_run_and_prompt(answers, run):
    content = json.loads(answers("sample", "--json", *LENGTH, "--prompt", "The"))

    assert content.keys() == {"run", "prompt", "samples"}
    assert (content["run"], content["prompt"]) == (str(run), "The")


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


def test_long_prompt_shows_progress_bar_on_terminal(invoke, run):
    Path("prompt.txt").write_text("The old king paints.\n" * 150, "utf-8")

    assert "reading the prompt" in invoke("sample", *LENGTH, "--prompt-file", "prompt.txt", terminal=80).stderr
    assert invoke("sample", *LENGTH, "--prompt-file", "prompt.txt").stderr == ""
    assert "reading" not in invoke("sample", *LENGTH, "--prompt", "The", terminal=80).stderr


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
    content = json.loads(answers("sample", "--json", *LENGTH, "--memorization", "-n", 2))

    keys = {"characters", "longest_copy", "start", "copied_share"}
    assert [found.keys() for found in content["memorization"]] == [keys] * 2
    for text, found in zip(content["samples"], content["memorization"], strict=True):
        assert found["characters"] == len(text) == 60
        assert text[found["start"] :].startswith(found["longest_copy"])
        assert found["longest_copy"]


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
    assert "\x1b" in json.loads(answers("sample", "--max-new-tokens", 200, "--json"))["samples"][0]


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

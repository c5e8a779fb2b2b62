"""`seqgen sample`: the same seed the same text, prompts from everywhere, and half a run is one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from safetensors.torch import load_file
from seqgen.cli.commands.sample import _describe

import seqgen
from seqgen.evaluation.memorization import Memorization
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory

LENGTH = ("--max-new-tokens", 60)


@pytest.fixture
def samples(answers, run):
    """The samples of `seqgen sample --json ARGUMENTS...`."""

    def read(*arguments, **options):
        return json.loads(answers("sample", "--json", *LENGTH, *arguments, **options))["samples"]

    return read


def test_the_same_seed_gives_the_same_text(samples):
    (text,) = samples("--seed", 3)

    assert samples("--seed", 3) == [text]
    assert samples("--seed", 4) != [text]
    assert len(text) == 60


def test_streamed_is_what_json_says(answers, samples):
    (text,) = samples("--seed", 3, "--prompt", "The old")

    assert answers("sample", *LENGTH, "--seed", 3, "--prompt", "The old") == f"The old{text}\n"


def test_the_compiled_engine_writes_what_torch_writes(answers, samples):
    pytest.importorskip("numba")

    assert samples("--seed", 3, "--engine", "numba", "-n", 2) == samples("--seed", 3, "-n", 2)
    assert answers("sample", *LENGTH, "--seed", 3, "--engine", "numba") == f"{samples('--seed', 3)[0]}\n"


def test_what_is_refused_is_refused_before_anything_is_written(refuses, run):
    refuses(2, "sample", "--prompt", "The old", "--max-new-tokens", 0, words=("max-new-tokens",))


def test_json_is_one_document_that_names_run_and_prompt(answers, run):
    content = json.loads(answers("sample", "--json", *LENGTH, "--prompt", "The"))

    assert content.keys() == {"run", "prompt", "samples"}
    assert (content["run"], content["prompt"]) == (str(run), "The")


def test_several_samples_come_in_order_and_none_depends_on_how_many(answers, samples):
    texts = samples("-n", 3, "--prompt", "A")

    assert len(set(texts)) == 3
    assert samples("-n", 2, "--prompt", "A") == texts[:2]
    assert samples("--prompt", "A") == texts[:1]
    printed = answers("sample", *LENGTH, "-n", 3, "--prompt", "A")
    assert printed == "\n".join(f"--- {number} ---\nA{text}\n" for number, text in enumerate(texts, 1))


def test_a_prompt_comes_from_the_argument_a_file_or_a_pipe(samples):
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
def test_of_a_prompt_file_one_line_end_is_dropped(answers, run, content, prompt):
    Path("prompt.txt").write_bytes(content)

    for given in (("--prompt-file", "prompt.txt"), ("--prompt", "-")):
        assert json.loads(answers("sample", "--json", *LENGTH, *given, stdin=content))["prompt"] == prompt


def test_without_echo_only_what_is_new_is_printed(answers, samples):
    texts = samples("-n", 2, "--prompt", "The old ")

    assert answers("sample", *LENGTH, "--prompt", "The old ", "--no-echo") == f"{texts[0]}\n"
    printed = answers("sample", *LENGTH, "--prompt", "The old ", "--no-echo", "-n", 2)
    assert printed == f"--- 1 ---\n{texts[0]}\n\n--- 2 ---\n{texts[1]}\n"


def test_escapes_are_interpreted_on_request(answers, run):
    shown = json.loads(answers("sample", "--json", *LENGTH, "--escapes", "--prompt", r"a\n\tb\\n\x41\ud55c\q é"))

    assert shown["prompt"] == "a\n\tb\\nA한\\q é"
    assert json.loads(answers("sample", "--json", *LENGTH, "--prompt", r"a\n"))["prompt"] == r"a\n"


def test_two_escaped_halves_are_one_character(answers, run):
    shown = answers("sample", "--json", *LENGTH, "--escapes", "--prompt", r"\ud83d\ude00 \uD83D\uDE00\n")

    assert json.loads(shown)["prompt"] == "\U0001f600 \U0001f600\n"


@pytest.mark.parametrize("option", ["--prompt", "--stop"])
@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00"])
def test_an_escaped_half_is_refused_by_its_name(refuses, run, option, half):
    refuses(2, "sample", "--escapes", option, f"a{half} b", words=(f"{option}: ", f"{half} is half"))


@pytest.mark.parametrize("prompt", [(), ("--prompt", "-"), ("--prompt-file", "corpus.txt")])
def test_escapes_of_nothing_are_refused(refuses, run, prompt):
    refuses(2, "sample", "--escapes", *prompt, words=("--escapes: ", "--prompt", "--stop"))


def test_an_escaped_stop_ends_the_text(samples):
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
def test_a_stop_that_matches_nothing_is_named(invoke, run, stop, words):
    stderr = invoke("sample", *LENGTH, "--stop", stop).stderr

    assert stderr.count("--stop") == (1 if words else 0)
    assert words in stderr
    assert invoke("sample", *LENGTH, "--stop", stop, "--quiet").stderr == ""


def test_a_long_prompt_shows_how_much_of_it_was_read(invoke, run):
    Path("prompt.txt").write_text("The old king paints.\n" * 600, "utf-8")

    assert "reading the prompt" in invoke("sample", *LENGTH, "--prompt-file", "prompt.txt", terminal=80).stderr
    assert invoke("sample", *LENGTH, "--prompt-file", "prompt.txt").stderr == ""
    assert "reading" not in invoke("sample", *LENGTH, "--prompt", "The", terminal=80).stderr


def test_a_prompt_that_cannot_be_read(refuses, run):
    Path("prompt.txt").write_bytes(b"The \xff")

    refuses(1, "sample", "--prompt", "-", stdin=b"The \xff", words=("stdin", "byte 4"))
    refuses(1, "sample", "--prompt-file", "prompt.txt", words=("prompt.txt", "byte 4"))
    refuses(1, "sample", "--prompt-file", "gone.txt", words=("gone.txt", "no such file"))
    refuses(2, "sample", "--prompt-file", "prompt.txt", "--prompt", "The", words=("--prompt-file: ", "not both"))


def test_a_prompt_in_another_encoding(answers, refuses, run):
    Path("prompt.txt").write_bytes("왕 paints".encode("cp949"))
    piped = {"stdin": "왕 paints".encode("cp949")}

    for prompt, options in ((("--prompt-file", "prompt.txt"), {}), (("--prompt", "-"), piped)):
        assert answers("sample", *LENGTH, *prompt, "--encoding", "cp949", **options).startswith("왕 paints")
        refuses(1, "sample", *prompt, words=("byte 0", "--encoding"), **options)
    refuses(2, "sample", "--prompt-file", "prompt.txt", "--encoding", "klingon", words=("--encoding: ", "'klingon'"))


def test_weights_that_are_no_numbers_are_one_sentence(refuses, run):
    weights = load_file(run / "model.safetensors")
    weights["head.bias"].fill_(math.nan)
    (run / "model.safetensors").write_bytes(to_bytes(weights, RunDirectory(run).read_config().identity))

    refuses(1, "sample", words=("weights are not all numbers", "train it anew"))
    refuses(1, "sample", "--json", "-n", 2, words=("weights are not all numbers",))


def test_characters_never_seen_are_named(invoke, refuses, run):
    result = invoke("sample", *LENGTH, "--prompt", "Thé 왕")

    assert result.exit_code == 0
    assert result.stdout.startswith("Thé 왕")
    assert result.stderr.startswith("note: ")
    assert "'é', '왕'" in result.stderr
    assert "<unk>" in result.stderr
    assert invoke("sample", *LENGTH, "--quiet", "--prompt", "Thé 왕").stderr == ""
    refuses(1, "sample", "--strict", "--prompt", "Thé 왕", words=("'é', '왕'", "--strict"))
    assert invoke("sample", *LENGTH, "--strict", "--prompt", "The king").stderr == ""


def test_novelty_is_said_on_stderr_and_the_text_stays_the_text(invoke, answers, run):
    one = invoke("sample", *LENGTH, "--memorization")
    three = invoke("sample", *LENGTH, "--memorization", "-n", 3)

    assert one.stdout == answers("sample", *LENGTH)
    assert one.stderr.startswith("note: its longest stretch from the training text is ")
    assert one.stderr.count("\n") == 1
    assert three.stdout == answers("sample", *LENGTH, "-n", 3)
    assert [line[:15] for line in three.stderr.splitlines()] == [f"note: sample {number}:" for number in (1, 2, 3)]
    assert invoke("sample", *LENGTH, "--memorization", "--quiet").stderr == ""


def test_novelty_in_json_stands_beside_each_sample(answers, run):
    content = json.loads(answers("sample", "--json", *LENGTH, "--memorization", "-n", 2))

    assert [found.keys() for found in content["memorization"]] == [{"characters", "stretch", "start", "share"}] * 2
    for text, found in zip(content["samples"], content["memorization"], strict=True):
        assert found["characters"] == len(text) == 60
        assert text[found["start"] :].startswith(found["stretch"])
        assert found["stretch"]


def test_a_long_stretch_is_quoted_shortly():
    shown = _describe(Memorization(300, "a" * 100 + "\n" + "b" * 100, 7, 0.67))

    assert f"201 of 300 characters, '{'a' * 30} ... {'b' * 30}'; 67% of it" in shown


def test_novelty_needs_the_text_as_it_was(refuses, stopped, corpus, monkeypatch):
    corpus.write_text(corpus.read_text("utf-8") + "And so on.\n", "utf-8")
    refuses(1, "sample", "--memorization", words=("corpus.txt", "not the text"))

    corpus.unlink()
    monkeypatch.setenv("SEQGEN_CACHE", "empty")
    refuses(1, "sample", "--memorization", words=("corpus.txt", "no such file"))


def test_of_many_characters_never_seen_the_first_are_named(invoke, run):
    stderr = invoke("sample", *LENGTH, "--prompt", "0123456789+-").stderr

    assert "'9' ..." in stderr
    assert "'+'" not in stderr


def test_a_stop_text_ends_the_text_before_it(answers, samples):
    (text,) = samples()
    stop = text[20:22]
    expected = text[: text.find(stop)]

    assert samples("--stop", "never in it", "--stop", stop) == [expected]
    assert answers("sample", *LENGTH, "--stop", stop) == f"{expected}\n"


def test_temperature_0_is_the_likeliest_text(samples):
    (text,) = samples("--temperature", 0, "--seed", 1)

    assert samples("--temperature", 0, "--seed", 2) == [text]
    assert samples("--top-k", 1, "--seed", 3) == [text]


def test_the_filters_change_the_text(samples):
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
def test_an_impossible_setting_is_named(refuses, run, flag, value):
    refuses(2, "sample", flag, value, words=(f"{flag}: ",))


def test_escape_sequences_are_written_out_on_a_terminal_and_raw_in_a_pipe(answers, run):
    prompt = "\x1b]52;c;aGk=\x07\tThe\n"

    assert answers("sample", *LENGTH, "--prompt", prompt).startswith(prompt)
    shown = answers("sample", *LENGTH, "--prompt", prompt, terminal=80)
    assert shown.startswith("\\x1b]52;c;aGk=\\x07\tThe\n")
    assert answers("sample", *LENGTH, "--prompt", prompt, "-n", 2, terminal=80).count("\\x1b]52") == 2


def test_escape_sequences_that_a_model_has_learnt_are_written_out_too(answers, corpus, in_tmp):
    corpus.write_text(corpus.read_text("utf-8").replace("e", "\x1b"), "utf-8")
    for _ in seqgen.train("corpus.txt", cell="gru", hidden_size=16, max_steps=1, precision="fp32"):
        pass

    raw = answers("sample", "--max-new-tokens", 200)
    shown = answers("sample", "--max-new-tokens", 200, terminal=80)

    assert "\x1b" in raw
    assert shown == raw.replace("\x1b", "\\x1b")
    assert "\x1b" in json.loads(answers("sample", "--max-new-tokens", 200, "--json"))["samples"][0]


def test_a_prompt_that_is_not_utf_8_is_refused_with_its_place(refuses, run):
    prompt = b"The \xff\xfe".decode("utf-8", "surrogateescape")  # as Python hands on such an argument

    refuses(1, "sample", "--prompt", prompt, words=("the prompt is not utf-8 at byte 4 (0xff)",))
    refuses(1, "sample", "--prompt", "\ud800", words=("the prompt is not utf-8 at byte 0;",))  # as Windows might


def test_what_no_utf8_can_hold_becomes_the_replacement_character(answers, samples, run):
    Path("prompt.txt").write_bytes(b"The +2AA-")  # utf-7 can hold a lone surrogate
    assert answers("sample", *LENGTH, "--prompt-file", "prompt.txt", "--encoding", "utf-7").startswith("The \ufffd")
    piped = answers("sample", *LENGTH, "--prompt", "-", "--encoding", "utf-7", stdin=b"The +2AA-")
    assert piped.startswith("The \ufffd")
    assert samples("--stop", "\udcff") == samples()  # as U+FFFD, which this model does not write


@pytest.mark.parametrize("terminal", [0, 80])
def test_markup_is_shown_as_it_is(invoke, refuses, run, terminal):
    result = invoke("sample", *LENGTH, "--prompt", "[/x][bold]:smile:", terminal=terminal)

    assert result.stdout.startswith("[/x][bold]:smile:")
    assert "'['" in result.stderr
    assert "'/'" in result.stderr
    assert "[/x]: there is no such run" in invoke("sample", "--run", "[/x]", terminal=terminal).stderr


# --- no run, and half a run


def test_without_a_run_it_says_how_to_get_one(refuses):
    refuses(1, "sample", words=("no trained run", "seqgen train FILE"))
    refuses(1, "sample", "--run", "nowhere", words=("nowhere", "no such run", "seqgen runs"))
    Path("folder").mkdir()
    refuses(1, "sample", "--run", "folder", words=("folder is not a run", "config.json"))
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
        (lambda run: (run / "model.safetensors").unlink(), ("model.safetensors is missing",)),
        (truncate, ("model.safetensors is not a whole safetensors file",)),
        (truncate_header, ("model.safetensors is not a whole safetensors file",)),
        (resize, ("model.safetensors", "config.json")),
        (change_cell, ("model.safetensors", "config.json")),
        (swap_tokenizer, ("tokenizer", "not the tokenizer that belongs here")),
        (empty_tokenizer, ("tokenizer", "tokenizer.json is missing", "not all")),
        (lambda run: (run / "config.json").unlink(), ("is not a run", "config.json")),
        (write("config.json", b"{"), ("config.json", "Invalid JSON")),
        (write("config.json", b"\xff\xfe"), ("config.json",)),
        (write("config.json", b"[]"), ("config.json",)),
        (write("config.json", b'{"format_version": 2}'), ("config.json", "format_version")),
        (write("model.safetensors", b"cos\nsystem\n(S'touch canary'\ntR."), ("not a whole safetensors file",)),
    ],
    ids=[
        "no weights", "truncated weights", "truncated header", "another size", "another cell", "another tokenizer",
        "no tokenizer", "no config", "half a config", "config no text", "config no object", "config of the future",
        "a pickle",
    ],
)  # fmt: skip
def test_half_a_run_is_one_sentence(refuses, run, damage, words):
    damage(run)

    refuses(1, "sample", "--run", run, words=(str(run), *words))

    assert not Path("canary").exists()

"""`seqgen eval`: the documented figures, consistent with each other and with training's own."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

import seqgen
from seqgen.models.weights import to_bytes
from seqgen.runs.directory import RunDirectory

KEYS = {
    "nats_per_token", "perplexity", "bits_per_byte", "bits_per_character", "tokens", "ends", "characters", "bytes",
    "unknown_characters", "unknown_share", "changed_characters", "context", "dynamic", "run", "text",
    "xz_bits_per_byte", "order0_bits_per_byte", "published",
}  # fmt: skip


@pytest.fixture
def report(answers, run, corpus):
    """What `seqgen eval --json ARGUMENTS...` prints."""

    def read(*arguments):
        result = answers("eval", "--json", *arguments)
        assert result.count("\n") == 1
        return json.loads(result)

    return read


def test_json_of_one_text_is_consistent(report, run, corpus):
    figures = report("corpus.txt")

    assert figures.keys() == KEYS
    size = corpus.stat().st_size
    assert figures["tokens"] == figures["characters"] == figures["bytes"] == size
    assert figures["unknown_characters"] == 0
    assert (figures["run"], figures["text"]) == (str(run), "corpus.txt")
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_token"]))
    assert figures["bits_per_byte"] == pytest.approx(
        figures["nats_per_token"] * figures["tokens"] / math.log(2) / figures["bytes"]
    )
    assert figures["bits_per_character"] == pytest.approx(figures["bits_per_byte"])
    assert 0 < figures["xz_bits_per_byte"] < figures["order0_bits_per_byte"] < 8


def test_validation_part_of_synthetic_corpus_shows_true_entropy(answers):
    answers("train", "corpus:hello:valid", "--hidden-size", "8", "--max-steps", "2", "--quiet")

    assert "validation part: 0 bits per byte, the true entropy" in answers("eval", "--quiet")


def test_unknown_characters_are_counted_and_cost_bits(report):
    Path("korean.txt").write_text("The 왕 paints.\n", "utf-8")

    figures = report("korean.txt")

    assert (figures["characters"], figures["bytes"], figures["unknown_characters"]) == (14, 16, 1)
    model = figures["nats_per_token"] * figures["tokens"]
    spelling = figures["bits_per_byte"] * figures["bytes"] * math.log(2) - model
    assert spelling == pytest.approx(math.log(0x110000 - 0x800), rel=1e-3)
    assert figures["bits_per_character"] * 14 == pytest.approx(figures["bits_per_byte"] * 16)


def test_many_unknown_tokens_note_to_compare_bits_per_byte(invoke, run):
    Path("much.txt").write_text("왕국 a king " * 9, "utf-8")
    Path("little.txt").write_text("a king " * 9 + "왕", "utf-8")

    much, little = (invoke("eval", name, "--run", run) for name in ("much.txt", "little.txt"))
    assert "much.txt: 20% of its 90 tokens are <unk>" in much.stderr
    assert "bits per byte" in much.stderr
    assert (much.stderr.count("note: "), little.stderr) == (1, "")
    assert json.loads(invoke("eval", "much.txt", "--run", run, "--json", "--quiet").output)["unknown_share"] == 0.2


def test_json_of_several_texts_has_files_and_total(report):
    Path("second.txt").write_text("The old king paints the river.\n" * 20, "utf-8")

    content = report("corpus.txt", "second.txt")

    assert content.keys() == {"files", "total"}
    first, second = content["files"]
    total = content["total"]
    assert first.keys() == second.keys() == total.keys() == KEYS
    assert [first["text"], second["text"], total["text"]] == ["corpus.txt", "second.txt", "total"]
    assert first == report("corpus.txt")
    for name in ("tokens", "characters", "bytes", "unknown_characters"):
        assert total[name] == first[name] + second[name]
    for name in ("bits_per_byte", "xz_bits_per_byte", "order0_bits_per_byte"):
        expected = (first[name] * first["bytes"] + second[name] * second["bytes"]) / total["bytes"]
        assert total[name] == pytest.approx(expected)
    assert total["perplexity"] == pytest.approx(math.exp(total["nats_per_token"]))


def test_training_text_is_noted(invoke, run, corpus):
    Path("copy.txt").write_bytes(corpus.read_bytes())
    Path("other.txt").write_text("The old king.\n", "utf-8")

    shown = invoke("eval", "copy.txt", "other.txt")

    assert shown.stderr.startswith("note: copy.txt is ")
    assert shown.stderr.count("\n") == 1
    assert invoke("eval", "copy.txt", "--quiet").stderr == ""
    assert invoke("eval").stderr == ""


def test_without_text_validation_part_is_scored(report, run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    best = min(line["nats_per_token"] for line in lines if line["event"] == "evaluated")

    figures = report()

    assert figures["text"] == "validation part"
    assert figures["nats_per_token"] == pytest.approx(best, abs=1e-3)
    valid_tokens = json.loads((run / "config.json").read_text("utf-8"))["text"]["valid_tokens"]
    assert figures["tokens"] == valid_tokens
    assert report("--precision", "bf16")["nats_per_token"] == pytest.approx(best, abs=1e-2)


def test_ends_of_documents_are_counted_and_paid_for(answers, report, in_tmp, corpus):
    answers(
        "train", "corpus.txt", "--documents", "line", "--cell", "gru", "--hidden-size", 8, "--max-steps", 2,
        "--precision", "fp32", "--out", "run", "--quiet",
    )  # fmt: skip
    lines = map(json.loads, Path("run/metrics.jsonl").read_text("utf-8").splitlines())
    best = min(line["nats_per_token"] for line in lines if line["event"] == "evaluated")
    Path("one.txt").write_text("The old king.\nNo one paints.\n", "utf-8")

    valid, one = report("--run", "run"), report("one.txt", "--run", "run")

    assert valid["nats_per_token"] == pytest.approx(best, abs=1e-3)
    assert (
        valid["tokens"]
        == valid["bytes"]
        == json.loads(Path("run/config.json").read_text("utf-8"))["text"]["valid_tokens"]
    )
    assert valid["ends"] == len(seqgen.load("run").validation_texts())
    assert (one["ends"], one["tokens"], one["bytes"]) == (2, 13 + 14 + 2, 29)
    assert one["bits_per_byte"] == pytest.approx(one["nats_per_token"] / math.log(2))
    shown = [line.split() for line in answers("eval", "one.txt", "--run", "run").splitlines()]
    assert any("ends" in words and words[-1] == "2" for words in shown)


def test_changed_validation_text_is_refused(refuses, stopped, corpus, monkeypatch):
    corpus.write_text(corpus.read_text("utf-8") + "And so on.\n", "utf-8")
    refuses(1, "eval", words=("corpus.txt", "not the text"))

    corpus.unlink()
    monkeypatch.setenv("SEQGEN_CACHE", "empty")
    refuses(1, "eval", words=("corpus.txt",))


def test_context_options_change_reported_context(report):
    carried, sequential = report("corpus.txt"), report("corpus.txt", "--sequential")
    windows = report("corpus.txt", "--context-window", 4)
    strided = report("corpus.txt", "--context-window", 4, "--stride", 1)

    assert (carried["context"]["kind"], carried["context"]["burn_in"]) == ("stream", 256)
    assert carried["context"]["segments"] > 1
    assert sequential["context"] == {"kind": "stream", "segments": 1, "burn_in": 0, "window": None, "stride": None}
    assert windows["context"]["kind"] == "windows"
    assert (windows["context"]["window"], windows["context"]["stride"]) == (4, 4)
    assert (strided["context"]["window"], strided["context"]["stride"]) == (4, 1)
    assert carried["nats_per_token"] == pytest.approx(sequential["nats_per_token"], abs=1e-3)
    assert len({one["nats_per_token"] for one in (sequential, windows, strided)}) == 3
    assert {one["tokens"] for one in (carried, sequential, windows, strided)} == {carried["tokens"]}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--stride", 4], "stride"),
        (["--context-window", 4, "--stride", 5], "stride"),
        (["--context-window", 4, "--sequential"], "sequential"),
        (["--context-window", 0], "--context-window: "),
        (["--context-window", 4, "--stride", 0], "stride"),
    ],
)
def test_impossible_context_is_refused_by_its_option(refuses, run, corpus, arguments, word):
    refuses(2, "eval", "corpus.txt", *arguments, words=(word,))


def test_context_of_several_texts_is_combined(answers, report, run):
    Path("short.txt").write_text("The old king.\n", "utf-8")

    content = report("corpus.txt", "short.txt")

    long, short = (row["context"] for row in content["files"])
    total = content["total"]["context"]
    assert (long["burn_in"], short["burn_in"], short["segments"]) == (256, 0, 1)
    assert total == {**long, "segments": long["segments"] + 1}
    assert f" {total['segments']} segments " in answers("eval", "corpus.txt", "short.txt").splitlines()[0]
    assert "one stream" in answers("eval", "short.txt").splitlines()[0]
    for texts in (["short.txt", "short.txt"], ["corpus.txt", "--documents", "line"]):
        assert "through each document" in answers("eval", *texts).splitlines()[0]
    assert "windows of 4 tokens, stride 2" in answers("eval", "short.txt", "--context-window", 4, "--stride", 2)


def test_perplexity_beyond_float_is_null(answers, report, run):
    weights = load_file(run / "model.safetensors")
    weights["head.bias"][seqgen.load(run).tokenizer.encode("T")[0]] = -1e4
    (run / "model.safetensors").write_bytes(to_bytes(weights, RunDirectory(run).read_config().identity))
    Path("one.txt").write_text("T", "utf-8")

    figures = report("one.txt")

    assert figures["nats_per_token"] > 1000
    assert figures["perplexity"] is None
    assert "inf" in answers("eval", "one.txt").split()


def test_table_is_on_stdout_and_stderr_is_empty(invoke, run, corpus):
    Path("held-out.txt").write_text("The old king watches the river.\n" * 50, "utf-8")

    result = invoke("eval", "held-out.txt")

    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"{run}: gru, char; state carried through the whole text")
    names = ["nats per token", "perplexity", "bits per character", "bits per byte", "xz -9 needs", "order-0 entropy"]
    assert [line.rpartition("  ")[0].strip() for line in lines[1:]] == [*names, "tokens", "characters", "bytes"]


def test_wide_table_is_not_wrapped_in_a_pipe(invoke, run, corpus):
    names = [f"{'a-long-name-' * 3}{number}.txt" for number in range(4)]
    for name in names:
        Path(name).write_text("The old king!\n", "utf-8")

    lines = invoke("eval", *names).stdout.splitlines()

    assert all(name in lines[1] for name in [*names, "total"])
    assert any(line.startswith("unknown tokens") and line.split()[-5:] == ["1"] * 4 + ["4"] for line in lines)


def test_json_on_terminal_is_json(invoke, run, corpus):
    result = invoke("eval", "corpus.txt", "--json", terminal=60)

    assert json.loads(result.stdout).keys() == KEYS


@pytest.mark.parametrize("terminal", [0, 90])
def test_markup_in_file_name_is_printed_literally(invoke, run, corpus, terminal):
    Path("[").mkdir()
    Path("[/x].txt").write_text(corpus.read_text("utf-8"), "utf-8")

    result = invoke("eval", "[/x].txt", "corpus.txt", terminal=terminal)

    assert result.exit_code == 0
    assert "[/x].txt" in result.stdout


def test_unreadable_texts_are_refused(refuses, run):
    Path("empty.txt").touch()
    Path("broken.txt").write_bytes(b"ab\xff")

    refuses(1, "eval", "gone.txt", words=("gone.txt",))
    refuses(1, "eval", "empty.txt", words=("empty.txt", "is empty"))
    refuses(1, "eval", "broken.txt", words=("broken.txt", "byte 2"))
    refuses(1, "eval", "runs", "--quiet", words=("runs", "--glob"))
    refuses(2, "eval", "corpus:atlantis", words=("atlantis",))


def test_text_of_one_character_is_scored(report):
    Path("one.txt").write_text("T", "utf-8")

    assert report("one.txt")["tokens"] == 1


def test_eval_without_run_is_refused(refuses, corpus):
    refuses(1, "eval", "corpus.txt", words=("no trained run",))
    refuses(1, "eval", "corpus.txt", "--run", "nowhere", words=("nowhere",))


OUT = ("--out", "run")


@pytest.mark.slow
def test_validation_part_of_several_corpora_has_no_published_figures(answers, in_tmp, corpus):
    answers(
        "train", "corpus.txt", "corpus:hello", "--cell", "gru", "--hidden-size", 8, "--max-steps", 2, "--out", "run"
    )

    assert json.loads(answers("eval", "--run", "run", "--json"))["published"] == []


@pytest.fixture
def short(corpus):
    """The beginning of the corpus, in short.txt."""
    Path("short.txt").write_text(corpus.read_text("utf-8")[:1500], "utf-8")


def test_dynamic_figures_are_next_to_the_static_ones(report, short):
    static, dynamic = report("short.txt", "--sequential"), report("short.txt", "--dynamic", "weights")

    assert static["dynamic"] is None
    assert dynamic["nats_per_token"] == pytest.approx(static["nats_per_token"], rel=1e-6)
    assert dynamic["context"] == static["context"]
    learned = dynamic["dynamic"]
    assert (learned["what"], learned["parts"]) == ("weights", {"weights": learned["nats_per_token"]})
    assert learned["nats_per_token"] < 0.98 * static["nats_per_token"]
    assert learned["bits_per_byte"] == pytest.approx(learned["nats_per_token"] / math.log(2))


@pytest.mark.parametrize("arguments", [("--dynamic", "short.txt"), ("--dynamic", "--cache", "short.txt")])
def test_dynamic_without_a_value_is_all(report, short, arguments):
    assert report(*arguments)["dynamic"]["what"] == "all"


def test_dynamic_table_names_adapted_figures_and_notes_the_time_first(invoke, run, short):
    result = invoke("eval", "short.txt", "--run", run, "--dynamic", "--cache")

    assert "1,500 tokens" in result.stderr
    rows = [line.strip() for line in result.stdout.splitlines()]
    assert sum(line.startswith("nats per token") for line in rows) == 1
    assert sum(line.startswith("dynamic all with cache: nats per token") for line in rows) == 1
    assert invoke("eval", "short.txt", "--run", run, "--dynamic", "--quiet").stderr == ""


def test_dynamic_notes_the_time_of_a_text_of_three_blocks(invoke, run, corpus):
    Path("tiny.txt").write_text(corpus.read_text("utf-8")[:600], "utf-8")

    assert "600 tokens" in invoke("eval", "tiny.txt", "--run", run, "--dynamic").stderr


def test_dynamic_evaluations_of_several_texts_add_up(report, short):
    Path("other.txt").write_text("The old king paints the rain.\n" * 9, "utf-8")

    content = report("short.txt", "other.txt", "--cache", "--dynamic-reset", "document")

    one, other = content["files"]
    expected = sum(row["dynamic"]["nats_per_token"] * row["tokens"] for row in (one, other))
    assert content["total"]["dynamic"]["nats_per_token"] * content["total"]["tokens"] == pytest.approx(expected)
    assert content["total"]["dynamic"]["reset"] == "document"


def test_tune_chooses_constants_on_another_text(report, refuses, short, monkeypatch):
    monkeypatch.setattr("seqgen.evaluation.adaptation.tune.WEIGHTS", {"rate": (0.25,)})
    Path("other.txt").write_text("The old king paints the rain.\n" * 9, "utf-8")

    default, tuned = (report("short.txt", "--dynamic", *more)["dynamic"] for more in ((), ("--tune", "other.txt")))

    assert tuned["constants"]["rate"] in {default["constants"]["rate"], 0.25 * default["constants"]["rate"]}
    refuses(2, "eval", "short.txt", "--tune", "other.txt", words=("--tune", "--dynamic"))


@pytest.mark.parametrize("texts", [("short.txt",), ("other.txt", "./short.txt"), ("copy.txt",)])
def test_tune_refuses_a_text_that_is_measured(refuses, run, short, texts):
    Path("other.txt").write_text("The old king paints the rain.\n" * 9, "utf-8")
    shutil.copy("short.txt", "copy.txt")

    refuses(2, "eval", *texts, "--dynamic", "--tune", "short.txt", words=("--tune", "short.txt"))


def test_tune_refuses_the_text_of_the_run_where_its_validation_part_is_measured(refuses, run, corpus):
    refuses(2, "eval", "--dynamic", "--tune", corpus, words=("--tune", str(corpus)))


def test_dynamic_ngram_of_a_neural_run_is_refused(refuses, run, short):
    refuses(2, "eval", "short.txt", "--dynamic", "ngram", words=("--dynamic", "gru", "weights"))


def test_divergence_is_noted(invoke, run, short, monkeypatch):
    monkeypatch.setattr("seqgen.evaluation.adaptation.reader.DIVERGED", 0.1)

    result = invoke("eval", "short.txt", "--run", run, "--dynamic", "--json")

    assert "gru diverged after 1,024 tokens" in result.stderr
    assert json.loads(result.stdout)["dynamic"]["diverged"] == {"gru": 1024}

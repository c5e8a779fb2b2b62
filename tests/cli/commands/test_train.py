"""`seqgen train`: the run directory, the output, and refused settings."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from threading import Thread

import pytest
from seqgen.cli.errors import Terminated

from seqgen.training import time_budget as budget
from seqgen.training.metrics import read_metrics

from ...comparing import config_of, contents_of, figures_of, files_of
from ...small_runs import NEURAL

SMALL = ("--cell", "gru", "--hidden-size", 16, "--batch-size", 8, "--precision", "fp32", "--max-steps", 3)


def small_but(*options):
    """Return `SMALL` with these options in place of its own."""
    own = {flag: value for flag, value in zip(SMALL[::2], SMALL[1::2], strict=True) if flag not in options}
    return (*(word for pair in own.items() for word in pair), *options)


@pytest.fixture(autouse=True)
def _corpus(corpus):
    """Every test has corpus.txt in its folder."""


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
@pytest.mark.parametrize(("options", "words"), [((), "nothing was saved"), (("--resume",), "is as it was")])
def test_signal_before_the_first_step_says_what_is_saved(refuses, monkeypatch, error, code, options, words):
    def interrupt(*arguments, **settings):
        raise error

    monkeypatch.setattr("seqgen.runs.train.train", interrupt)

    refuses(code, "train", *options, words=(words,))


# --- run directory


def test_run_is_named_after_text_and_cell(answers):
    answers("train", "corpus.txt", *SMALL)
    answers("train", "corpus.txt", *SMALL)

    assert sorted(path.name for path in Path("runs").iterdir()) == ["corpus-gru", "corpus-gru-2"]


def test_run_directory_has_the_documented_files(answers):
    answers("train", "corpus.txt", *SMALL, "--eval-every", 2)

    checkpoint = ["best", "optimizer", "state", "weights"]
    files = ["config.json", "state.json", *(f"{name}.safetensors" for name in checkpoint)]
    assert files_of("runs/corpus-gru") == sorted(
        [
            ".lock",
            "config.json",
            "metrics.jsonl",
            "model.safetensors",
            "tokenizer/tokenizer.json",
            *(f"checkpoints/step-{step:06d}/{name}" for step in (2, 3) for name in files),
        ]
    )
    config = config_of("runs/corpus-gru")
    assert config["format_version"] == 1
    assert config["model"]["hidden_size"] == 16
    assert config["data"]["text"] == [str(Path("corpus.txt").resolve())]
    assert config["text"]["train_tokens"] + config["text"]["valid_tokens"] == config["text"]["characters"]


def test_options_are_recorded_in_config_json(answers):
    answers(
        "train", "corpus.txt", *SMALL, "--layers", 2, "--dropout", 0.25, "--tie-weights", "--gru-reset", "before",
        "--lr", 0.001, "--schedule", "cosine", "--warmup-steps", 1, "--weight-decay", 0.5, "--clip-grad-norm", 0.5,
        "--grad-accum", 2, "--bptt", 16, "--seed", 7, "--patience", 4, "--valid-split", "tail", "--valid-share", 0.1,
    )  # fmt: skip

    config = config_of("runs/corpus-gru")
    model = {"layers": 2, "dropout": 0.25, "tie_weights": True, "gru_reset": "before"}
    training = {
        "lr": 0.001, "schedule": "cosine", "warmup_steps": 1, "weight_decay": 0.5, "clip_grad_norm": 0.5,
        "grad_accum": 2, "bptt": 16, "seed": 7, "patience": 4, "batch_size": 8, "max_steps": 3,
    }  # fmt: skip
    assert config["model"].items() >= model.items()
    assert config["training"].items() >= training.items()
    assert config["data"].items() >= {"valid_split": "tail", "valid_share": 0.1}.items()


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, marks=[] if cell == "transformer" else pytest.mark.slow) for cell in NEURAL]
)
def test_every_cell_trains_and_samples(answers, cell):
    more = ["--heads", 2, "--block-size", 16] if cell == "transformer" else []

    answers("train", "corpus.txt", *small_but("--cell", cell, *more))

    assert answers("sample", "--run", f"runs/corpus-{cell}", "--max-new-tokens", 5)


@pytest.mark.parametrize(
    "kind", ["word", "bpe", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("char", "byte", "unigram"))]
)
def test_every_kind_of_tokenizer_trains_samples_and_evaluates(answers, kind):
    size = ["--vocab-size", 300] if kind in {"unigram", "bpe"} else []

    answers("train", "corpus.txt", *SMALL, "--tokenizer", kind, *size)

    assert config_of("runs/corpus-gru")["tokenizer"]["kind"] == kind
    assert answers("sample", "--max-new-tokens", 5)
    assert json.loads(answers("eval", "corpus.txt", "--json"))["bits_per_byte"] > 0


def test_built_tokenizer_is_used(answers, refuses):
    answers("tokenizer", "build", "corpus.txt", "--tokenizer", "byte", "--out", "bytes")

    answers("train", "corpus.txt", *SMALL, "--tokenizer", "bytes")
    assert config_of("runs/corpus-gru")["tokenizer"]["vocab_size"] == 257

    refuses(2, "train", "corpus.txt", *SMALL, "--tokenizer", "bytes", "--vocab-size", 300, words=("--vocab-size",))
    refuses(2, "train", "corpus.txt", *SMALL, "--tokenizer", "wordpiece", words=("'wordpiece'", "unigram"))
    Path("empty").mkdir()
    refuses(1, "train", "corpus.txt", *SMALL, "--tokenizer", "empty", words=("empty", "tokenizer.json"))


def test_valid_option_names_validation_text(answers):
    Path("valid.txt").write_text("The old king paints the river.\n" * 10, "utf-8")

    answers("train", "corpus.txt", *SMALL, "--valid", "valid.txt")

    assert config_of("runs/corpus-gru")["text"]["valid_tokens"] == 310
    report = json.loads(answers("eval", "--json"))
    assert report["characters"] == 310
    best = [line for line in figures_of(Path("runs/corpus-gru")) if line["event"] == "evaluated"][-1]
    assert report["nats_per_token"] == pytest.approx(best["nats_per_token"], abs=1e-3)


def test_valid_split_none_withholds_nothing(invoke, answers, refuses):
    result = invoke("train", "corpus.txt", *SMALL, "--valid-split", "none")

    assert result.exit_code == 0
    assert "note: " in result.stderr
    assert answers("sample", "--max-new-tokens", 5)
    refuses(1, "eval", words=("runs/corpus-gru",))


def test_encoding_option_decodes_text(answers, refuses):
    Path("korean.txt").write_bytes("나는 오늘 학교에 갔다.\n".encode("cp949") * 400)

    refuses(1, "train", "korean.txt", *SMALL, words=("korean.txt", "byte 0", "--encoding"))
    refuses(2, "train", "korean.txt", *SMALL, "--encoding", "klingon", words=("'klingon'",))
    assert not Path("runs").exists()

    answers("train", "korean.txt", *SMALL, "--encoding", "cp949")
    assert json.loads(answers("eval", "--json"))["unknown_characters"] == 0


@pytest.mark.parametrize(("time", "seconds"), [("1m30s", 90)])
def test_max_time_and_max_steps_combine(answers, monkeypatch, time, seconds):
    monkeypatch.setattr(budget, "BENCHMARK_SECONDS", 0.0)

    answers("train", "corpus.txt", *SMALL, "--max-time", time)

    training = config_of("runs/corpus-gru")["training"]
    assert (training["max_time"], training["max_steps"]) == (seconds, 3)


@pytest.mark.parametrize("time", ["soon", "s", "-5s", "1m30", "0", "0s", "", "1e3s"])
def test_invalid_duration_is_refused(refuses, time):
    refuses(2, "train", "corpus.txt", "--max-time", time, words=("--max-time: ",))

    assert not Path("runs").exists()


def test_max_epochs_sets_number_of_steps(answers):
    answers("train", "corpus.txt", *SMALL[:-2], "--bptt", 32, "--max-epochs", 0.2)

    config = config_of("runs/corpus-gru")
    steps = [line for line in read_metrics(Path("runs/corpus-gru/metrics.jsonl")) if line["event"] == "step"]
    assert len(steps) == steps[-1]["total_steps"] == round(0.2 * config["text"]["train_tokens"] / (8 * 32))


# --- output


def test_without_terminal_stderr_has_plain_lines(invoke, answers):
    result = invoke("train", "corpus.txt", *SMALL, "--eval-every", 2)

    assert result.stdout == ""
    assert not set("\x1b\r") & set(result.stderr)
    lines = result.stderr.splitlines()
    assert re.fullmatch(r"runs/corpus-gru: gru 1x16, [\d,]+ parameters, char vocabulary of \d+", lines[0])
    assert re.fullmatch(
        r"[\d,]+ training tokens, \d+ for validation; 3 steps with adamw on cpu in fp32, (1 thread|\d+ threads)",
        lines[1],
    )
    evaluations = [line for line in lines if line.startswith("step ")]
    assert [line.split()[1] for line in evaluations] == ["2/3", "3/3"]
    assert all(re.search(r"validation [\d.]+ bits/char +[\d.]+ bits/byte +\d+:\d\d$", line) for line in evaluations)
    assert sum(line.startswith("done: 3 steps") for line in lines) == 1
    assert lines[-1].endswith("seqgen sample --run runs/corpus-gru")
    assert answers(*lines[-1].split("seqgen ")[1].split(), "--max-new-tokens", 5)


def test_long_path_does_not_wrap_lines(invoke):
    out = "a-rather-long-name-for-a-run/" * 4 + "end"

    lines = invoke("train", "corpus.txt", *SMALL, "--out", out).stderr.splitlines()

    assert lines[0].startswith(f"{out}: gru 1x16, ")
    assert lines[-1].endswith(f"--run {out}")


def test_quiet_prints_nothing(invoke):
    result = invoke("train", "corpus.txt", *SMALL, "--quiet")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_terminal_shows_live_display(invoke):
    result = invoke("train", "corpus.txt", *SMALL, terminal=70)

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "\x1b[" in result.stderr
    assert "done: 3 steps" in result.stderr


def test_markup_in_names_is_printed_literally(invoke, answers):
    Path("[").mkdir()
    Path("[/x].txt").write_text(Path("corpus.txt").read_text("utf-8"), "utf-8")

    for terminal in (0, 70):
        out = f"[/bold]{terminal}"
        result = invoke("train", "[/x].txt", *SMALL, "--out", out, terminal=terminal)
        assert result.exit_code == 0, result.output
        assert f"{out}: gru" in result.stderr
        assert f"seqgen sample --run {out}" in result.stderr


def test_control_characters_in_names_are_escaped(invoke, refuses):
    result = invoke("train", "corpus.txt", *SMALL, "--out", "red\x1b[31m")
    assert result.exit_code == 0
    assert "\x1b" not in result.stderr
    assert "red\\x1b[31m: gru" in result.stderr

    assert "\x1b" not in refuses(1, "train", "\x1b]52;c;aGk=\x07.txt", words=("\\x1b]52;c;aGk=\\x07.txt",))


# --- refused settings


def test_existing_out_directory_is_refused_and_unchanged(answers, refuses):
    answers("train", "corpus.txt", *SMALL, "--out", "mine")
    Path("empty").mkdir()
    before = contents_of(".")

    refuses(1, "train", "corpus.txt", *SMALL, "--out", "mine", words=("mine", "--out", "--resume"))
    refuses(1, "train", "corpus.txt", *SMALL, "--out", "empty", words=("empty",))
    refuses(1, "train", "corpus.txt", *SMALL, "--out", "corpus.txt", words=("corpus.txt",))

    assert contents_of(".") == before


def test_unwritable_out_exits_with_4(refuses):
    refuses(4, "train", "corpus.txt", *SMALL, "--out", "corpus.txt/run", words=("corpus.txt/run",))
    refuses(4, "train", "corpus.txt", *SMALL, "--out", "x" * 300, words=("xxx", "name too long"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ()),
        (b"", ("empty",)),
        (b"\xef\xbb\xbf", ("empty",)),
        (b"a", ("1 character", "longer")),
        (b"a short text\n" * 10, ("130 characters", "--valid-split none", "--valid FILE")),
        (b"fine so far \xff" * 500, ("byte 12", "0xff", "--encoding")),
    ],
    ids=["missing", "empty", "only a byte order mark", "one character", "short", "undecodable"],
)
def test_unusable_text_is_refused(refuses, content, words):
    if content is not None:
        Path("text.txt").write_bytes(content)
    before = sorted(Path.cwd().rglob("*"))

    refuses(1, "train", "text.txt", *SMALL, words=("text.txt", *words))

    assert sorted(Path.cwd().rglob("*")) == before


def test_folder_without_matching_file_is_refused(refuses, in_tmp):
    Path("docs").mkdir()
    Path("docs/read.md").write_text("words", "utf-8")

    refuses(1, "train", "docs", *SMALL, words=("docs", "--glob '*.txt'", "1 *.md"))
    refuses(1, "train", "corpus.txt", *SMALL, "--valid", "docs", words=("docs",))


def test_several_texts_are_read_as_one(answers, in_tmp, corpus):
    Path("more").mkdir()
    Path("more/a.md").write_text("No one forgets the sea.\n" * 9, "utf-8")
    Path("reviews.jsonl").write_text('{"review": "The rain paints."}\n' * 3, "utf-8")

    answers(
        "train", "corpus.txt", "more", "reviews.jsonl", "--glob", "*.md", "--field", "review", *SMALL, "--out", "run"
    )

    read = json.loads(Path("run/config.json").read_text("utf-8"))
    assert read["text"]["characters"] == len(corpus.read_text("utf-8")) + 9 * 24 + 3 * 16
    assert [Path(name).name for name in read["data"]["text"]] == ["corpus.txt", "more", "reviews.jsonl"]


def test_text_from_stdin_is_resumed_from_cache(answers, refuses, in_tmp, corpus, tmp_path):
    cache_dir = ("--cache-dir", tmp_path / "kept")
    answers("train", "-", *SMALL, *cache_dir, "--out", "run", stdin=b"No other cache has this.\n" + corpus.read_bytes())

    answers("train", "--resume", "--out", "run", "--max-steps", "5")
    answers("eval", "--run", "run")

    shutil.rmtree(tmp_path / "kept")
    refuses(1, "train", "--resume", "--out", "run", "--max-steps", "7", words=("stdin",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_text_from_named_pipe_is_resumed_from_cache(invoke, answers, refuses, in_tmp, corpus, tmp_path):
    os.mkfifo("pipe")
    content = b"No other cache has this pipe.\n" + corpus.read_bytes()
    writer = Thread(target=Path("pipe").write_bytes, args=(content,), daemon=True)
    writer.start()

    trained = invoke("train", "pipe", *SMALL, "--cache-dir", tmp_path / "kept", "--out", "run")

    assert trained.exit_code == 0, trained.output
    assert trained.stderr.startswith("reading from the pipe")
    answers("train", "--resume", "--out", "run", "--max-steps", "5")
    answers("eval", "--run", "run")
    Path("pipe").unlink()  # as a shell removes the pipe of `<(command)`
    answers("train", "--resume", "--out", "run", "--max-steps", "6")
    answers("eval", "--run", "run")
    os.mkfifo("pipe")
    shutil.rmtree(tmp_path / "kept")
    refuses(1, "train", "--resume", "--out", "run", "--max-steps", "7", words=("pipe",))
    refuses(1, "eval", "--run", "run", words=("pipe",))


def test_replaced_bytes_are_counted_in_a_note(invoke, in_tmp, corpus):
    corpus.write_bytes(corpus.read_bytes() + b"\xff and \xfe\n")

    result = invoke("train", "corpus.txt", *SMALL, "--errors", "replace")

    assert result.exit_code == 0
    assert re.search(r"2 .*corpus\.txt .*U\+FFFD", result.stderr)


@pytest.mark.parametrize("length", [2, 17])
def test_shortest_texts_train_without_validation(answers, length):
    Path("short.txt").write_text("ab" * 9, "utf-8")
    Path("short.txt").write_text(Path("short.txt").read_text("utf-8")[:length], "utf-8")

    answers("train", "short.txt", *SMALL, "--valid-split", "none")

    assert answers("sample", "--max-new-tokens", 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hidden-size", 0], ("--hidden-size: ", "not 0")),
        (["--hidden-size", -3], ("--hidden-size: ", "not -3")),
        (["--layers", 0], ("--layers: ",)),
        (["--dropout", 1.0], ("--dropout: ",)),
        (["--dropout", "nan"], ("--dropout: ",)),
        (["--lr", 0], ("--lr: ",)),
        (["--lr", "inf"], ("--lr: ",)),
        (["--batch-size", 0], ("--batch-size: ",)),
        (["--max-steps", 0], ("--max-steps: ",)),
        (["--max-epochs", 0], ("--max-epochs: ",)),
        (["--valid-share", 0.5], ("--valid-share: ",)),
        (["--seed", -1], ("--seed: ",)),
        (["--vocab-size", 1, "--tokenizer", "bpe"], ("--vocab-size: ",)),
        (["--vocab-size", 50], ("--vocab-size: ", "--tokenizer bpe")),
        (["--device", "warp"], ("--device: ", "'warp'", "cpu")),
        (["--cell", "gru", "--heads", 2], ("--heads: ", "gru", "transformer")),
        (["--cell", "lstm", "--gru-reset", "before"], ("--gru-reset: ", "lstm", "gru")),
        (["--cell", "transformer", "--embedding-size", 8], ("--embedding-size: ", "transformer")),
        (["--cell", "transformer", "--bptt", 8], ("--bptt: ", "--block-size")),
        (["--cell", "transformer", "--heads", 3], ("--heads: ", "--hidden-size", "--hidden-size")),
        (["--tie-weights", "--embedding-size", 8], ("--tie-weights: ", "--embedding-size")),
        (["--valid", "corpus.txt", "--valid-split", "tail"], ("--valid: ",)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_impossible_setting_is_refused_by_its_option(refuses, arguments, words):
    refuses(2, "train", "corpus.txt", *small_but(*arguments), words=words)

    assert not Path("runs").exists()


def test_diverged_training_exits_with_1_and_advises_lr(invoke):
    steps = ("--max-steps", 20, "--eval-every", 20)
    result = invoke("train", "corpus.txt", *small_but("--lr", 1e30, "--warmup-steps", 0, *steps))

    assert result.exit_code == 1
    assert re.search(r"error: .* at step \d+: .*--lr", result.stderr)


def test_pairs_are_trained_on_resumed_and_translated(answers, pairs):
    small = small_but("--task", "translate")
    answers("train", "pairs.tsv", *small)
    config = config_of("runs/pairs-gru")
    assert (config["model"]["cell"], config["text"]["train_pairs"]) == ("gru-translate", 106)

    answers("train", "--resume", "--max-steps", 5)

    assert answers("translate", "123").endswith("\n")
    assert json.loads(answers("eval", "--json"))["pairs"] == 6


def test_screen_says_how_many_pairs_are_learned_from(invoke, pairs):
    result = invoke("train", "pairs.tsv", *small_but("--task", "translate"))

    assert result.exit_code == 0
    assert "106 training pairs" in result.stderr
    assert " -> " in result.stderr


def test_bad_pairs_are_refused_with_their_line_or_skipped(answers, refuses, pairs):
    pairs.write_text(f"{pairs.read_text('utf-8')}no tab\n", "utf-8")
    small = small_but("--task", "translate")

    refuses(1, "train", "pairs.tsv", *small, words=("pairs.tsv, line 113", "--on-bad-line skip"))

    answers("train", "pairs.tsv", *small, "--on-bad-line", "skip")
    assert config_of("runs/pairs-gru")["text"]["train_pairs"] == 106


def test_corpus_of_pairs_sets_its_task(answers, in_tmp):
    answers("train", "corpus:roman-numerals", *SMALL)

    config = config_of("runs/roman-numerals-gru")
    assert (config["data"]["task"], config["model"]["cell"]) == ("translate", "gru-translate")

"""New runs: what they are made from, and what is refused before anything is created."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
import torch

import seqgen
from seqgen import tokenizers
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.tokenizers import auto
from seqgen.tokenizers.auto import CHAR, Choice
from seqgen.tokenizers.config import TokenizerConfig

from ..comparing import assert_same_run
from ..small_runs import GRU, SMALL, SMALL_RUNS

NAMED = {"tokenizer": "bpe", "vocab_size": 300}


def test_train_with_an_error_creates_nothing(corpus, in_tmp):
    before = sorted(in_tmp.rglob("*"))
    for error, text, settings in (
        (ConfigError, corpus, {"hidden_size": 0}),
        (ConfigError, corpus, {"device": "warp"}),
        (ConfigError, corpus, {"wings": 2}),
        (TextError, in_tmp / "gone.txt", {}),
        (TextError, corpus, {"valid": "gone.txt"}),
        (TextError, corpus, {"valid_share": 0.001}),
        (ConfigError, corpus, {"tokenizer": "char", "vocab_size": 300}),
        (RunError, corpus, {"out": in_tmp}),
        (RunError, corpus, {"init_from": "nowhere"}),
    ):
        with pytest.raises(error):
            seqgen.train(text, **{**GRU, **settings})

    assert sorted(in_tmp.rglob("*")) == before


@pytest.mark.parametrize(
    ("family", "valid_split"),
    [("gru", "none"), ("transformer", "none"), ("gru", "blocks"), ("gru", "tail")],
)
def test_text_of_any_short_length_trains_or_is_refused(corpus, tmp_path, family, valid_split):
    """From nothing to twice the tokens of a row."""
    settings = {**SMALL, **SMALL_RUNS[family], "max_steps": 1, "valid_split": valid_split}
    whole = corpus.read_text("utf-8")
    refused = {}
    lengths = [0, 1, 2, 3, 9, 15, 16, 17, 18, 31, 32, 33]
    for length in lengths:
        corpus.write_text(whole[:length], "utf-8")
        try:
            run = seqgen.train(corpus, out=tmp_path / f"{length}", **settings).run()
        except TextError as error:
            refused[length] = str(error)
        else:
            assert len(run.generate(max_new_tokens=2)) == 2

    assert list(refused) == (lengths[:2] if valid_split == "none" else lengths)
    for length, message in refused.items():
        assert (f"{length} character" if length else "is empty") in message
        assert not (tmp_path / f"{length}").exists()


def test_max_time_becomes_steps_and_the_benchmark_changes_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.0)
    settings = {name: value for name, value in GRU.items() if name not in {"max_steps", "eval_every"}}

    timed = seqgen.train(corpus, out=tmp_path / "timed", max_time="1s", **settings)
    steps = seqgen.train(corpus, out=tmp_path / "steps", max_steps=timed.total_steps, **settings)

    assert timed.total_steps == steps.total_steps >= 1
    written = json.loads((timed.path / "config.json").read_text("utf-8"))["training"]
    assert (written["max_time"], written["max_steps"], written["eval_every"]) == (
        1.0,
        None,
        None,
    )  # as the user set them
    first, other = (next(event for event in run if isinstance(event, seqgen.Step)) for run in (timed, steps))
    assert (first.nats_per_token, first.grad_norm) == (
        other.nats_per_token,
        other.grad_norm,
    )  # the benchmark changed nothing


def test_shortest_of_several_lengths_counts(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **{**GRU, "max_epochs": 0.1, "max_steps": 100})

    assert run.total_steps == round(0.1 * run.config.text.train_tokens / (8 * 16))


def test_run_records_absolute_paths(corpus, in_tmp):
    run = seqgen.train("corpus.txt", valid="corpus.txt", **GRU)

    assert run.config.data.text == (run.config.data.valid,) == (str(corpus),)
    assert run.path.name == "corpus-gru"
    list(run)
    assert seqgen.load(run.path).validation_texts() == (corpus.read_text("utf-8"),)


def test_notices_report_what_is_unusual(corpus, tmp_path):
    notices = seqgen.train(corpus, out=tmp_path / "1", **{**GRU, "batch_size": 4096}).notices
    assert any("the text is short" in notice and "4096" in notice for notice in notices)
    notices = seqgen.train(corpus, out=tmp_path / "2", valid_split="none", **GRU).notices
    assert any("no validation part" in notice for notice in notices)
    small = tmp_path / "small.txt"
    small.write_text(corpus.read_text("utf-8")[:600], "utf-8")
    notices = seqgen.train([small, corpus], out=tmp_path / "4", valid_split="file", **GRU).notices
    assert any("not 5%" in notice for notice in notices)
    assert seqgen.train(corpus, out=tmp_path / "3", **GRU).notices == []


@pytest.mark.parametrize(
    ("task", "target", "example"),
    [("translate", "b", "pair"), ("classify", "01", "text"), ("tag", "01", "sentence")],
)
def test_notices_of_few_pairs_name_what_the_task_learns_from(tmp_path, task, target, example):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"a\t{target[number % len(target)]}\n" for number in range(60)), "utf-8")
    settings = {"task": task, "cell": "lstm", "hidden_size": 8, "max_steps": 1, "precision": "fp32"}

    notices = seqgen.train(path, out=tmp_path / "few", batch_size=64, **settings).notices

    assert any(f"validation part has 3 {example}s" in notice and "--valid-share" in notice for notice in notices)
    assert any(f"57 {example}s" in notice and "instead of 64" in notice for notice in notices)
    notices = seqgen.train(path, out=tmp_path / "enough", valid_share=0.334, batch_size=8, **settings).notices
    assert not any("rough" in notice or "batch size" in notice for notice in notices)


@pytest.mark.parametrize(("seconds", "noted"), [(5.0, False), (5.5, True)])
def test_long_preparation_is_reported(corpus, tmp_path, seconds, noted):
    now = 100.0

    def report(message, *progress):
        nonlocal now
        if message.startswith("measuring"):
            now = 100.0 + seconds

    settings = {name: value for name, value in GRU.items() if name not in {"max_steps", "eval_every"}}
    run = seqgen.train(
        corpus, out=tmp_path / "run", started=100.0, clock=lambda: now, report=report, max_time=10.0, **settings
    )
    run.close()

    assert any("--max-time" in notice for notice in run.notices) is noted


def test_interrupt_while_creating_the_directory_removes_it(corpus, tmp_path, monkeypatch):
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seqgen.utils.files.sync_directory", interrupt)

    with pytest.raises(KeyboardInterrupt):
        seqgen.train(corpus, out=tmp_path / "run", **GRU)

    assert not (tmp_path / "run").exists()


def test_chosen_device_and_precision_are_recorded(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **{**GRU, "precision": "auto", "device": "auto"})

    training = json.loads((run.path / "config.json").read_text("utf-8"))["training"]
    assert training["device"] == str(run.model.device)
    assert training["precision"] == run.config.environment["precision"] != "auto"


@pytest.mark.parametrize("by_folder", [True, False])
def test_file_name_that_is_not_utf8_trains_and_resumes(corpus, in_tmp, by_folder):
    folder, name = os.fsdecode(b"folder-\xff"), os.fsdecode(b"corpus-\xe9.txt")
    try:
        Path(folder).mkdir()
        text = corpus.rename(Path(folder, name))
    except OSError:
        pytest.skip("this file system takes no such name")

    run = seqgen.train(folder if by_folder else text, valid=text, **GRU)
    run.run()

    recorded = json.loads((run.path / "config.json").read_text("utf-8"))["data"]
    assert run.path == Path("runs", f"{'folder-' if by_folder else 'corpus-'}-gru")
    assert recorded["valid"] == f"file:{quote(str(in_tmp))}/folder-%FF/corpus-%E9.txt"
    assert seqgen.load(run.path).config.data.valid == str(in_tmp / text)
    assert seqgen.train(out=run.path, resume=True, max_steps=9999).first_step == run.total_steps


def test_impossible_file_name_is_refused(in_tmp):
    with pytest.raises(ConfigError, match=r"text: .* cannot be the name of a file"):
        seqgen.train("a\ud800.txt", **GRU)

    assert not Path("runs").exists()


def test_paths_and_strings_are_equivalent(corpus, tmp_path):
    tokenizers.build([corpus.read_text("utf-8")], TokenizerConfig()).save(tmp_path / "tokenizer")
    paths = {"valid": corpus, "tokenizer": tmp_path / "tokenizer"}
    runs = [
        seqgen.train(as_type(corpus), out=as_type(tmp_path / as_type.__name__), **given, **GRU)
        for as_type, given in ((Path, paths), (str, {name: str(path) for name, path in paths.items()}))
    ]

    for run in runs:
        list(run)
    assert_same_run(runs[0].path, runs[1].path)
    child = seqgen.train(corpus, out=tmp_path / "child", init_from=runs[0].path, max_steps=1)
    assert child.config.init_from == str(runs[0].path)


def test_init_from_starts_with_the_parents_weights(corpus, tmp_path):
    parent = seqgen.train(corpus, out=tmp_path / "parent", tie_weights=True, **GRU).run()

    child = seqgen.train(corpus, out=tmp_path / "child", init_from=parent.path, max_steps=1)

    assert child.config.init_from == str(parent.path.resolve())
    assert child.config.model == parent.config.model
    assert child.config.tokenizer.fingerprint == parent.config.tokenizer.fingerprint
    for name, tensor in child.model.state_dict().items():
        assert torch.equal(tensor, parent.model.state_dict()[name])
    with pytest.raises(ConfigError, match="cell, hidden_size come with the weights"):
        seqgen.train(corpus, init_from=parent.path, cell="gru", hidden_size=16)


KOREAN = "나는 오늘 학교에 간다. 학교는 멀다.\n" * 40


@pytest.mark.parametrize("kind", ["char", "word"])
def test_init_from_refuses_a_text_of_unknown_tokens(corpus, tmp_path, kind):
    parent = seqgen.train(corpus, out=tmp_path / "parent", tokenizer=kind, **GRU).run()
    (tmp_path / "korean.txt").write_text(KOREAN, "utf-8")
    settings = {"init_from": parent.path, "max_steps": 1, "valid_split": "none"}

    with pytest.raises(TextError, match=r"korean\.txt: \d\d% of its .* are <unk> .*--init-from.*--allow-unknown"):
        seqgen.train(tmp_path / "korean.txt", out=tmp_path / "child", **settings)
    assert not (tmp_path / "child").exists()

    child = seqgen.train(tmp_path / "korean.txt", out=tmp_path / "child", allow_unknown=True, **settings)
    assert child.config.data.allow_unknown


def test_existing_tokenizer_refuses_a_text_of_unknown_tokens(corpus, tmp_path):
    tokenizers.build([KOREAN], TokenizerConfig()).save(tmp_path / "korean")

    with pytest.raises(TextError, match=r"are <unk> in the vocabulary of --tokenizer .*korean .*--allow-unknown"):
        seqgen.train(corpus, out=tmp_path / "run", tokenizer=str(tmp_path / "korean"), **GRU)
    seqgen.train(corpus, out=tmp_path / "run", tokenizer=str(tmp_path / "korean"), allow_unknown=True, **GRU)


def test_allow_unknown_needs_an_existing_vocabulary(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"^allow_unknown: .*--init-from.*--tokenizer DIR"):
        seqgen.train(corpus, out=tmp_path / "run", tokenizer="char", allow_unknown=True, **GRU)
    assert not (tmp_path / "run").exists()


def test_small_vocabulary_built_from_the_text_is_not_refused(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", tokenizer="word", vocab_size=4, **GRU)

    assert any("<unk>" in notice for notice in run.notices)


def test_symbolic_link_is_read_by_its_own_name(tmp_path):
    (tmp_path / "blob").write_text('{"text": "a line of a document"}\n' * 60, "utf-8")
    (tmp_path / "texts.jsonl").symlink_to(tmp_path / "blob")

    run = seqgen.train(tmp_path / "texts.jsonl", out=tmp_path / "run", valid_split="none", **GRU)
    list(run)

    assert seqgen.train(out=run.path, resume=True, max_steps=9).first_step == 8


@pytest.fixture
def subwords(monkeypatch):
    """Let `--tokenizer auto` choose subwords for runs of an hour, whatever the text."""
    monkeypatch.setattr(auto, "CHOICES", (Choice(1, 3600.0, "bpe", 300), CHAR))


@pytest.mark.slow
def test_auto_tokenizer_is_chosen_by_text_and_time(subwords, corpus, tmp_path):
    timed = {**GRU, "max_time": "1h"}
    run = seqgen.train(corpus, out=tmp_path / "long", **timed)
    run.close()
    short = seqgen.train(corpus, out=tmp_path / "short", **{**GRU, "max_time": "59m"})
    short.close()

    record = run.config.tokenizer
    assert (record.kind, record.vocab_size, record.auto) == ("bpe", 300, True)
    assert record.asked == TokenizerConfig(kind="bpe", vocab_size=300, grow=True)
    assert any("300 pieces" in notice and "--tokenizer char" in notice for notice in run.notices)
    assert (short.config.tokenizer.kind, short.config.tokenizer.auto) == ("char", True)
    assert not any("--tokenizer" in notice for notice in short.notices)


@pytest.mark.parametrize(("cell", "kind"), [("ngram", "bpe"), ("ngram+ngram", "bpe"), ("gru+ngram", "char")])
def test_auto_tokenizer_of_ngrams_alone_is_their_own(monkeypatch, corpus, tmp_path, cell, kind):
    monkeypatch.setattr(auto, "COUNTED_CHOICES", (Choice(1, 0.0, "bpe", 300), CHAR))
    steps = {"max_steps": 1} if "gru" in cell else {}
    run = seqgen.train(corpus, out=tmp_path / "run", cell=cell, **steps)
    run.close()

    assert run.config.tokenizer.kind == kind


def test_run_of_a_chosen_tokenizer_equals_that_of_the_named_one(subwords, corpus, tmp_path):
    for name, settings in {"auto": {}, "asked": {"tokenizer": "auto"}, "named": NAMED}.items():
        seqgen.train(corpus, out=tmp_path / name, **{**GRU, **settings}).run()

    named = seqgen.load(tmp_path / "named")
    assert not named.config.tokenizer.auto
    for name in ("auto", "asked"):
        assert seqgen.load(tmp_path / name).config.tokenizer.auto
        assert (tmp_path / name / "model.safetensors").read_bytes() == (named.path / "model.safetensors").read_bytes()
        assert seqgen.load(tmp_path / name).config.identity == named.config.identity


def test_chosen_tokenizer_does_not_apply_where_one_is_given(subwords, corpus, tmp_path):
    parent = seqgen.train(corpus, out=tmp_path / "parent", tokenizer="char", **GRU).run()
    child = seqgen.train(corpus, out=tmp_path / "child", init_from=parent.path, max_steps=1).run()
    raw = seqgen.train(corpus, out=tmp_path / "raw", tokenizer="auto", encoding="bytes", **GRU).run()

    for run, kind in ((parent, "char"), (child, "char"), (raw, "byte")):
        assert (run.config.tokenizer.kind, run.config.tokenizer.auto) == (kind, False)

"""Any JSON in a run, or anything in place of its files, works or raises a SeqgenError, in bounded time and memory."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqgen
from seqgen import tokenizers
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.metrics import read_metrics

from .damage import (
    CHANGES,
    EDITS,
    both,
    edited,
    examples,
    read_run,
    restructured,
    set_field,
    use_run,
)

# --- JSON


@examples(40, 12_000)
@given(data=st.data())
def test_damaged_config_is_read_or_refused(specimen, damaged, data):
    path = specimen.run / "config.json"

    damaged(path, data.draw(both(specimen.whole[path])), *read_run(specimen))


@examples(15, 3_000)
@given(data=st.data())
def test_run_with_damaged_config_works_or_is_refused(specimen, damaged, data):
    path = specimen.run / "config.json"

    damaged(path, data.draw(both(specimen.whole[path])), *use_run(specimen))


@examples(15, 3_000)
@given(changes=CHANGES)
def test_run_with_forged_config_works_or_is_refused(specimen, damaged, changes):
    path = specimen.run / "config.json"
    content = restructured(specimen.whole[path], changes)
    (specimen.checkpoint / "config.json").write_bytes(content)

    damaged(path, content, *use_run(specimen), forge=True)


@examples(40, 10_000)
@given(data=st.data())
def test_damaged_state_is_read_or_refused(specimen, damaged, data):
    path = specimen.checkpoint / "state.json"

    damaged(path, data.draw(both(specimen.whole[path])), lambda: newest_checkpoint(path.parents[1]))


@examples(12, 1_500)
@given(data=st.data())
def test_run_with_damaged_state_resumes_or_is_refused(specimen, damaged, data):
    path = specimen.checkpoint / "state.json"

    damaged(path, data.draw(both(specimen.whole[path])), use_run(specimen, steps=3)[1])


@examples(40, 14_000)
@given(data=st.data())
def test_damaged_metrics_are_read_or_refused(specimen, damaged, data):
    path = specimen.run / "metrics.jsonl"
    lines = specimen.whole[path].splitlines(keepends=True)
    chosen = data.draw(st.integers(0, len(lines) - 1))
    lines[chosen] = data.draw(both(lines[chosen])) + data.draw(st.sampled_from([b"\n", b"", b"\r\n"]))

    damaged(path, b"".join(lines), lambda: list(read_metrics(path)), *read_run(specimen))


@examples(40, 10_000)
@given(data=st.data())
def test_damaged_tokenizer_is_read_or_refused(specimen, damaged, data):
    path = specimen.run / "tokenizer" / "tokenizer.json"
    content = data.draw(both(specimen.whole[path]))
    fingerprint = json.loads(specimen.whole[specimen.run / "config.json"])["tokenizer"]["fingerprint"]

    def alone():
        tokenizer = tokenizers.load(path.parent)
        tokenizer.decode(tokenizer.encode("the \x00 \u2581 \ud800"))

    def checked():
        tokenizers.load(path.parent, fingerprint)

    assert content == specimen.whole[path] or damaged(path, content, checked)
    damaged(path, content, alone)


@examples(25, 4_000)
@given(kind=st.sampled_from(["word", "unigram", "bpe", "byte"]), content=st.data())
def test_damaged_tokenizer_of_another_kind_is_read_or_refused(subword_specimen, attempt, tmp_path, kind, content):
    described = subword_specimen.run / "tokenizer" / "tokenizer.json"
    text = subword_specimen.whole[described].replace(b'"bpe"', json.dumps(kind).encode())
    if kind in {"word", "byte"}:
        words = {"words": ["a", " "]} if kind == "word" else {}
        text = json.dumps({"format_version": 1, "kind": kind, **words}).encode()
    folder = tmp_path / "tokenizer"
    shutil.copytree(described.parent, folder, dirs_exist_ok=True)
    (folder / "tokenizer.json").write_bytes(content.draw(both(text)))
    if kind in {"word", "byte"}:
        (folder / "sentencepiece.model").unlink()

    attempt(lambda: tokenizers.load(folder).encode("a b"))


@examples(25, 3_000)
@given(edits=EDITS)
def test_damaged_sentencepiece_model_is_never_parsed(subword_specimen, attempt, monkeypatch, edits):
    path = subword_specimen.run / "tokenizer" / "sentencepiece.model"
    content = edited(subword_specimen.whole[path], edits)
    fingerprint = json.loads(subword_specimen.whole[subword_specimen.run / "config.json"])["tokenizer"]["fingerprint"]
    path.write_bytes(content)
    if content == subword_specimen.whole[path]:
        return
    monkeypatch.setattr("seqgen.tokenizers.subword.SentencePieceProcessor", None)  # calling it would raise a TypeError

    refusals = attempt(
        lambda: tokenizers.load(path.parent), lambda: tokenizers.load(path.parent, fingerprint),
        *use_run(subword_specimen),
    )  # fmt: skip

    assert len(refusals) == 4


# --- cases that mutations do not find


@pytest.mark.parametrize("environment", [{}, {"cuda": "12.4"}, {"threads": 10**400}], ids=["none", "more", "huge"])
def test_environment_with_other_fields_is_reported(specimen, environment):
    path = specimen.run / "config.json"
    path.write_bytes(set_field(specimen.whole[path], "environment", environment))

    training = seqgen.train(out=specimen.run, resume=True)
    training.close()

    assert [notice.split(" is ")[0] for notice in training.notices] == list(environment)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((f"training.{name}", 10**400) for name in ("batch_size", "bptt", "warmup_steps", "max_steps", "patience")),
        *((f"training.{name}", 10**400) for name in ("save_every", "max_time", "max_epochs", "lr", "seed")),
        *((f"training.{name}", 1e308) for name in ("lr", "weight_decay", "clip_grad_norm", "save_every")),
        *(("training.device", name) for name in ("", "meta", "cpu:-1", "cpu\0", "cuda:99", "cpu:" + "9" * 30)),
        *(("data.encoding", name) for name in ("", "\0", "undefined", "zip", "rot13", "utf-7", "idna", "x" * 10_000)),
        *(("data.text", name) for name in ("", "\0", ".", "/dev/zero", "corpus:", "corpus:../x", "x" * 10_000)),
        ("data.valid_share", 1e-300),
        ("text.characters", 10**400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_run_with_extreme_settings_works_or_is_refused(specimen, damaged, field, value):
    path = specimen.run / "config.json"
    content = set_field(specimen.whole[path], field, value)
    (specimen.checkpoint / "config.json").write_bytes(content)

    damaged(path, content, *use_run(specimen, steps=2), forge=True)


def test_resume_from_an_enormous_step(specimen, damaged):
    state = specimen.checkpoint / "state.json"
    beyond = specimen.checkpoint.with_name("step-999999999999999998")
    path = specimen.run / "config.json"
    specimen.checkpoint.rename(beyond)
    (beyond / "state.json").write_bytes(set_field(specimen.whole[state], "progress.step", 10**18 - 2))

    content = set_field(specimen.whole[path], "training.max_steps", 10**18)
    assert damaged(path, content, use_run(specimen, steps=2)[1]) == []


def test_enormous_model_is_refused_before_allocating(specimen, damaged):
    path = specimen.run / "config.json"
    checkpoint = specimen.checkpoint
    for cell, more in (("lstm", {}), ("transformer", {"heads": 256, "block_size": 1 << 20})):
        model = {"cell": cell, "hidden_size": 65_536, "layers": 16, **more}
        content = set_field(specimen.whole[path], "model", model)
        (checkpoint / "config.json").write_bytes(content)

        refusals = damaged(path, content, *use_run(specimen), forge=True)

        assert len(refusals) == 2
        assert "config.json" in refusals[0]
        assert "--hidden-size" in refusals[1]


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "model.safetensors", "tokenizer/tokenizer.json",
             "tokenizer/sentencepiece.model", "state.json"],
)  # fmt: skip
def test_file_of_gigabytes_is_refused_unread(specimen, attempt, name):
    path = specimen.checkpoint / name if name == "state.json" else specimen.run / name
    with path.open("ab") as file:
        file.truncate(4 << 30)

    attempt(*read_run(specimen), *use_run(specimen))

    specimen.heal()


def test_huge_config_in_a_checkpoint_is_refused(specimen, attempt):
    path = specimen.checkpoint / "config.json"
    with path.open("ab") as file:
        file.truncate(64 << 20)
    specimen.sign()

    (refusal,) = attempt(use_run(specimen)[1])

    assert "config.json" in refusal


@pytest.mark.parametrize("line", [b"\n", b'{"event": "x", "step": 1}\n'], ids=["empty lines", "events"])
def test_metrics_of_many_lines_take_little_memory(specimen, attempt, line):
    path = specimen.run / "metrics.jsonl"
    path.write_bytes(line * 200_000)
    tracemalloc.start()
    try:
        attempt(*read_run(specimen))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
        specimen.heal()


def as_fifo(path):
    os.mkfifo(path)


def as_device(path):
    path.symlink_to("/dev/zero")


def as_loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [as_fifo, as_device, as_loop, Path.mkdir])
def test_pipe_device_loop_or_directory_is_refused_or_skipped(specimen, attempt, make):
    for path in [*specimen.files(), specimen.run / ".lock"]:
        path.unlink(missing_ok=True)
        make(path)
        attempt(*read_run(specimen), *use_run(specimen))
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        specimen.heal()


@pytest.mark.parametrize(
    "content", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"\xff\xfe" + b"\0" * 99, b"\xef\xbb\xbf{}"]
)
def test_deeply_nested_or_wrongly_encoded_json_is_refused(specimen, damaged, content):
    for path in specimen.files(".json"):
        if "checkpoints" not in path.parts:
            assert damaged(path, content, *read_run(specimen), *use_run(specimen))

"""The worker's program, spoken to as `workers.py` does: lines of JSON in, messages out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.cache.cached_text import Span
from seqgen.data.cache.encode import Shard
from seqgen.tokenizers.config import TokenizerConfig

from ..caching import cache_text

TEXTS = ["the first\n", "the second\nand its end\n"]


@pytest.fixture
def span(tmp_path):
    """A text, and in `parts.npy` where its documents are."""
    span = Span.whole(cache_text(tmp_path, *TEXTS))
    np.save(tmp_path / "parts.npy", span.ranges)
    return span


@pytest.fixture
def start(tmp_path, span):
    """Start a worker with a job."""
    running = []

    def begin(**job):
        command = [sys.executable, "-P", "-m", "seqgen.data.cache.worker"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        say(process, {"text": str(span.text.folder), "parts": str(tmp_path / "parts.npy"), **job})
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def encoder(start, tmp_path):
    """A worker that encodes."""
    tokenizers.build(TEXTS, TokenizerConfig()).save(tmp_path / "tokenizer")
    return start(task="encode", tokenizer=str(tmp_path / "tokenizer"), dtype="<u2", spell=False)


def say(process, message):
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def answers_of(process):
    """Messages up to the one that says that a shard is done: starts and ids."""
    found = []
    while "done" not in (message := json.loads(process.stdout.readline())):
        starts = np.frombuffer(process.stdout.read(8 * message["starts"]), "<i8")
        ids = np.frombuffer(process.stdout.read(2 * message["counts"]["tokens"]), "<u2")
        found.append((starts.tolist(), ids.tolist()))
    return found


def test_a_shard_is_answered_with_ids_and_where_its_parts_begin(encoder, tmp_path, span):
    tokenizer = tokenizers.load(tmp_path / "tokenizer")
    say(encoder, asdict(Shard(0, 0, 1, span.bytes)))

    ((starts, ids),) = answers_of(encoder)

    assert starts == [0, len(TEXTS[0])]
    assert ids == [number for text in TEXTS for number in tokenizer.encode(text).tolist()]


def test_what_is_left_of_a_part_begins_none(encoder, span):
    cut = len(TEXTS[0]) + len("the second\n")

    for shard in (Shard(0, 0, 1, cut), Shard(1, cut, 1, span.bytes)):
        say(encoder, asdict(shard))

    assert [starts for ((starts, _),) in (answers_of(encoder), answers_of(encoder))] == [[0, len(TEXTS[0])], []]


@pytest.mark.parametrize("orders", [0, 1])
def test_it_ends_when_nobody_orders_anything_any_more(encoder, span, orders):
    for _ in range(orders):
        say(encoder, asdict(Shard(0, 0, 1, span.bytes)))
        answers_of(encoder)

    rest, _ = encoder.communicate(timeout=60)

    assert (rest, encoder.returncode) == (b"", 0)


@pytest.mark.skipif(os.name == "nt", reason="there, Ctrl-C is no signal to one process")
def test_ctrl_c_is_for_whoever_started_it(encoder, span):
    say(encoder, asdict(Shard(0, 0, 1, span.bytes)))
    answers_of(encoder)

    encoder.send_signal(signal.SIGINT)
    say(encoder, asdict(Shard(0, 0, 0, len(TEXTS[0]))))

    assert [starts for starts, _ in answers_of(encoder)] == [[0]]


def test_a_tokenizer_that_is_built_there_is_the_one_that_is_built_here(start, tmp_path):
    config = TokenizerConfig(kind="word")

    said, _ = start(task="build", config=config.model_dump(), out=str(tmp_path / "built")).communicate(timeout=60)

    assert [json.loads(line) for line in said.splitlines()] == [{"done": True}]
    built = tokenizers.load(tmp_path / "built")
    assert built.fingerprint == tokenizers.build(["".join(TEXTS)], config).fingerprint


def test_what_goes_wrong_is_a_message_by_the_name_of_its_error(start, tmp_path):
    config = TokenizerConfig(kind="bpe", vocab_size=10)

    said, _ = start(task="build", config=config.model_dump(), out=str(tmp_path / "built")).communicate(timeout=60)

    (message,) = map(json.loads, said.splitlines())
    assert message["error"] == "ConfigError"
    assert message["message"].startswith("vocab_size: 10 is too small for bpe")

"""Processes that prepare a text: each in the order of its work, and every way to die told of."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.cache import workers
from seqgen.data.cache.cached_text import Span
from seqgen.data.cache.encode import Shard, encode_portion
from seqgen.data.cache.workers import encode_apart, processors
from seqgen.errors import SaveError, TokenizerError
from seqgen.tokenizers.config import TokenizerConfig

from ..caching import cache_text

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a program is more than a script there")
TEXTS = [f"document {number} of several\n" for number in range(7)]
ANSWER = b'{"starts": 1, "counts": {"tokens": 5}}\n'
PAYLOAD = bytes(8) + b"01234"


@pytest.fixture
def job(tmp_path):
    """What is told to a process that encodes."""
    span = Span.whole(cache_text(tmp_path, *TEXTS))
    tokenizers.build(TEXTS, TokenizerConfig()).save(tmp_path / "tokenizer")
    np.save(tmp_path / "parts.npy", span.ranges)
    return {
        "text": str(span.text.folder), "parts": str(tmp_path / "parts.npy"),
        "tokenizer": str(tmp_path / "tokenizer"), "dtype": "<u1", "spell": True,
    }  # fmt: skip


def each_alone(job):
    """A shard of each part."""
    return [Shard(number, start, number, stop) for number, (start, stop) in enumerate(parts_of(job))]


def parts_of(job):
    return np.load(job["parts"]).tolist()


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Put another program in the place of the worker: it takes its orders, does what is said here, and is killed."""

    def put(*lines):
        script = tmp_path / "worker"
        code = ["import os, signal, sys, time", "sys.stdin.buffer.readline()", *lines, "sys.stdout.buffer.flush()"]
        script.write_text("\n".join([f"#!{sys.executable}", *code, "os.kill(os.getpid(), signal.SIGKILL)"]), "utf-8")
        script.chmod(0o700)
        monkeypatch.setattr(workers.sys, "executable", str(script))

    return put


@pytest.mark.parametrize("count", [1, 3, 20])
def test_shards_come_in_their_order_whoever_made_them(job, count):
    tokenizer = tokenizers.load(Path(job["tokenizer"]))

    given = [[encoded.ids.tolist() for encoded in shard] for shard in encode_apart(job, each_alone(job), workers=count)]

    assert given == [[tokenizer.encode(text).tolist()] for text in TEXTS]


def test_what_is_counted_here_is_counted_there(job, tmp_path):
    tokenizer = tokenizers.build(["docu"], TokenizerConfig())  # of which most characters are unknown
    tokenizer.save(tmp_path / "poor")
    span = Span.whole(cache_text(tmp_path, *TEXTS))
    (here,) = encode_portion(span, tokenizer, "<u1", goes_on=False, spell=True)

    shard = Shard(0, 0, len(TEXTS) - 1, span.bytes)
    ((there,),) = [list(one) for one in encode_apart({**job, "tokenizer": str(tmp_path / "poor")}, [shard], workers=1)]

    assert there.counts == here.counts
    assert there.counts.unk_cost > 0
    assert there.starts.tolist() == here.starts.tolist()


def test_the_error_of_a_process_is_raised_here_as_what_it_is(job, tmp_path):
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("no tokenizer", "utf-8")

    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        [list(shard) for shard in encode_apart(job, each_alone(job), workers=2)]


def test_a_bug_in_a_process_is_told_whole(job):
    del job["spell"]

    with pytest.raises(RuntimeError, match=r"(?s)worker\.py.*KeyError: 'spell'"):
        [list(shard) for shard in encode_apart(job, each_alone(job), workers=1)]


@pytest.mark.parametrize("written", [b"", ANSWER[:20], ANSWER, ANSWER + PAYLOAD[:4], ANSWER + PAYLOAD[:-1]])
def test_a_process_that_is_killed_while_it_answers_is_told_of(job, instead, written):
    instead(f"sys.stdout.buffer.write({written!r})")

    with pytest.raises(SaveError, match=r"ended with code -9, perhaps for want of memory; run the same command again"):
        [list(shard) for shard in encode_apart(job, each_alone(job), workers=2)]


def test_what_a_killed_process_had_answered_whole_is_given(job, instead):
    instead(f"sys.stdout.buffer.write({ANSWER + PAYLOAD + ANSWER + PAYLOAD[:-1]!r})")
    shards = encode_apart(job, each_alone(job)[:1], workers=1)
    shard = next(shards)

    assert next(shard).ids.tobytes() == b"01234"
    with pytest.raises(SaveError, match="ended with code -9"):
        next(shard)


def test_who_stops_listening_leaves_no_process_behind(job, instead, tmp_path):
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    answer = f"sys.stdout.buffer.write({ANSWER + PAYLOAD!r})"
    instead(note, answer, "sys.stdout.buffer.flush()", "time.sleep(600)")
    shards = encode_apart(job, each_alone(job)[:1], workers=1)
    next(next(shards))

    shards.close()

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text("utf-8")), 0)


def test_there_is_a_processor():
    assert processors() >= 1

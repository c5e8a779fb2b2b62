"""The program of a worker: `python -m seqgen.data.cache.worker`, told by lines of JSON on stdin what to do.

The first line is the job; to build a tokenizer that is all. To encode, each line after it is a shard, which is answered
with messages: a line of JSON that says how many ids and starts follow it, and these; last, `{"done": true}`. What goes
wrong is a message too. When stdin ends, so does the worker.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from seqgen import tokenizers
from seqgen.data.cache.cached_text import CachedText, Span
from seqgen.data.cache.encode import Shard, encode_portion, training_chunks
from seqgen.errors import SeqgenError
from seqgen.tokenizers.config import TokenizerConfig


def build(job: dict[str, Any]) -> None:
    """Build a tokenizer from parts of a stored text, and save it."""
    span = Span(CachedText(Path(job["text"])), np.load(job["parts"]))
    tokenizers.build(training_chunks(span), TokenizerConfig(**job["config"])).save(Path(job["out"]))


def encode(job: dict[str, Any], orders: BinaryIO, answers: BinaryIO) -> None:
    """Encode shard after shard, as they are asked for."""
    text, parts = CachedText(Path(job["text"])), np.load(job["parts"], mmap_mode="r")
    tokenizer = tokenizers.load(Path(job["tokenizer"]))
    for line in orders:
        shard = Shard(**json.loads(line))
        goes_on = shard.start > parts[shard.first, 0]
        span = Span(text, shard.ranges(parts))
        for encoded in encode_portion(span, tokenizer, job["dtype"], goes_on=goes_on, spell=job["spell"]):
            _answer(answers, starts=len(encoded.starts), counts=encoded.counts.model_dump())
            answers.write(encoded.starts.tobytes() + encoded.ids.tobytes())
        _answer(answers, done=True)


def _answer(answers: BinaryIO, **message: Any) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    answers.flush()


def main() -> None:
    """Do the job; Ctrl-C is for whoever started this, and ends its stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    job = json.loads(orders.readline())
    try:
        if job["task"] == "build":
            build(job)
            _answer(answers, done=True)
        else:
            encode(job, orders, answers)
    except BrokenPipeError:  # nobody waits for the answer any more
        pass
    except SeqgenError as error:
        _answer(answers, error=type(error).__name__, message=str(error))
    except Exception:  # noqa: BLE001 (a bug, which is told whole)
        _answer(answers, bug=traceback.format_exc())


if __name__ == "__main__":
    main()

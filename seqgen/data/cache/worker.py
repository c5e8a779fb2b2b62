"""The program of a worker: `python -m seqgen.data.cache.worker JOB.json`.

It encodes a shard of a text, or builds a tokenizer, and writes the result next to the job. On stdout it reports how
many bytes it has encoded, a number a line. An error goes to a file: its type, and its message or traceback; of an
OSError, its number and message.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from seqgen import tokenizers
from seqgen.data.cache.cached_ids import IDS, STARTS
from seqgen.data.cache.cached_text import CachedText, Span
from seqgen.data.cache.encode import IdsFiles, encode_span, training_chunks
from seqgen.data.cache.workers import COUNTS, ERROR, RANGES
from seqgen.errors import SeqgenError
from seqgen.tokenizers.config import TokenizerConfig


def work(job: dict[str, Any]) -> None:
    """Do a job: build a tokenizer, or encode a shard."""
    folder = Path(job["folder"])
    span = Span(CachedText(Path(job["text"])), np.load(folder / RANGES))
    if job["task"] == "build":
        tokenizer = tokenizers.build(training_chunks(span), TokenizerConfig(**job["config"]))
        _report(0)  # fails if the process that started this one was killed: another may build in the folder by now
        tokenizer.save(folder)
        return
    tokenizer = tokenizers.load(Path(job["tokenizer"]))
    with (folder / IDS).open("wb") as ids, (folder / STARTS).open("wb") as starts:
        files = IdsFiles(ids, starts, job["dtype"])
        counts = encode_span(span, tokenizer, files, continued=job["continued"], spell=job["spell"], watch=_report)
    (folder / COUNTS).write_bytes(counts.model_dump_json().encode())


def _report(size: int) -> None:
    os.write(sys.stdout.fileno(), f"{size}\n".encode())  # at once: other workers write to the same pipe


def main() -> None:
    """Do the job that the command line names. Ctrl-C is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    path = Path(sys.argv[1])
    try:
        work(json.loads(path.read_bytes()))
    except Exception as error:
        if not isinstance(error, BrokenPipeError):  # the process that started this one has ended
            kind = "OSError" if isinstance(error, OSError) else type(error).__name__
            if isinstance(error, OSError) and error.errno is not None:
                details = [error.errno, error.strerror]
            else:
                details = [str(error) if isinstance(error, SeqgenError) else traceback.format_exc()]
            path.with_name(ERROR).write_text(json.dumps([kind, *details]), "utf-8")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()

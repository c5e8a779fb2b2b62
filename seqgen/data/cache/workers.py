"""Processes that encode shards side by side, or build a tokenizer in memory of their own.

They are programs of their own (`worker.py`) rather than forks or multiprocessing's: these would run a user's script
again, inherit torch's threads, and send pickles.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self, cast

import numpy as np

from seqgen import errors
from seqgen.data.cache.cached_text import OFFSET
from seqgen.data.cache.encode import Counts, Encoded, Shard
from seqgen.errors import SaveError
from seqgen.tokenizers.config import TokenizerConfig

AHEAD = 2
"""Shards that a worker has in hand: the next one is there when it is done with one."""
HELD = 32
"""Messages of a worker that wait to be written, at most."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_apart(text: Path, parts: Path, config: TokenizerConfig, out: Path) -> None:
    """Build a tokenizer in a process of its own, whose memory ends with it; errors are those of `tokenizers.build`."""
    job = {"task": "build", "text": str(text), "parts": str(parts), "config": config.model_dump(), "out": str(out)}
    with _Worker(job) as worker:
        worker.next_message()


def encode_apart(job: dict[str, Any], shards: Sequence[Shard], workers: int) -> Iterator[Iterator[Encoded]]:
    """The shards in their order, whoever made them: of each an iterator, to be gone through before the next."""
    crew: list[_Worker] = []
    try:
        for number in range(min(workers, len(shards))):
            crew.append(_Worker({"task": "encode", **job}))
            for shard in shards[number :: min(workers, len(shards))][:AHEAD]:
                crew[number].order(shard)
        for number in range(len(shards)):
            worker = crew[number % len(crew)]
            yield worker.shard(np.dtype(job["dtype"]))
            following = number + AHEAD * len(crew)
            if following < len(shards):
                worker.order(shards[following])
    finally:
        for worker in crew:
            worker.close()


class _Worker:
    """One process, and a thread that reads what it says."""

    def __init__(self, job: dict[str, Any]) -> None:
        command = [sys.executable, "-P", "-m", "seqgen.data.cache.worker"]
        self._process = subprocess.Popen(  # noqa: S603 (our own program)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = io.BufferedReader(cast("io.RawIOBase", self._process.stdout))
        self._messages: Queue[tuple[dict[str, Any], bytes]] = Queue(HELD)
        self._item = np.dtype(job.get("dtype", "u1")).itemsize
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()
        self._say(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def order(self, shard: Shard) -> None:
        self._say(asdict(shard))

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended; why, its last message tells
            self._stdin.write(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        while (line := self._stdout.readline()).endswith(b"\n"):
            message = json.loads(line)
            size = 8 * message["starts"] + self._item * message["counts"]["tokens"] if "counts" in message else 0
            content = self._stdout.read(size)
            if len(content) < size:  # killed while it wrote; half a message is none
                break
            self._messages.put((message, content))
        self._messages.put(({"ended": True}, b""))

    def next_message(self) -> tuple[dict[str, Any], bytes]:
        message, content = self._messages.get()
        if "error" in message:
            raise getattr(errors, message["error"])(message["message"])
        if "bug" in message:
            raise RuntimeError(message["bug"])
        if "ended" in message:
            raise SaveError(
                f"a process that prepared the text ended with code {self._process.wait()}, perhaps for want of memory; "
                "run the same command again, it goes on from there"
            )
        return message, content

    def shard(self, dtype: np.dtype[Any]) -> Iterator[Encoded]:
        while "done" not in (received := self.next_message())[0]:
            message, content = received
            starts = np.frombuffer(content, dtype=OFFSET, count=message["starts"])
            ids = np.frombuffer(content, dtype=dtype, offset=starts.nbytes)
            yield Encoded(ids, starts, Counts(**message["counts"]))

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        while self._thread.is_alive():  # it may wait for room
            while not self._messages.empty():
                self._messages.get()
            self._thread.join(0.01)
        self._stdin.close()
        self._stdout.close()
        self._process.wait()

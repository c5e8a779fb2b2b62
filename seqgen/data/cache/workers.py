"""Run worker processes and wait for them: each does one job and writes its result to files.

A worker is a program (`worker.py`), not a fork or a process of `multiprocessing`: those would run a user's script
again, or inherit torch's threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgen import errors
from seqgen.data.cache.cached_text import Span
from seqgen.errors import SaveError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.files import read_at_most

RANGES, COUNTS, JOB, ERROR = "ranges.npy", "counts.json", "job.json", "error.json"
"""Files in the folder of a job."""
REPORT_LIMIT_BYTES = 1 << 20


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_in_process(span: Span, config: TokenizerConfig, folder: Path) -> None:
    """Build a tokenizer into `folder` in a process: its memory is freed at the end, and Ctrl-C ends it at once.

    Raises:
        ConfigError, TokenizerError: as `tokenizers.build`.
        OSError: the folder cannot be written.
        SaveError: the process ended early.
    """
    np.save(folder / RANGES, span.ranges)
    run_workers(
        [{"task": "build", "folder": str(folder), "text": str(span.text.folder), "config": config.model_dump()}]
    )
    for name in (RANGES, JOB):
        (folder / name).unlink()


def run_workers(jobs: Sequence[dict[str, Any]], watch: Callable[[int], None] = lambda _: None) -> None:
    """Run a process for each job and wait for all; the first that fails ends the others.

    Args:
        jobs: what `worker.main` does; each has a `folder` for its files.
        watch: receives the numbers of bytes that the workers report.

    Raises:
        SeqgenError, OSError: as the worker raised it.
        SaveError: a worker ended early, as when it is killed because memory ran out.
    """
    processes: list[subprocess.Popen[bytes]] = []
    read_end, write_end = os.pipe()
    try:
        with os.fdopen(read_end) as reports:
            with os.fdopen(write_end, "w") as shared_stdout:  # of all workers: it ends when the last of them has
                for job in jobs:
                    path = Path(job["folder"]) / JOB
                    path.write_text(json.dumps(job), "utf-8")
                    command = [sys.executable, "-P", "-m", "seqgen.data.cache.worker", str(path)]
                    processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=shared_stdout))  # noqa: S603 (our program)
            for line in reports:
                watch(int(line))
                if any(process.poll() for process in processes):
                    break
            else:
                for process in processes:
                    process.wait()
        for process, job in zip(processes, jobs, strict=True):
            if process.poll():
                raise _failure(Path(job["folder"]) / ERROR, process.returncode)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _failure(report: Path, code: int) -> Exception:
    """Return the error that a worker wrote, or what its exit code says."""
    try:
        kind, *details = json.loads(read_at_most(report, REPORT_LIMIT_BYTES))
    except (OSError, ValueError):  # it was killed, or the disk is full
        return SaveError(
            f"a process that prepared the text ended with code {code}, perhaps because memory or disk space ran out; "
            "make room, and run the command again"
        )
    error: Exception = OSError(*details) if kind == "OSError" else getattr(errors, kind, RuntimeError)(*details)
    return error

"""metrics.jsonl: one line an event, appended as it happens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seqgen.errors import RunError, SaveError
from seqgen.training.events import Event, as_record

_STEP = b'{"event": "step"'


class MetricsLog:
    """Appends events to a file; a resumed run first cuts it to the length that its checkpoint knew.

    Raises:
        RunError: the file is shorter than that.
        SaveError: the file cannot be written.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        try:
            there = path.stat().st_size if path.exists() else 0
            if there < length:
                raise RunError(f"{path} has {there} bytes, and its checkpoint knew {length}; restore it from a copy")
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
        except OSError as error:
            raise SaveError(f"{path} cannot be written: {error.strerror or error}") from error
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one line."""
        try:
            self._file.write((json.dumps(as_record(event), ensure_ascii=False, allow_nan=False) + "\n").encode())
        except OSError as error:
            raise SaveError(f"{self._path} cannot be written: {error.strerror or error}") from error

    def sync(self) -> int:
        """Wait until all is on the disk; the bytes written so far."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SaveError(f"{self._path} cannot be written: {error.strerror or error}") from error
        return self._file.tell()


def read_metrics(path: Path, *, every_step: bool = True) -> list[dict[str, Any]]:
    """The events of a run, oldest first; a last line that a crash cut short is left out.

    Without `every_step`, of the steps only the last is read: a long run has a million of them.
    """
    if not path.is_file():
        return []
    lines = [line for line in path.read_bytes().split(b"\n")[:-1] if line]
    if not every_step:
        steps = [number for number, line in enumerate(lines) if line.startswith(_STEP)]
        passed_over = set(steps[:-1])
        lines = [line for number, line in enumerate(lines) if number not in passed_over]
    return [json.loads(line) for line in lines]

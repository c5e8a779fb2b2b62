"""metrics.jsonl: one line per event, appended as it happens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pydantic_core

from seqgen.errors import RunError, SaveError
from seqgen.training.events import Event, as_record
from seqgen.utils.files import open_regular_file, sync_directory

MAX_LINE_BYTES = 1 << 20
"""The longest real line holds a sample of 160 tokens."""
_STEP = b'{"event": "step"'


class MetricsLog:
    """Appends events to a file; a resumed run first cuts the file to the length in its checkpoint.

    Lines that cannot be written are kept and written later: a full disk alone does not end a run.

    Args:
        path: metrics.jsonl.
        length: the length in the checkpoint; a file that is shorter is cut after its last complete line.

    Raises:
        SaveError: the file cannot be opened.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        try:
            length = kept_length(path, length)
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
            sync_directory(path.parent)  # even if it exists: the process that made it may have been killed before this
        except OSError as error:
            raise _not_written(path, error) from error
        self._path = path
        self.length = length
        """Bytes written so far."""
        self._unwritten = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self.sync()

    def write(self, event: Event) -> None:
        """Append one line, now or, if that fails, later."""
        line = json.dumps(as_record(event), ensure_ascii=False, allow_nan=False) + "\n"
        self._unwritten += line.encode()
        self._write()

    def sync(self) -> None:
        """Write everything and wait until it is on the disk.

        Raises:
            SaveError: it cannot be written.
        """
        error = self._write()
        try:
            if error is not None:
                raise error
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _not_written(self._path, error) from error

    def _write(self) -> OSError | None:
        """Write as much as the disk takes; return the error if something is left."""
        while self._unwritten:
            try:
                self._file.seek(self.length)
                written = self._file.write(self._unwritten) or 0  # a full disk may take only a part
            except OSError as error:
                return error
            self.length += written
            self._unwritten = self._unwritten[written:]
        return None


def kept_length(path: Path, length: int) -> int:
    """Return how many of the first `length` bytes of a metrics file are complete lines.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.exists():
        return 0
    with open_regular_file(path) as file:
        length = min(length, file.seek(0, os.SEEK_END))
        start = max(0, length - MAX_LINE_BYTES)
        file.seek(start)
        tail = file.read(length - start)
    return start + tail.rfind(b"\n") + 1


def _not_written(path: Path, error: OSError) -> SaveError:
    return SaveError(
        f"{path} cannot be written: {error.strerror or error}; free some space, or restore its permissions"
    )


def read_metrics(path: Path, *, every_step: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, oldest first; an incomplete last line is left out.

    Without `every_step`, only the last of consecutive steps is read: a long run has a million of them.

    Raises:
        RunError: the file cannot be read, or has a line that is not an event.
    """
    try:
        if path.is_file():
            yield from (_parse(line, path) for line in _lines(path, every_step=every_step))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path: Path, *, every_step: bool) -> Iterator[bytes]:
    """Yield the complete lines; without `every_step`, only the last of consecutive steps."""
    step: bytes | None = None
    with path.open("rb") as file:
        while (line := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
            if not every_step and line.startswith(_STEP):
                step = line
                continue
            if step is not None:
                yield step
                step = None
            yield line
    if len(line) == MAX_LINE_BYTES:
        raise _foreign(path)
    if step is not None:
        yield step


def _parse(line: bytes, path: Path) -> dict[str, Any]:
    try:
        event = pydantic_core.from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise _foreign(path) from error
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or type(event.get("step")) is not int:
        raise _foreign(path)
    return event


def _foreign(path: Path) -> RunError:
    return RunError(f"{path} has lines that are not events; restore it from a backup")

"""metrics.jsonl: one line per event, appended as it happens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Self

import pydantic_core

from seqgen.errors import RunError, SaveError
from seqgen.training.events import Event, as_record
from seqgen.utils.files import open_regular_file, sync_directory
from seqgen.utils.text import plural

MAX_LINE_BYTES = 1 << 20
"""The longest real line holds a sample of 160 tokens."""
_STEP = b'{"event": "step"'
_NUMBER = (int, float)
_FIGURE = (int, float, NoneType)
_LOSSES = {"nats_per_token": _FIGURE, "bits_per_byte": _FIGURE, "seconds": _NUMBER}
_FIELDS: dict[str, dict[str, Any]] = {
    "step": dict.fromkeys(("nats_per_token", "lr", "grad_norm"), _FIGURE),
    "evaluated": _LOSSES,
    "mixed": _LOSSES,
    "norms": {"gradient": dict, "update": dict},
    "sampled": {"text": str},
}
"""The fields that readers need, and their types, by event; a number that is NaN or infinite is null."""


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


def read_metrics(
    path: Path, *, every_step: bool = True, note: Callable[[str], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, oldest first; an incomplete last line is left out.

    Args:
        path: metrics.jsonl.
        every_step: whether to read all steps, or of consecutive steps the last one alone: a long run has a million.
        note: receives a sentence about damaged lines, which are left out then.

    Raises:
        RunError: the file cannot be read, or without `note` has a damaged line: not an event, or without its fields.
    """
    first = damaged = 0
    try:
        for number, line in _lines(path, every_step=every_step) if path.is_file() else ():
            try:
                event = _parse(line)
            except ValueError as error:
                if note is None:
                    raise RunError(
                        f"{path}: line {number:,} is not an event of seqgen; delete that line, or restore the file "
                        "from a backup"
                    ) from error
                first, damaged = first or number, damaged + 1
            else:
                yield event
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    if note is not None and damaged:
        found = f"line {first:,} is not an event"
        if damaged > 1:
            found = f"line {first:,} and {plural(damaged - 1, 'other')} are not events"
        note(f"{path}: {found} of seqgen; the rest is used")


def _lines(path: Path, *, every_step: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the complete lines with their numbers; without `every_step`, only the last of consecutive steps.

    A line that is too long is yielded as an empty one.
    """
    step: tuple[int, bytes] | None = None
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            is_complete = line.endswith(b"\n")
            if not is_complete and len(line) < MAX_LINE_BYTES:
                break
            if not every_step and is_complete and line.startswith(_STEP):
                step = number, line
                continue
            if step is not None:
                yield step
                step = None
            yield number, line if is_complete else b""
            while not is_complete and (line := file.readline(MAX_LINE_BYTES)):
                is_complete = line.endswith(b"\n")
    if step is not None:
        yield step


def _parse(line: bytes) -> dict[str, Any]:
    """Return the event of a line.

    Raises:
        ValueError: it is not an event, or lacks a field that readers need.
    """
    event = pydantic_core.from_json(line, allow_inf_nan=False)
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or type(event.get("step")) is not int:
        raise ValueError("not an event")
    for name, types in _FIELDS.get(event["event"], {}).items():
        if not isinstance(event.get(name, ...), types):
            raise ValueError(f"{name} is missing")
    if not (isinstance(event.get("seconds", 0), _NUMBER) and isinstance(event.get("total_steps", 0), _NUMBER)):
        raise ValueError("not a number")
    return event

"""metrics.jsonl: one line an event, appended as it happens."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pydantic_core

from seqgen.errors import RunError, SaveError
from seqgen.training.events import Event, as_record
from seqgen.utils.files import sync_directory

EMPTY = hashlib.sha256().hexdigest()
"""The hash of no lines at all."""
LINE_CAP = 1 << 20
"""Bytes that a line may have: the longest real one holds a sample of 160 tokens."""
_STEP = b'{"event": "step"'


class MetricsLog:
    """Appends events to a file; a resumed run first cuts it to the length that its checkpoint knew.

    What cannot be written is kept, and written when there is room again: a full disk does not end a run by itself.

    Raises:
        SaveError: the file cannot be opened.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        try:
            self._digest = _digest(path, length)
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
            sync_directory(path.parent)  # even if it was there: whoever made it may have been killed before this
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

    @property
    def sha256(self) -> str:
        """Of what has been written so far."""
        return self._digest.hexdigest()

    def sync(self) -> None:
        """Wait until all is on the disk.

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
        """Write what is left to be written, as far as the disk takes it; what was in the way."""
        while self._unwritten:
            try:
                self._file.seek(self.length)
                written = self._file.write(self._unwritten) or 0  # a full disk takes a part
            except OSError as error:
                return error
            self.length += written
            self._digest.update(self._unwritten[:written])
            self._unwritten = self._unwritten[written:]
        return None


def is_as_known(path: Path, length: int, sha256: str) -> bool:
    """Whether the first `length` bytes of the file are those of this hash."""
    try:
        return (path.is_file() or not path.exists()) and _digest(path, length).hexdigest() == sha256
    except OSError:
        return False


def _digest(path: Path, length: int) -> hashlib._Hash:
    """The SHA-256, to be gone on with, of the first `length` bytes, or of those there are."""
    digest = hashlib.sha256()
    if length:
        with path.open("rb") as file:
            while block := file.read(min(1 << 20, length)):
                digest.update(block)
                length -= len(block)
    return digest


def _not_written(path: Path, error: OSError) -> SaveError:
    return SaveError(f"{path} cannot be written: {error.strerror or error}; make room, or give it back its permissions")


def read_metrics(path: Path, *, every_step: bool = True) -> Iterator[dict[str, Any]]:
    """The events of a run, oldest first, one by one; a last line that a crash cut short is left out.

    Without `every_step`, of steps in a row only the last is read: a long run has a million of them.

    Raises:
        RunError: the file cannot be read, or holds what training does not write.
    """
    try:
        if path.is_file():
            yield from (_parse(line, path) for line in _lines(path, every_step=every_step))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path: Path, *, every_step: bool) -> Iterator[bytes]:
    """The complete lines; without `every_step` of steps in a row only the last."""
    step: bytes | None = None
    with path.open("rb") as file:
        while (line := file.readline(LINE_CAP)).endswith(b"\n"):
            if not every_step and line.startswith(_STEP):
                step = line
                continue
            if step is not None:
                yield step
                step = None
            yield line
    if len(line) == LINE_CAP:
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
    return RunError(f"{path} has lines that training does not write; restore it from a copy")

"""Inject faults into the file operations of a process.

Counted below one folder, the world: each open for writing, each write of a file (as the system sees it, after the
buffer), truncate, fsync of a file or a directory, mkdir, rename and replace, unlink, rmdir, link; at the end `exit`.

What can happen at the n-th operation (`Fault`):

    kill    SIGKILL, before it
    torn    SIGKILL, after half of the bytes of a write
    power   the power fails before it: SIGKILL, and of what was not fsynced only `survivors` is left (see `Disk`)
    fail    it raises OSError with `code`; with `half`, a write takes half of its bytes first; with `until_step`, all
            later operations fail too, until an event of that step

Not modeled: failing close and reads, blocks of one file or one write that reach the disk out of order, an fsync that
lies, what a failed fsync loses of the file, modes and times. fsync is recorded but not executed: these tests kill a
process, not the machine.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .disk import Disk, Node


@dataclass(frozen=True)
class Fault:
    """What happens at operation number `at`."""

    act: str
    at: int
    survivors: str | int = "none"
    code: int = errno.ENOSPC
    half: bool = False
    until_step: int | None = None


class Faults:
    """Counts every file operation below `root` in this process, and acts at the operation of `fault`."""

    def __init__(self, root: Path, fault: Fault | None) -> None:
        self.root, self.fault = root, fault
        self.operations: list[str] = []
        self.disk = Disk(root)
        self.opened: dict[int, tuple[Path, Node | None]] = {}
        self._real = {name: getattr(os, name) for name in dir(os)}
        self._real_open = io.open

    def install(self) -> None:
        """Count from now on, as long as this process lives."""
        for name, applied in {
            "mkdir": lambda path: self.disk.name(path, Node([{}])),
            "unlink": lambda path: self.disk.name(path, None),
            "remove": lambda path: self.disk.name(path, None),
            "rmdir": lambda path: self.disk.name(path, None),
        }.items():
            setattr(os, name, self._on_one_path(name, applied))
        for name in ("rename", "replace", "link"):
            setattr(os, name, self._on_two_paths(name))
        for name in ("truncate", "ftruncate", "symlink", "write", "pwrite", "writev", "sendfile"):
            setattr(os, name, self._unknown(name))
        os.open, os.close, os.fsync = self._open_descriptor, self._close, self._fsync
        io.open = builtins.open = self._open_file  # type: ignore[assignment]

    def before(self, kind: str, path: Path) -> bool:
        """Count an operation and act if it is the fault's; return whether a write takes only half of its bytes."""
        self.operations.append(f"{kind} {path.relative_to(self.root)}")
        number, fault = len(self.operations) - 1, self.fault
        if fault is None or number < fault.at:
            return False
        if fault.act == "power":
            self.fault = None
            self._lose_power(fault.survivors)
        if fault.act in {"power", "kill"}:
            die()
        first = number == fault.at
        if kind == "write" and first and (fault.act == "torn" or fault.half):
            return True
        if fault.act == "fail" and (first or fault.until_step is not None):
            raise OSError(fault.code, os.strerror(fault.code), str(path))
        return False

    def reached(self, step: int) -> None:
        """End a fault that lasts until this step."""
        if self.fault is not None and self.fault.until_step is not None and step >= self.fault.until_step:
            self.fault = None

    def _lose_power(self, survivors: str | int) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)
        io.open = builtins.open = self._real_open  # type: ignore[assignment]
        self.disk.lose(survivors)

    def locate(self, path: Any, folder: int | None = None) -> Path | None:
        """Return the path of a system call's argument if it is below the world."""
        if isinstance(path, int):
            return self.opened[path][0] if path in self.opened else None
        base = self.opened[folder][0] if folder in self.opened else Path.cwd()
        place = Path(os.path.normpath(base / os.fsdecode(path)))
        return place if self.root in place.parents else None

    def _on_one_path(self, name: str, applied: Callable[[Path], None]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, dir_fd: int | None = None, **named: Any) -> None:
            place = self.locate(path, dir_fd)
            if place is not None:
                self.before(name, place)
            self._real[name](path, *rest, dir_fd=dir_fd, **named)
            if place is not None:
                applied(place)

        return call

    def _on_two_paths(self, name: str) -> Callable[..., Any]:
        def call(old: Any, new: Any, **named: Any) -> None:
            source, target = self.locate(old), self.locate(new)
            assert (source is None) == (target is None), "a rename into the world, or out of it"
            assert not named, "a rename that is not counted"
            if source is not None:
                self.before(name, source)
            self._real[name](old, new)
            if source is not None and target is not None:
                node = self.disk.find(source)
                self.disk.name(target, node)
                if name != "link":
                    self.disk.name(source, None)

        return call

    def _unknown(self, name: str) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **named: Any) -> Any:
            assert self.locate(path) is None, f"os.{name} on a run's files is not counted"
            return self._real[name](path, *rest, **named)

        return call

    def _open_descriptor(self, path: Any, flags: int, *rest: Any, dir_fd: int | None = None) -> int:
        place = self.locate(path, dir_fd)
        changes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        if place is not None and changes:
            self.before("open", place)
        there = place is None or os.path.lexists(place)
        descriptor: int = self._real["open"](path, flags, *rest, dir_fd=dir_fd)
        self.opened.pop(descriptor, None)
        if place is not None:
            if not there:
                self.disk.name(place, Node([b""]))
            self.opened[descriptor] = place, self.disk.find(place)
        elif Path(os.fsdecode(path)) == self.root:
            self.opened[descriptor] = self.root, self.disk.top
        return descriptor

    def _close(self, descriptor: int) -> None:
        self.opened.pop(descriptor, None)
        self._real["close"](descriptor)

    def _open_file(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        place = self.locate(file)
        if place is None or not set(mode) & set("wax+"):
            return self._real_open(file, mode, buffering, *rest, **named)
        assert "b" in mode, "a text file of a run is not counted"
        raw = CountedFile(self, place, mode)
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def _fsync(self, descriptor: int) -> None:
        if descriptor not in self.opened:
            return
        place, node = self.opened[descriptor]
        self.before("fsync", place)
        assert node is not None
        del node.versions[:-1]


class CountedFile(io.FileIO):
    """A file of the world that is opened for writing."""

    def __init__(self, faults: Faults, place: Path, mode: str) -> None:
        faults.before("open", place)
        there = place.exists()
        super().__init__(place, mode)
        self.faults, self.place = faults, place
        if not there:
            faults.disk.name(place, Node([b""]))
        self.node = faults.disk.find(place)
        faults.opened[self.fileno()] = place, self.node
        self._note()

    def write(self, data: Any) -> int:  # type: ignore[override]
        half = self.faults.before("write", self.place)
        written = super().write(memoryview(data)[: len(data) // 2] if half else data)
        self._note()
        if half and self.faults.fault is not None and self.faults.fault.act == "torn":
            die()
        return written or 0

    def close(self) -> None:
        if not self.closed:
            self.faults.opened.pop(self.fileno(), None)
        super().close()

    def truncate(self, size: int | None = None) -> int:
        self.faults.before("truncate", self.place)
        length = super().truncate(size)
        self._note()
        return length

    def _note(self) -> None:
        content = self.place.read_bytes()
        if content != self.node.versions[-1]:
            self.node.versions.append(content)


def moment_of(world: Path) -> Path:
    """Return where a copy of the world is put after a failed save."""
    return world.with_name("moment")


def die() -> None:
    """Kill this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)

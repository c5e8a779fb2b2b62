"""Faults in the files of a run: a process that counts what it does to files and, where it is told, comes to grief.

What counts, beneath one folder, the world: each open for writing, each write of a file (as the system sees it, after
the buffer), truncate, fsync of a file or a directory, mkdir, rename and replace, unlink, rmdir, link; at the end
`exit`.

What can happen at the n-th of them (`Fault`):

    kill    SIGKILL, before it
    torn    SIGKILL, after half of the bytes of a write
    power   the power fails before it: SIGKILL, and of what was not fsynced only `survivors` is left (see `Disk`)
    fail    it raises OSError with `code`; with `half` a write takes half of its bytes first; with `until_step` so does
            everything after it, until an event of that step has come

Not modelled: close and reads that fail, blocks of one file or one write that reach the disk out of order, an fsync that
lies, what a failed fsync loses of the file, modes and times. fsync is noted and not carried out: these tests kill a
process, not the machine.

Importing torch takes seconds, so `Warm` is a process that has, and forks one that trains for each fault. This file is
that process's program too, so it imports neither pytest nor a neighbour.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

TIME_LIMIT = 60
"""Seconds that one training may take: it takes a third of one."""


@dataclass(frozen=True)
class Fault:
    """What happens at operation number `at`."""

    act: str
    at: int
    survivors: str | int = "none"
    code: int = errno.ENOSPC
    half: bool = False
    until_step: int | None = None


@dataclass
class Outcome:
    """What became of one training: its operations, after how many each event came, how it ended."""

    operations: list[str] = field(default_factory=list)
    events: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, step, and the operations until then; the first is `founded`."""
    notices: list[str] = field(default_factory=list)
    error: tuple[str, str] | None = None
    bug: str | None = None
    all_seen: bool = False
    """Whether what the operations give is what is on the disk: then none has escaped."""
    signal: int = 0

    def names(self) -> list[str]:
        """The events' names."""
        return [name for name, _, _ in self.events]


Content: TypeAlias = "bytes | dict[str, Node]"


@dataclass
class Node:
    """A file's bytes or a directory's names: as of its last fsync, then after each operation since."""

    versions: list[Content]


class Disk:
    """What is surely on the disk, and what may be: each file and each directory for itself.

    A file has the content of its last fsync (none before the first), or that after any write since; a directory the
    names of its last fsync, or those after any change since: a rename between two may be in one and not in the other.
    What was there at the beginning is on the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = _read(root)

    def find(self, path: Path) -> Node:
        """The node that has this name now."""
        node = self.top
        for name in path.relative_to(self.root).parts:
            entries = node.versions[-1]
            assert isinstance(entries, dict)
            node = entries[name]
        return node

    def name(self, path: Path, node: Node | None) -> None:
        """Give a node a name; None takes it away."""
        folder = self.find(path.parent)
        entries = folder.versions[-1]
        assert isinstance(entries, dict)
        others = {name: other for name, other in entries.items() if name != path.name}
        folder.versions.append(others if node is None else {**others, path.name: node})

    def lose(self, survivors: str | int) -> None:
        """Make the world what a loss of power leaves of it.

        Args:
            survivors: `none`: nothing that was not fsynced is left; `names`: every name and no such content, as a
                journal of metadata alone may leave it; a number: the seed by which each file and directory is at any
                of its versions since its last fsync.
        """
        draw = random.Random(survivors)

        def choose(node: Node) -> Content:
            if survivors == "none" or (survivors == "names" and isinstance(node.versions[0], bytes)):
                return node.versions[0]
            return node.versions[-1] if survivors == "names" else draw.choice(node.versions)

        shutil.rmtree(self.root)
        _write(self.top, self.root, choose)

    def copy_to(self, folder: Path) -> None:
        """The world as it is now, elsewhere, in the place of what was there."""
        shutil.rmtree(folder, ignore_errors=True)
        _write(self.top, folder, lambda node: node.versions[-1])

    def is_on(self, root: Path) -> bool:
        """Whether the world is what the operations say."""
        return _plain(self.top) == _plain(_read(root))


def _read(path: Path) -> Node:
    return Node([{entry.name: _read(entry) for entry in path.iterdir()} if path.is_dir() else path.read_bytes()])


def _write(node: Node, path: Path, choose: Callable[[Node], Content]) -> None:
    content = choose(node)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    path.mkdir()
    for name, child in content.items():
        _write(child, path / name, choose)


def _plain(node: Node) -> Any:
    content = node.versions[-1]
    return content if isinstance(content, bytes) else {name: _plain(child) for name, child in content.items()}


class Faults:
    """Counts every file operation beneath `root` in this process, and acts at the one that `fault` names."""

    def __init__(self, root: Path, fault: Fault | None) -> None:
        self.root, self.fault = root, fault
        self.operations: list[str] = []
        self.disk = Disk(root)
        self.opened: dict[int, tuple[Path, Node | None]] = {}
        self._real = {name: getattr(os, name) for name in dir(os)}
        self._real_open = io.open

    def install(self) -> None:
        """From now on, for as long as this process lives."""
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
        """Count an operation, and let happen what is due; whether a write is to take only half of its bytes."""
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
        """End what lasts until this step."""
        if self.fault is not None and self.fault.until_step is not None and step >= self.fault.until_step:
            self.fault = None

    def _lose_power(self, survivors: str | int) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)
        io.open = builtins.open = self._real_open  # type: ignore[assignment]
        self.disk.lose(survivors)

    def locate(self, path: Any, folder: int | None = None) -> Path | None:
        """Where an argument of a system call leads, if that is beneath the world."""
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
            assert (source is None) == (target is None), "into the world, or out of it"
            assert not named, "a way to rename that the harness does not know"
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
            assert self.locate(path) is None, f"os.{name} on a run's files is not counted yet"
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
        assert "b" in mode, "a text file of a run is not counted yet"
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
    """A file of the world, opened to be written."""

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
    """Where a copy of the world is put as it was after a save had failed."""
    return world.with_name("moment")


def die() -> None:
    """As a process dies that is given no time."""
    os.kill(os.getpid(), signal.SIGKILL)


# --- the warm process


def train(order: dict[str, Any]) -> Outcome:
    """Train as ordered, with the fault armed, and tell what became of it."""
    import seqgen

    faults = Faults(Path(order["world"]), Fault(**order["fault"]) if order["fault"] else None)
    outcome = Outcome(faults.operations)
    faults.install()
    try:
        run = seqgen.train(**order["arguments"])
        outcome.notices = run.notices
        outcome.events.append(("founded", run.first_step, len(faults.operations)))
        for event in run:
            outcome.events.append((type(event).__name__, event.step, len(faults.operations)))
            if isinstance(event, seqgen.SaveFailed):
                faults.disk.copy_to(moment_of(faults.root))
            faults.reached(event.step)
    except seqgen.SeqgenError as error:
        outcome.error = type(error).__name__, str(error)
    except Exception:  # noqa: BLE001 (a bug, and told as one)
        outcome.bug = traceback.format_exc()
    if faults.fault is not None and faults.fault.act == "fail":
        faults.fault = None
    faults.before("exit", faults.root / ".")
    outcome.all_seen = faults.disk.is_on(faults.root)
    return outcome


def serve() -> None:
    """One line in, one training in a process of its own, one line out; the first is done here, and warms up."""
    import warnings

    import torch

    import seqgen
    from seqgen.training import trainer as loop

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    loop.SAMPLE_TOKENS = 4
    with tempfile.TemporaryDirectory() as folder:
        for _ in seqgen.train(**json.loads(sys.stdin.readline()), out=Path(folder) / "run"):
            pass
    print(flush=True)
    for line in sys.stdin:
        told, tells = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            signal.alarm(TIME_LIMIT)
            with os.fdopen(tells, "w", encoding="utf-8") as report:
                json.dump(asdict(train(json.loads(line))), report)
            os._exit(0)
        os.close(tells)
        with os.fdopen(told, encoding="utf-8") as report:
            said = report.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"signal": -status} if status else json.loads(said)), flush=True)


class Warm:
    """A process that has torch, and trains in one of its own as often as it is asked."""

    def __init__(self, text: Path, settings: dict[str, Any]) -> None:
        self.fresh = {"text": str(text), **settings}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._ask(self.fresh)

    def train(self, world: Path, out: Path, fault: Fault | None = None, **settings: Any) -> Outcome:
        """A new run at `out`, beneath `world`, with `fault` in it."""
        return self._order(world, fault, {**self.fresh, "out": str(out), **settings})

    def resume(self, world: Path, out: Path, fault: Fault | None = None) -> Outcome:
        """Go on with the run at `out`."""
        return self._order(world, fault, {"resume": True, "out": str(out)})

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _order(self, world: Path, fault: Fault | None, arguments: dict[str, Any]) -> Outcome:
        order = {"world": str(world), "fault": fault and asdict(fault), "arguments": arguments}
        outcome = Outcome(**json.loads(self._ask(order)))
        assert outcome.bug is None, outcome.bug
        assert outcome.signal in {0, signal.SIGKILL}, f"ended by signal {outcome.signal}"
        return outcome

    def _ask(self, order: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


if __name__ == "__main__":
    serve()

"""Locks by which one process at a time builds an entry of a cache or trains a run. No torch.

The operating system releases a lock if its process dies.

.building-NAME         the folder in which NAME is built; renamed to NAME when it is complete
.building-NAME.lock    held by the process that builds or removes NAME
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

BUILDING, _LOCK = ".building-", ".lock"


@contextlib.contextmanager
def hold_lock(folder: Path, name: str, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of `name` in `folder`, waiting for at most `timeout` seconds (-1 waits forever).

    Raises:
        filelock.Timeout: another process holds it.
        OSError: the lock file cannot be written.
    """
    lock = FileLock(folder / f"{BUILDING}{name}{_LOCK}", timeout=timeout)
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows does not remove an open file
                # While it is held: a process that waits for it then finds the file gone, and locks a new one.
                Path(lock.lock_file).unlink()


@contextlib.contextmanager
def build_folder(folder: Path, name: str) -> Iterator[Path]:
    """Hold the lock of `name`; yield the folder to build it in. What was not renamed is removed at the end."""
    building = folder / f"{BUILDING}{name}"
    with hold_lock(folder, name):
        shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
        try:
            yield building
        finally:
            shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def released_on_error(lock: BaseFileLock) -> Iterator[None]:
    """Release a held lock if the block raises, also by a signal; else keep it."""
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        yield
        undo.pop_all()


def remove_entry(path: Path) -> bool:
    """Remove an entry, or what was built of one, unless a process is building it; return whether it is gone."""
    try:
        with hold_lock(path.parent, path.name.removeprefix(BUILDING), timeout=0):
            shutil.rmtree(path, ignore_errors=True)
    except (Timeout, OSError):
        return False
    return not path.exists()


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in `folder`: unfinished entries and lock files."""
    for path in folder.glob(f"{BUILDING}*"):
        remove_entry(path.with_name(path.name.removesuffix(_LOCK)))


def note_use(folder: Path) -> None:
    """Set the modification time of `folder` to now, if it can be written: the time of its last use."""
    with contextlib.suppress(OSError):
        os.utime(folder)

"""Who makes an entry of the cache, and who uses one: locks that end with their process, and leave no file. No torch.

    .NAME.lock      held by the process that makes NAME, or removes it
    .making-NAME    what it is made in; renamed to NAME when it is whole

Who uses an entry shares a lock on its folder; who removes it wants that lock alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from seqgen.errors import SaveError, SeqgenError

if sys.platform != "win32":
    import fcntl

PROGRESS = "progress.json"
"""The note of how far long work came, which goes on from there after it was interrupted."""
RESUMABLE = 86_400.0
"""Seconds for which interrupted work is kept, to be gone on with."""
MAKING, _LOCK = ".making-", ".lock"


@contextlib.contextmanager
def alone(folder: Path, name: str, timeout: float = -1) -> Iterator[Path]:
    """Hold the lock by which `name` is made in `folder`; give where it is made. The lock's file is gone afterwards.

    Raises:
        filelock.Timeout: another process holds it.
        OSError: nothing can be written there.
    """
    from filelock import FileLock

    lock = FileLock(folder / f".{name}{_LOCK}", timeout=timeout)
    with lock:
        try:
            yield folder / f"{MAKING}{name}"
        finally:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                # While it is held: who waits for it finds that it has lost its name, and waits for the next by it.
                Path(lock.lock_file).unlink()


@contextlib.contextmanager
def making(folder: Path, name: str, timeout: float = -1) -> Iterator[Path]:
    """Where `name` is made, by this process alone; raises as `alone`.

    What fails leaves nothing, nor does what is interrupted, unless it has noted how far it came.
    """
    with alone(folder, name, timeout) as made:
        resumable = False
        try:
            yield made
        except BaseException as error:
            refused = isinstance(error, SeqgenError) and not isinstance(error, SaveError)
            resumable = not refused and (made / PROGRESS).is_file()
            raise
        finally:
            if not resumable:
                shutil.rmtree(made, ignore_errors=True)


def sweep_killed(folder: Path) -> None:
    """Remove what processes that were killed left in `folder`, but for what can be gone on with."""
    for path in (*folder.glob(f"{MAKING}*"), *folder.glob(f".*{_LOCK}")):
        name = path.name.removeprefix(MAKING if path.name.startswith(MAKING) else ".").removesuffix(_LOCK)
        with removing(folder, name) as made:
            if made is not None and not _is_fresh(made / PROGRESS):
                shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def removing(folder: Path, name: str) -> Iterator[Path | None]:
    """Where `name` is made, if no process makes it; else None."""
    from filelock import Timeout

    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(alone(folder, name, 0))
        except (Timeout, OSError):
            yield None
            return
        yield made


def _is_fresh(progress: Path) -> bool:
    try:
        return progress.stat().st_mtime > time.time() - RESUMABLE
    except OSError:
        return False


def keep(folder: Path, user: object) -> None:
    """Have `folder` kept by `take` as long as `user` is there; an OSError where it is not there."""
    if sys.platform != "win32":  # where a file that is mapped cannot be removed anyway
        held = os.open(folder, os.O_RDONLY)
        weakref.finalize(user, os.close, held).atexit = False
        with contextlib.suppress(OSError):  # of a file system without locks
            fcntl.flock(held, fcntl.LOCK_SH)


def note_use(folder: Path) -> None:
    """Let the time of `folder` tell when it was used last, if it can be written."""
    with contextlib.suppress(OSError):
        os.utime(folder)


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether no process uses `folder`; inside, none begins to."""
    try:
        held = os.open(folder, os.O_RDONLY) if sys.platform != "win32" else None
    except FileNotFoundError:  # removed a moment ago
        held = None
    if sys.platform == "win32" or held is None:
        yield True
        return
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError as error:
            free = not isinstance(error, BlockingIOError)
        yield free
    finally:
        os.close(held)


def take(path: Path) -> bool:
    """Remove an entry, a folder, that no process makes or uses; whether it is gone."""
    with removing(path.parent, path.name.removeprefix(MAKING)) as made:
        if made is None:
            return False
        if path != made:
            shutil.rmtree(made, ignore_errors=True)
            with contextlib.suppress(OSError), unused(path) as free:
                if not free:
                    return False
                path.rename(made)  # so that it is there whole, or not at all
        shutil.rmtree(made, ignore_errors=True)
    return not path.exists()

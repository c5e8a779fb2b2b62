"""Ctrl-C and SIGTERM, in every phase of every command.

The first signal ends the command cleanly: training finishes its step and saves; everything else unwinds as from any
other exception. The second signal exits immediately.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import NoReturn, Self

from seqgen.cli.errors import INTERRUPTED, TERMINATED, Terminated

_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_SHOW_CURSOR = "\x1b[?25h"
SAME_SIGNAL_SECONDS = 0.3
"""Signals within this many seconds count as one: `timeout` signals the process and then its group."""


def handle_signals() -> None:
    """Make the first signal an exception, and the second exit immediately, in the whole process.

    Python handles a signal only between two of its instructions; a thread that waits for the second signal can exit
    during a long call into C.
    """
    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)):
        if _is_handled(number):
            signal.signal(number, _raise_once(error))
    ours, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)

    def wait_for_second() -> None:
        first: float | None = None
        with woken:  # keep it open while this thread listens
            while number := ours.recv(1):
                if number[0] not in _CODES:
                    continue
                if first is None:
                    first = time.monotonic()
                elif time.monotonic() - first > SAME_SIGNAL_SECONDS:
                    _leave(_CODES[signal.Signals(number[0])])

    threading.Thread(target=wait_for_second, daemon=True).start()


def _leave(code: int, result: str = "") -> NoReturn:
    """Exit immediately, say with which result, and show the cursor that a progress bar may have hidden."""
    with contextlib.suppress(OSError):  # stderr may be closed
        cursor = f"{_SHOW_CURSOR}\n" if os.isatty(2) else ""
        reason = ("interrupted" if code == INTERRUPTED else "terminated") + (f": {result}" if result else "")
        os.write(2, f"{cursor}error: {reason}\n".encode())  # not through sys.stderr, which may be in use
    os._exit(code)


def _raise_once(error: type[BaseException]) -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises `error` at the first signal only, so that cleaning up is not interrupted."""
    raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        del number, frame
        if not raised:
            raised = True
            raise error

    return handle


def _is_handled(number: signal.Signals) -> bool:
    """Return whether the signal is handled; nohup and background jobs of a shell ignore it."""
    return signal.getsignal(number) is not signal.SIG_IGN


class Interrupts:
    """A context that records the first signal instead of raising; calling it returns whether there was one."""

    exit_code: int | None = None
    """130 or 143 after a signal."""

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _CODES if _is_handled(number)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.exit_code is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.exit_code = self.exit_code or _CODES[signal.Signals(number)]


@contextlib.contextmanager
def exit_on_signal(result: str = "") -> Iterator[None]:
    """Exit immediately at the first signal inside this context, and say with which result.

    An exception during the import of torch may be caught in there, and leave modules half initialized.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        _leave(_CODES[signal.Signals(number)], result)

    before = {number: signal.signal(number, leave) for number in _CODES if _is_handled(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

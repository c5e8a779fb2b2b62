"""Ctrl-C and SIGTERM, in every phase of every command.

The first ends the command in good order: training finishes its step and saves, everything else unwinds as from any
other exception. The second leaves at once.
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
ONE_MOMENT = 0.3
"""Seconds within which signals count as one: `timeout` sends its own to the process and to its group."""


def handle_signals() -> None:
    """For the whole process: the first signal becomes an exception, the second leaves at once.

    Python itself handles a signal only between two of its instructions. A thread that is woken at once leaves even from
    the midst of a long call into C.
    """
    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)):
        if _is_heeded(number):
            signal.signal(number, _raise_once(error))
    ours, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)

    def wait_for_the_second() -> None:
        first: float | None = None
        with woken:  # stays open as long as it is listened to
            while number := ours.recv(1):
                if number[0] not in _CODES:
                    continue
                if first is None:
                    first = time.monotonic()
                elif time.monotonic() - first > ONE_MOMENT:
                    _leave(_CODES[signal.Signals(number[0])])

    threading.Thread(target=wait_for_the_second, daemon=True).start()


def _leave(code: int) -> NoReturn:
    """End the process here and now, with the cursor back that a progress bar may have hidden."""
    with contextlib.suppress(OSError):  # stderr may be closed
        cursor = f"{_SHOW_CURSOR}\n" if os.isatty(2) else ""
        said = "interrupted" if code == INTERRUPTED else "terminated"
        os.write(2, f"{cursor}error: {said}\n".encode())  # not by sys.stderr, in whose midst the signal may have come
    os._exit(code)


def _raise_once(error: type[BaseException]) -> Callable[[int, FrameType | None], None]:
    """What raises `error`, and not again where that is being cleaned up after."""
    raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        del number, frame
        if not raised:
            raised = True
            raise error

    return handle


def _is_heeded(number: signal.Signals) -> bool:
    """Not where whoever started this process had it ignore the signal: nohup, or a shell's background job."""
    return signal.getsignal(number) is not signal.SIG_IGN


class Interrupts:
    """While entered, notes the first signal instead of raising. Calling it tells whether one has come."""

    exit_code: int | None = None
    """130 or 143 once a signal has come."""

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _CODES if _is_heeded(number)}
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
def leaving_at_once() -> Iterator[None]:
    """Inside, the first signal leaves at once: while torch is imported, an exception that is caught somewhere in there
    would leave modules half made, and a bug to be met later.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        _leave(_CODES[signal.Signals(number)])

    before = {number: signal.signal(number, leave) for number in _CODES if _is_heeded(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C and SIGTERM: the first asks to stop and is honoured between steps, the second leaves at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

from seqgen.cli.boundary import INTERRUPTED, TERMINATED

_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


class Interrupts:
    """While entered, notes signals instead of dying of them. Calling it tells whether one has come."""

    exit_code: int | None = None
    """130 or 143 once a signal has come."""

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _CODES}
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
        if self.exit_code is not None:
            raise SystemExit(_CODES[signal.Signals(number)])
        self.exit_code = _CODES[signal.Signals(number)]


@contextlib.contextmanager
def dying_at_once() -> Iterator[None]:
    """Inside, Ctrl-C ends the process without more ado: while torch is imported, an interrupt that is caught somewhere
    in there would leave modules half made, and a bug to be met later.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

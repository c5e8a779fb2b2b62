"""How far a long preparation is: told to whoever draws it."""

from __future__ import annotations

from typing import Protocol

WAITING = -1
"""As a total: it waits for somebody else, perhaps for ever."""


class Report(Protocol):
    """Is told in a few words what is being done; of long work, again and again how many bytes, and of how many.

    A total of 0 is one that nobody knows, `WAITING` says that nothing may come at all.
    """

    def __call__(self, message: str, done: int = 0, total: int = 0) -> None: ...


def silent(message: str, done: int = 0, total: int = 0) -> None:
    """A `Report` that nobody hears."""
    del message, done, total


class Progress:
    """Adds up what has been done of something, and reports it."""

    def __init__(self, report: Report, message: str, total: int) -> None:
        self._report, self._message, self._total = report, message, total
        self._done = 0
        report(message, 0, total)

    def add(self, done: int) -> None:
        """So much more has been done."""
        self._done += done
        self._report(self._message, self._done, self._total)

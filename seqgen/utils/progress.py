"""Report how far a long preparation has come."""

from __future__ import annotations

from typing import Protocol

WAITING = -1
"""A total that means waiting for another process, perhaps forever."""


class Report(Protocol):
    """Receive what is being done, in a few words; during long work repeatedly, with the bytes done and their total.

    A total of 0 is unknown; `WAITING` says that nothing may ever come.
    """

    def __call__(self, message: str, done: int = 0, total: int = 0) -> None: ...


def silent(message: str, done: int = 0, total: int = 0) -> None:
    """Ignore a report."""
    del message, done, total


class Progress:
    """Add up what has been done, and report it."""

    def __init__(self, report: Report, message: str, total: int) -> None:
        self._report, self._message, self._total = report, message, total
        self._done = 0
        report(message, 0, total)

    def add(self, done: int) -> None:
        """Add what has been done since the last call."""
        self._done += done
        self._report(self._message, self._done, self._total)

"""Progress of long work: on a terminal a bar with the time left, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from seqgen.cli.output import clock, notice, print_line, printable, stderr

from seqgen.utils.text import plural

ShowTokens = Callable[[int, int], None]
"""Receives how many tokens are done, and of how many."""
LINE_SECONDS = 10.0
"""Seconds between two lines without a terminal; shorter work prints none."""


class PhaseBar:
    """One bar after another, each until the next phase begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._message = ""
        self._said = time.monotonic()

    def show(self, message: str, done: int = 0, total: int = 0) -> None:
        """Show a phase and, with a `total`, how many of its bytes are done; a `total` below 0 is a wait."""
        if not self._console.is_terminal:
            self._say(message, done, total)
            return
        if self._bar is None or message != self._message:
            self.stop()
            self._message = message
            self._bar = self._draw(measured=total > 0)
            self._bar.add_task(f"{printable(message)} ...", total=None)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total if total > 0 else None)

    def stop(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, *, measured: bool) -> Progress:
        figures = (BarColumn(), DownloadColumn(), TimeRemainingColumn()) if measured else ()
        text = TextColumn("{task.description}", markup=False)
        return Progress(SpinnerColumn(), text, *figures, console=self._console, transient=True)

    def _say(self, message: str, done: int, total: int) -> None:
        if total < 0:
            print_line(self._console, Text(printable(message)))
        elif total and time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            line = f"{printable(message)}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
            self._console.print(Text(line), soft_wrap=True)


class WorkBar:
    """A bar on a terminal that counts tokens, pairs or texts, from `SHORT_SECONDS` after its start on."""

    SHORT_SECONDS = 0.5

    def __init__(self, name: str, *, quiet: bool, unit: str = "token") -> None:
        self._console = stderr()
        self._wanted = self._console.is_terminal and not quiet
        self._name, self._unit = name, unit
        self._begun = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def show(self, done: int, total: int | None = None) -> None:
        """Show how many are done, and of how many if that is known."""
        if not self._wanted or time.monotonic() - self._begun < self.SHORT_SECONDS:
            return
        if self._bar is None:
            self._bar = self._draw(measured=total is not None)
            self._bar.add_task(printable(self._name), count="")
            self._bar.start()
        count = plural(done, self._unit) if total is None else f"{done:,} of {plural(total, self._unit)}"
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, count=count)
        if done == total:
            self._stop()

    def _draw(self, *, measured: bool) -> Progress:
        name, count = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[count]"))
        figures = (BarColumn(), TaskProgressColumn(), count, TimeRemainingColumn()) if measured else (count,)
        # stdout is left alone: results may go to a pipe while the bar is on the terminal.
        return Progress(name, *figures, console=self._console, transient=True, redirect_stdout=False)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def announce_time(work: str, show: ShowTokens, *, quiet: bool) -> ShowTokens:
    """Return `show` with a notice, as soon as a second part is done, of the number of tokens and the time left."""
    begun = time.monotonic()
    before = 0
    said = False

    def measured(done: int, total: int) -> None:
        nonlocal begun, before, said
        now = time.monotonic()
        if not before:  # the first part has the costs of a beginning
            begun, before = now, done
        elif not said:
            said = True
            left = (now - begun) / (done - before) * (total - done)
            notice(f"{work}: {plural(total, 'token')}, one after another, in about {clock(left)}", quiet=quiet)
        show(done, total)

    return measured

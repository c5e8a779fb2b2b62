"""Numbers in sentences, so that one of something is not said to be several."""

from __future__ import annotations


def plural(number: int, one: str, several: str | None = None) -> str:
    """`1 thread`, `1,404 steps`: a number, its thousands parted, and the name of what it counts; plurals end in s
    unless `several` has another.
    """
    return f"{number:,} {singular_or_plural(number, one, several or f'{one}s')}"


def singular_or_plural(number: int, one: str, several: str) -> str:
    """The form that goes with a number: `is` or `are`."""
    return one if number == 1 else several

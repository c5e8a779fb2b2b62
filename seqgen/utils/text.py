"""Write numbers in sentences, in the singular or the plural."""

from __future__ import annotations


def plural(number: int, one: str, several: str | None = None) -> str:
    """Return a number, with commas between thousands, and what it counts: `1 thread`, `1,404 steps`.

    The plural ends in s unless `several` is given.
    """
    return f"{number:,} {singular_or_plural(number, one, several or f'{one}s')}"


def singular_or_plural(number: int, one: str, several: str) -> str:
    """Return the form that goes with a number, such as `is` or `are`."""
    return one if number == 1 else several

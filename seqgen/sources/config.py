"""How texts are named and read. No torch, no numpy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from seqgen.config import Config

STDIN = "-"
CORPUS_PREFIX = "corpus:"
"""How the name of a text of the catalogue begins."""
BYTES = "bytes"
"""The encoding of what is no text: each byte b is the character U+00b, and the byte tokenizer's id b + 1."""


class Reading(Config):
    """How bytes become documents.

    Args:
        encoding: of every file.
        errors: what becomes of bytes that are no text: refused, U+FFFD, or left out; the latter two are counted.
        glob: which files of a directory or members of an archive are its texts, by one pattern or several; a pattern
            with a slash is held against the path within it, where `**/` is any folders, or none, and `{a,b}` is either.
        exclude: which of them are not: patterns as of `glob`, or names of folders.
        field: which column of CSV, or field of a JSON record (`user.name`, `messages[].content`), is the document; None
            is `text`. With it, stdin is JSON lines.
        on_bad_line: what becomes of lines, rows and elements that are malformed or lack the field: the whole text is
            refused, or they are left out and counted.
    """

    encoding: str = "utf-8"
    errors: Literal["strict", "replace", "ignore"] = "strict"
    glob: tuple[str, ...] = Field(default=("*.txt",), min_length=1)
    exclude: tuple[str, ...] = ()
    field: str | None = None
    on_bad_line: Literal["refuse", "skip"] = "refuse"

    @field_validator("glob", "exclude", mode="before")
    @classmethod
    def _one_pattern_is_several(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    @property
    def is_raw(self) -> bool:
        """Whether bytes are read as they are, and not as text."""
        return self.encoding == BYTES

    @model_validator(mode="after")
    def _bytes_have_no_fields(self) -> Self:
        idle = {"errors": self.errors != "strict", "field": self.field is not None,
                "on_bad_line": self.on_bad_line != "refuse"}  # fmt: skip
        if self.is_raw and any(idle.values()):
            name = next(name for name, given in idle.items() if given)
            raise ValueError(f"{name}: with --encoding bytes, bytes are read as they are, so it would change nothing")
        return self


def name_of(names: Iterable[str]) -> str:
    """Texts in a few words, for messages."""
    first, *others = ("stdin" if name == STDIN else name for name in names)
    return f"{first} and {len(others)} more" if others else first


def absolute(name: str) -> str:
    """A path from the root on, so that it is found from another folder; other names as they are."""
    if not is_path(name):
        return name
    try:
        return str(Path(name).absolute())  # a link keeps its name, which says how to read it
    except OSError:  # the folder that this process is in was removed; that there is no such file, opening it will tell
        return name


def is_path(name: str) -> bool:
    """Whether a text's name is that of a file or a directory."""
    return name != STDIN and not name.startswith(CORPUS_PREFIX)

"""Where texts come from, how they are read, and how they are split. No torch, no numpy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from seqgen.settings import FileName, Settings

STDIN = "-"
PREFIX = "corpus:"
"""How the name of a text of the catalogue begins."""
BYTES = "bytes"
"""The encoding of what is no text: each byte b is the character U+00b, and the byte tokenizer's id b + 1."""


class Reading(Settings):
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


class DataConfig(Reading):
    """The texts to learn from, and the part of them that is withheld to validate.

    Args:
        text: paths of files and directories, `-` for stdin, `corpus:NAME` for a text of the catalogue; one or several.
        valid: a text of its own to validate on.
        valid_split: or what is withheld of the text: 20 blocks spread evenly over it (`spread`), its end (`tail`),
            whole documents or whole files, spread evenly (`document`, `file`), or nothing (`none`, the default beside
            `valid`).
        valid_share: how much that is, of the characters, the documents or the files. None is 0.05, but of a long
            text not more than a million characters in blocks (every evaluation takes its time), of a short one not
            less than 200.
        store: the directory of the store; None is the user's cache.
        allow_unknown: learn also from a text of which a vocabulary that was not built from it lacks a fifth or more.
    """

    text: tuple[FileName, ...] = Field(default=("corpus:pydoc",), min_length=1)
    valid: FileName | None = None
    valid_split: Literal["spread", "tail", "document", "file", "none"] = "spread"
    valid_share: float | None = Field(default=None, gt=0.0, lt=0.5)
    store: FileName | None = None
    allow_unknown: bool = False

    @field_validator("text", mode="before")
    @classmethod
    def _one_is_several(cls, value: Any) -> Any:
        several = tuple(value) if isinstance(value, list | tuple) else (value,)
        return tuple(str(name) if isinstance(name, Path) else name for name in several)

    @model_validator(mode="before")
    @classmethod
    def _a_file_leaves_the_text_whole(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("valid") is not None:
            return {"valid_split": "none", **values}
        return values

    @model_validator(mode="after")
    def _one_validation_part(self) -> DataConfig:
        if self.valid is not None and self.valid_split != "none":
            raise ValueError("valid: a file of its own and a split of the text cannot both be the validation part")
        if [*self.text, self.valid].count(STDIN) > 1:
            raise ValueError("text: stdin can be read once; name - once")
        return self

    @property
    def name(self) -> str:
        """The texts in a few words, for messages."""
        return name_of(self.text)


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
    return name != STDIN and not name.startswith(PREFIX)

"""The names of texts, and the settings of reading them. No torch, no numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import field_validator, model_validator

from seqgen.config import TEXT, Config, setting

STDIN = "-"
CORPUS_PREFIX = "corpus:"
"""Prefix of the name of a corpus of the catalog."""
Unit: TypeAlias = Literal["file", "line", "paragraph"]
"""What a document of plain text is."""
END_BYTES: dict[Unit, int] = {"file": 0, "line": 1, "paragraph": 2}
"""How many bytes end a document in its file: a line end, or two."""
Task: TypeAlias = Literal["generate", "translate", "classify", "tag"]
"""What is learned: to continue a text, to write a text for another one, to name its label, to tag its words."""
GENERATE: Task = "generate"
LABELING_TASKS: tuple[Task, ...] = ("classify", "tag")
"""Tasks whose targets are labels out of a closed set, and not text."""
EXAMPLES: dict[Task, str] = {"generate": "text", "translate": "pair", "classify": "text", "tag": "sentence"}
"""What one training example of each task is called."""
SIDES: dict[Task, tuple[str, str]] = {
    "translate": ("source", "target"),
    "classify": ("text", "label"),
    "tag": ("sentence", "list of tags"),
}
"""What the two sides of a pair of each task are called."""
FOR_PAIRS = "give --task translate|classify|tag if these are pairs or texts with labels or tags"
"""Advice for a file of pairs that is read as text."""
BYTES = "bytes"
"""The encoding of files that are not text: each byte b is the character U+00b, and the byte tokenizer's id b + 1."""


class Reading(Config):
    """How bytes become documents.

    A `glob` or `exclude` pattern with a slash is matched against the path within the folder, where `**/` is any number
    of folders and `{a,b}` is either. With a `field`, stdin is JSON lines. Bytes that `errors` replaces or ignores, and
    lines that `on_bad_line` skips, are counted.

    With a field of pairs that is not the default, stdin is JSON lines too.

    `documents` says what a document of plain text is: a line ends at LF, CRLF or CR and nowhere else; paragraphs have
    blank lines between them. JSON lines and other records are documents anyway.
    """

    encoding: str = setting("utf-8", "Text encoding: utf-8, cp949, ...; bytes reads raw bytes.", TEXT, metavar="NAME")
    errors: Literal["strict", "replace", "ignore"] = setting(
        "strict", "Invalid bytes: refuse the text, replace them by U+FFFD, or leave them out.", TEXT
    )
    glob: tuple[str, ...] = setting(
        ("*.txt",),
        "Which files of a folder or archive to read: {txt,md} is either; may be repeated.",
        TEXT,
        metavar="PATTERN",
        accepts=str | Sequence[str],
        min_length=1,
    )
    exclude: tuple[str, ...] = setting(
        (),
        "Files or folders to leave out: a pattern or a folder's name; may be repeated.",
        TEXT,
        metavar="PATTERN",
        accepts=str | Sequence[str],
    )
    field: str | None = setting(
        None,
        "Which CSV column or JSON field is the text: body, user.name, messages[].content.",
        TEXT,
        shown="text",
        metavar="NAME",
    )
    on_bad_line: Literal["refuse", "skip"] = setting(
        "refuse", "Lines and rows that are malformed or lack the field: refuse the file, or skip and count them.", TEXT
    )

    documents: Unit = setting(
        "file",
        "What a document of plain text is: the file, each line (names, tweets), or each paragraph (recipes, poems).",
        TEXT,
    )

    task: Task = setting(
        GENERATE,
        "What to learn: generate text; or from pairs, one a line with a tab between: translate a source into a target, "
        "classify a text by its label, or tag each word.",
        TEXT,
    )
    source_field: str = setting(
        "source", "JSON lines of pairs: the field of the source, or text.", TEXT, metavar="NAME"
    )
    target_field: str = setting(
        "target", "JSON lines of pairs: the field of the target, label or tags.", TEXT, metavar="NAME"
    )

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
            raise ValueError(f"{name}: with --encoding bytes, bytes are read as they are, so it would have no effect")
        if self.is_raw and self.documents != "file":
            raise ValueError(f"documents: with --encoding bytes a file is a document; bytes have no {self.documents}s")
        return self

    @property
    def has_pairs(self) -> bool:
        """Whether the texts are pairs of a source and a target."""
        return self.task != GENERATE

    @property
    def pair_fields(self) -> list[str]:
        """The settings that name fields of JSON lines of pairs, where they are not the default."""
        names = ("source_field", "target_field")
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]

    @model_validator(mode="after")
    def _pairs_have_their_own_format(self) -> Self:
        if self.has_pairs and self.is_raw:
            raise ValueError(f"encoding: --task {self.task} learns from text, not from bytes; name the text's encoding")
        names = ("field", "documents") if self.has_pairs else ("source_field", "target_field")
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                reason = f"--task {self.task} reads pairs" if self.has_pairs else "only pairs (--task) have it"
                raise ValueError(f"{name}: {reason}, so it would have no effect; leave it out")
        return self

    def with_defaults_of(self, other: Reading) -> Self:
        """Return a copy that has the documents, or the fields of pairs, of another reading by default.

        A value that was given stays. A default does not count as given: it is not refused where it has no effect.
        """
        names = ("source_field", "target_field") if self.has_pairs else () if self.is_raw else ("documents",)
        defaults = {name: getattr(other, name) for name in names if name not in self.model_fields_set}
        return self.model_construct(self.model_fields_set, **{**dict(self), **defaults})


def name_of(names: Iterable[str]) -> str:
    """Return the texts in a few words, for messages."""
    first, *others = ("stdin" if name == STDIN else name for name in names)
    return f"{first} and {len(others)} more" if others else first


def absolute(name: str) -> str:
    """Return the absolute path of a file or directory; other names as they are."""
    if not is_path(name):
        return name
    try:
        return str(Path(name).absolute())  # a link keeps its name, which says how to read it
    except OSError:  # the current folder was removed; opening the file will say that it is missing
        return name


def is_path(name: str) -> bool:
    """Return whether a text's name is the name of a file or directory."""
    return name != STDIN and not name.startswith(CORPUS_PREFIX)

"""The texts to train on, and how they are split. No torch, no numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from seqgen.config import FileName
from seqgen.sources.config import STDIN, Reading, name_of


class DataConfig(Reading):
    """The texts to learn from, and the part of them that is withheld to validate.

    Args:
        text: paths of files and directories, `-` for stdin, `corpus:NAME` for a text of the catalogue; one or several.
        valid: a text of its own to validate on.
        valid_split: or what is withheld of the text: 20 blocks spread evenly over it (`blocks`), its end (`tail`),
            whole documents or whole files, spread evenly (`document`, `file`), or nothing (`none`, the default beside
            `valid`).
        valid_share: how much that is, of the characters, the documents or the files. None is 0.05, but of a long
            text not more than a million characters in blocks (every evaluation takes its time), of a short one not
            less than 200.
        cache_dir: directory of the texts and ids that are cached; None is the user's cache directory.
        allow_unknown: learn also from a text of which a vocabulary that was not built from it lacks a fifth or more.
    """

    text: tuple[FileName, ...] = Field(default=("corpus:pydoc",), min_length=1)
    valid: FileName | None = None
    valid_split: Literal["blocks", "tail", "document", "file", "none"] = "blocks"
    valid_share: float | None = Field(default=None, gt=0.0, lt=0.5)
    cache_dir: FileName | None = None
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

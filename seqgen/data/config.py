"""The settings of the texts to train on and of their split. No torch, no numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from seqgen.config import TEXT, FileName, setting
from seqgen.sources.config import STDIN, Reading, name_of

SplitRule: TypeAlias = Literal["blocks", "tail", "document", "file", "none"]
"""What is withheld for validation."""


class DataConfig(Reading):
    """The texts to train on, and the part of them that is withheld for validation.

    `text` names files, directories, `-` for stdin, or `corpus:NAME`. With `valid` the default of `valid_split` is
    `none`. Without `valid_share` a twentieth is withheld: of a long text at most a million characters, since every
    evaluation takes its time; of a short text at least 200. `auto` withholds whole documents where documents end by
    themselves, there are at least 20, those withheld have at least 200 characters and none is longer than the share;
    else blocks.
    """

    text: tuple[FileName, ...] = Field(default=("corpus:pydoc",), min_length=1)
    valid: FileName | None = setting(None, "Validation text.", TEXT, metavar="FILE", accepts=str | Path | None)
    valid_split: Literal["auto", SplitRule] = setting(
        "auto",
        "Without --valid, withhold 20 evenly spaced blocks, the tail, whole documents or files, or nothing; auto takes "
        "documents where there are enough, else blocks.",
        TEXT,
    )
    valid_share: float | None = setting(
        None, "Share of the text to withhold for validation.", TEXT, shown="0.05", gt=0.0, lt=0.5
    )
    cache_dir: FileName | None = setting(
        None,
        "Directory of the cached texts and ids.",
        TEXT,
        shown="in the user's cache",
        metavar="DIR",
        accepts=str | Path | None,
    )
    allow_unknown: bool = setting(
        False, "With --init-from or --tokenizer DIR: train even if over 20% of the text is <unk>.", TEXT
    )

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
            raise ValueError("valid: a validation file and a split of the text exclude each other; leave one out")
        if [*self.text, self.valid].count(STDIN) > 1:
            raise ValueError("text: stdin can be read once; name - once")
        return self

    @property
    def name(self) -> str:
        """Return the texts in a few words, for messages."""
        return name_of(self.text)

"""Where a text comes from and how it is split. No torch, no numpy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from seqgen.settings import Settings


class DataConfig(Settings):
    """The text to learn from, and the part of it that is withheld to validate.

    `text` is a path, or `corpus:NAME` for a text of the catalogue. The validation part is `valid` (a file), or
    `valid_share` of the text: 20 blocks spread evenly over it (`spread`), its end (`tail`), or nothing (`none`, the
    default beside a file).
    """

    text: str = "corpus:pydoc"
    encoding: str = "utf-8"
    valid: str | None = None
    valid_split: Literal["spread", "tail", "none"] = "spread"
    valid_share: float = Field(default=0.05, gt=0.0, lt=0.5)

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
        return self

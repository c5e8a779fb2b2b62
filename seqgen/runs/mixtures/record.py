"""The content of mixture.json: the weights of a mixture's members, and the text that set them. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqgen.config import Config
from seqgen.data.config import SplitRule
from seqgen.runs.config import Sha256

TOLERANCE = 1e-9


class MemberRecord(Config):
    """A member: its weight, its cost of the text that set the weights, and the checksum of its model.safetensors."""

    weight: Annotated[float, Field(ge=0.0, le=1.0)]
    nats_per_token: float
    bits_per_byte: float
    checksum: Sha256


class MixtureRecord(Config):
    """The members by name, and the figures of the mixture on the text that set the weights."""

    format_version: Literal[1] = 1
    members: dict[str, MemberRecord]
    nats_per_token: float
    bits_per_character: float
    bits_per_byte: float
    tokens: int
    text_sha256: Sha256
    """Of the text whose withheld part set the weights, or of the validation file."""
    split: SplitRule
    """What was withheld; `none` for a validation file."""

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> MixtureRecord:
        total = sum(member.weight for member in self.members.values())
        if abs(total - 1) > TOLERANCE:
            raise ValueError(f"members: their weights should sum to 1, not to {total:.12g}")
        return self

    def to_json(self) -> bytes:
        """Return the content of mixture.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()

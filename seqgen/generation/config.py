"""Settings of text generation. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from seqgen.config import Config


class SamplingConfig(Config):
    """How new text is drawn. The processors apply in the order of the fields: temperature, top-k, top-p, min-p.

    Off are top_k 0, top_p 1 and min_p 0; temperature 0 is the argmax. `stop` strings end a text and are not part of it.
    """

    temperature: float = Field(default=0.8, ge=0.0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    max_new_tokens: int = Field(default=500, ge=1)
    """Left out, no more than a model with sinusoidal positions has left after the prompt."""
    stop: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0, lt=2**63)
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    engine: Literal["torch", "numba"] = "torch"
    """What steps through the model; numba compiles the steps, for a CPU, and has to be installed."""

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("an empty text would end every sample before it begins; leave it out")
        return stop

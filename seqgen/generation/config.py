"""The settings of sampling. Imports no torch and no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator

from seqgen.config import SAMPLING, Config, setting


class SamplingConfig(Config):
    """How new tokens are sampled. Processors apply in the order of the fields.

    Temperature 0 is the argmax. A `stop` string ends a text and is left out.
    Without `max_new_tokens`, a model with a limited number of positions ends a text with its last one.
    """

    temperature: float = setting(
        0.8, "Sampling temperature: 0 is greedy, 1 the model's own distribution, more is more random.", SAMPLING, ge=0.0
    )
    top_k: int = setting(0, "Sample from the k most likely tokens; 0 is off.", SAMPLING, ge=0)
    top_p: float = setting(
        1.0, "Sample from the fewest tokens whose probabilities sum to p; 1 is off.", SAMPLING, gt=0.0, le=1.0
    )
    min_p: float = setting(
        0.0, "Sample from tokens at least p times as likely as the most likely one; 0 is off.", SAMPLING, ge=0.0, le=1.0
    )
    max_new_tokens: int = setting(500, "Maximum number of new tokens.", SAMPLING, ge=1)
    stop: tuple[str, ...] = setting(
        (), "Stop before this text; may be repeated.", SAMPLING, accepts=str | Sequence[str], metavar="TEXT"
    )
    seed: int = setting(0, "Random seed.", SAMPLING, ge=0, lt=2**63)
    precision: Literal["fp32", "bf16", "int8"] = setting(
        "fp32", "Precision of the weights; lower is faster and less exact.", SAMPLING
    )
    engine: Literal["torch", "numba"] = setting(
        "torch",
        "Engine; numba is faster for long texts on a CPU, but takes a second to load, and longer at its first use, "
        "when it compiles.",
        SAMPLING,
    )

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("an empty string would end every sample before it begins; leave it out")
        return stop

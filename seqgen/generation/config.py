"""The settings of sampling and of beam search. Imports no torch and no numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import field_validator, model_validator

from seqgen.config import BEAM, SAMPLING, Config, setting

MAX_SAMPLES = 10_000
"""Samples of one prompt, or of one source."""
MAX_BEAM = 1_000
"""A step compares about the square of it."""
MAX_LENGTH = 10_000
"""Tokens of a text that is searched for: a model that never ends its texts would not end either."""


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


class BeamConfig(Config):
    """How the best texts are searched for. A hypothesis is a text so far; lengths are in tokens.

    The score of a hypothesis is `ln p / ((5 + n) / 6) ** length_penalty + coverage_penalty * c`, where n counts its
    tokens, its end included, and c <= 0 is the sum over the source's tokens of ln min(1, attention received) (Wu et al.
    2016). 0.6 is the length penalty of Vaswani et al. 2017.
    """

    beam: int = setting(1, "Hypotheses kept at each step; 1 is greedy.", BEAM, ge=1, le=MAX_BEAM)
    n_best: int = setting(1, "Number of texts to return, at most as many as the beam keeps.", BEAM, ge=1)
    length_penalty: float = setting(
        0.6, "Exponent of the length that divides a score; 0 is off, more prefers longer texts.", BEAM, ge=0.0, le=10.0
    )
    coverage_penalty: float = setting(
        0.0, "Weight of the penalty for source tokens with little attention; 0 is off.", BEAM, ge=0.0, le=10.0
    )
    no_repeat_ngram: int = setting(0, "Never repeat n tokens that the text already has; 0 is off.", BEAM, ge=0)
    min_length: int = setting(0, "Minimum number of tokens before the end.", BEAM, ge=0, le=MAX_LENGTH)
    max_length: int | None = setting(
        None,
        "Maximum number of tokens, the end included.",
        BEAM,
        shown="2 x source + 20, or the longest in training",
        ge=1,
        le=MAX_LENGTH,
    )

    @model_validator(mode="after")
    def _texts_are_possible(self) -> BeamConfig:
        if self.n_best > self.beam:
            raise ValueError(
                f"n_best: should be at most beam, which is {self.beam}, not {self.n_best}; add --beam {self.n_best} or "
                "more"
            )
        if self.max_length is not None and self.min_length >= self.max_length:
            raise ValueError(
                f"min_length: should be less than max_length, which is {self.max_length}, not {self.min_length}"
            )
        return self

    def max_lengths(self, source_lengths: Iterable[int], longest_target: int = 0) -> list[int]:
        """Return the maximum number of tokens for sources of these lengths, by default enough for a longest target."""
        if self.max_length is not None:
            return [self.max_length for _ in source_lengths]
        least = max(self.min_length, longest_target) + 1
        return [max(2 * length + 20, least) for length in source_lengths]

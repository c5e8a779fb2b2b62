"""The settings of models that learn while they read. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from seqgen.config import EVALUATION, Config, setting

Adapting = Literal["weights", "ngram", "all"]


class AdaptationConstants(Config):
    """How fast models learn from what they read; docs/lab-notes.md has the sweep that chose the defaults."""

    rate: float = Field(0.002, ge=0.0, le=100.0)
    """The learning rate of dynamic weights."""
    decay: float = Field(0.003, ge=0.0, le=1.0)
    """The share of the distance to the trained weights by which each update returns to them."""
    epsilon: float = Field(0.002, gt=0.0)
    """What is added to the root mean square of the gradients of a weight."""
    segment: int = Field(32, ge=1, le=65_536)
    """Tokens from one update to the next."""
    prior: float = Field(1.0, gt=0.0)
    """Tokens that the trained weights of a mixture count as."""
    memory: float = Field(10.0, ge=1.0)
    """Tokens after which what the weights of a mixture learned from is forgotten, to 1/e."""
    cache_window: int = Field(8000, ge=1, le=1_000_000)
    """Hidden vectors that the cache keeps."""
    cache_theta: float = Field(1.0, ge=0.0)
    """The factor of the products of hidden vectors."""
    cache_share: float = Field(0.2, ge=0.0, lt=1.0)
    """The weight of the cache in the mixture with its model (lambda)."""


DEFAULTS = AdaptationConstants.of()


class AdaptationConfig(Config):
    """What learns while it reads."""

    dynamic: Adapting | None = setting(
        None,
        "Let the model learn from each part of the text after predicting it: weights, n-gram counts, or all that it "
        "has, which is also the meaning without a value.",
        EVALUATION,
    )
    dynamic_reset: Literal["document"] | None = setting(
        None, "Return to the trained model at the start of each document, with --dynamic or --cache.", EVALUATION
    )
    cache: bool = setting(
        False, "Add a cache of hidden vectors and the tokens that followed them, which is dynamic too.", EVALUATION
    )
    adaptation: AdaptationConstants = DEFAULTS
    """Rates and sizes; `TextRun.tune` finds others."""

    @model_validator(mode="after")
    def _something_resets(self) -> AdaptationConfig:
        if self.dynamic_reset is not None and not self.adapts:
            raise ValueError("dynamic_reset: needs dynamic or cache")
        return self

    @property
    def adapts(self) -> bool:
        """Whether anything learns."""
        return self.dynamic is not None or self.cache

    @property
    def what(self) -> str:
        """What learns, as reports name it."""
        return self.dynamic or "cache"

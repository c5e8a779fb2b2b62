"""The settings of scoring. Imports no torch and no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from seqgen.config import EVALUATION, setting
from seqgen.evaluation.adaptation.config import AdaptationConfig


class EvaluationConfig(AdaptationConfig):
    """How much context each token is scored with, and whether the model learns from the text.

    By default the state is carried through each document, in parallel segments with burn-in on the tokens before them
    where it is long; `sequential` carries it through each document in one stream. With `context_window` N a token sees
    at most N tokens before it: windows of N tokens begin at every `stride` (default N), and each scores the tokens that
    are new in it. A model that learns while it reads (`dynamic`, `cache`) reads one stream, in fp32.
    """

    context_window: int | None = setting(
        None, "Score windows of this many tokens instead of one continuous stream.", EVALUATION, ge=1
    )
    stride: int | None = setting(
        None, "Tokens from the start of one window to the next.", EVALUATION, shown="the window", ge=1
    )
    sequential: bool = setting(
        False, "Score each document in one stream, not in parallel segments; slower.", EVALUATION
    )
    precision: Literal["fp32", "bf16", "int8"] = setting(
        "fp32", "Precision of the matrix products; int8 scores one token at a time, and is slower.", EVALUATION
    )

    @model_validator(mode="after")
    def _context_is_one_thing(self) -> EvaluationConfig:
        if self.stride is not None and self.context_window is None:
            raise ValueError("stride: needs a context_window")
        if self.stride is not None and self.context_window is not None and self.stride > self.context_window:
            raise ValueError(
                f"stride: {self.stride} is more than the context_window {self.context_window}: it would skip tokens"
            )
        if self.sequential and self.context_window is not None:
            raise ValueError("sequential: cannot be combined with context_window; choose one")
        return self

    @model_validator(mode="after")
    def _dynamic_is_one_stream(self) -> EvaluationConfig:
        if not self.adapts:
            return self
        name = "cache" if self.dynamic is None else "dynamic"
        if self.context_window is not None:
            raise ValueError(f"context_window: cannot be combined with {name}, which reads one stream; choose one")
        if self.sequential:
            raise ValueError(f"sequential: {name} always reads one stream; leave sequential out")
        if self.precision != "fp32":
            raise ValueError(f"precision: {name} computes in fp32, not in {self.precision}; leave precision out")
        return self

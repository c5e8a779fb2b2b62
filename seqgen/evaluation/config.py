"""The settings of scoring. No torch, no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from seqgen.config import EVALUATION, Config, setting


class EvaluationConfig(Config):
    """How much context each token is scored with.

    By default the state is carried through the whole text, in parallel segments that are burnt in on the tokens before
    them; `sequential` carries it in one stream. With `context_window` N a token sees at most N tokens before it:
    windows of N, each `stride` (N where left out) tokens on from the one before, score the tokens that are new in them.
    """

    context_window: int | None = setting(
        None, "Score windows of this many tokens instead of one continuous stream.", EVALUATION, ge=1
    )
    stride: int | None = setting(
        None, "Tokens from the start of one window to the next.", EVALUATION, shown="the window", ge=1
    )
    sequential: bool = setting(False, "Score in one stream instead of parallel segments; slower.", EVALUATION)
    precision: Literal["fp32", "bf16", "int8"] = setting(
        "fp32", "Precision of the matrix products; int8 scores one token at a time, and is slower.", EVALUATION
    )

    @model_validator(mode="after")
    def _context_is_one_thing(self) -> EvaluationConfig:
        if self.stride is not None and self.context_window is None:
            raise ValueError("stride: only windows have a stride; give a context_window too")
        if self.stride is not None and self.context_window is not None and self.stride > self.context_window:
            raise ValueError(
                f"stride: {self.stride} is more than the context_window {self.context_window}: tokens would be left out"
            )
        if self.sequential and self.context_window is not None:
            raise ValueError("sequential: one stream carries its state on, windows do not; choose one of the two")
        return self

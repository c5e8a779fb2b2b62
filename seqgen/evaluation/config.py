"""How a text is scored. No torch, no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from seqgen.config import Config


class EvaluationConfig(Config):
    """How much each token may see of what is before it.

    By default the state is carried through the whole text, in parallel segments that are burnt in on the tokens before
    them; `sequential` carries it in one stream. With `context_window` N a token sees at most N tokens before it:
    windows of N, each `stride` (N where left out) tokens on from the one before, score the tokens that are new in them.
    """

    context_window: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    sequential: bool = False
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """int8 is the stepper's: a token at a time, so slower, and what sampling in int8 costs."""

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

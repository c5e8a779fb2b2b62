"""The page of attention: which source tokens each target token attends to, as a map and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.pages.page import make_page
from seqgen.pages.visible import show_invisible

DECIMALS = 4
"""Decimals of the weights in a page's data."""
MEAN = "mean of all heads"


@dataclass(frozen=True, eq=False)
class AttentionExample:
    """The attention of one pair of texts: an encoder-decoder's alignment, or the heads of a self-attention layer."""

    source: list[str]
    """S tokens that are attended to."""
    target: list[str]
    """T tokens that attend."""
    weights: npt.ArrayLike
    """[T, S], or [heads, T, S]; each from 0 to 1."""

    def __post_init__(self) -> None:
        shape = (len(self.target), len(self.source))
        heads = self.heads
        if not heads.size or heads.shape[1:] != shape:
            raise ValueError(
                f"weights: the shape is {np.shape(self.weights)}, expected [heads,] {shape}, none of them 0"
            )
        if not (heads.min() >= 0 and heads.max() <= 1 + 1e-3):  # NaN too; fp16 and bf16 round
            raise ValueError("weights: must be from 0 to 1, without NaN")

    @property
    def heads(self) -> npt.NDArray[np.float64]:
        """The weights of every head, [heads, T, S]."""
        weights = np.asarray(self.weights, np.float64)
        return weights[None] if weights.ndim == 2 else weights

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean over the heads, [T, S]."""
        mean: npt.NDArray[np.float64] = self.heads.mean(axis=0)
        return mean

    @property
    def shown_source(self) -> list[str]:
        """The source tokens with invisible characters as signs."""
        return [show_invisible(token) for token in self.source]

    @property
    def shown_target(self) -> list[str]:
        """The target tokens with invisible characters as signs."""
        return [show_invisible(token) for token in self.target]


def attention_page(examples: Sequence[AttentionExample], title: str) -> str:
    """Return the HTML of a page that shows the attention of `examples`, one at a time.

    Where an example has several heads, the page offers their mean first, then each.

    Raises:
        SaveError: the examples are too large for one page.
    """
    if not examples:
        raise ValueError("examples: at least one is needed")
    return make_page("attention", title, {"examples": [_describe(example) for example in examples]})


def _describe(example: AttentionExample) -> dict[str, object]:
    heads = example.heads
    maps = {f"head {number}": head for number, head in enumerate(heads, start=1)} if len(heads) > 1 else {}
    return {
        "source": example.shown_source,
        "target": example.shown_target,
        "maps": [
            {"name": name, "weights": weights.round(DECIMALS).tolist()}
            for name, weights in {MEAN: example.mean, **maps}.items()
        ],
    }

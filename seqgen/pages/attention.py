"""The page of attention: which source tokens each target token attends to, as a map and as numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqgen.pages.page import make_page
from seqgen.pages.visible import show_invisible

if TYPE_CHECKING:
    from seqgen.inspection.attention import TextAttention

DECIMALS = 4
"""Decimals of the weights in a page's data."""
MEAN = "mean of all heads"
START = "<start>"
"""The name of the boundary before a text, to which its tokens may attend too."""
UNKNOWN_SIGN = "*"
"""Follows a token that is not in the vocabulary."""
UNKNOWN_NOTE = f"{UNKNOWN_SIGN} not in the vocabulary: the model reads <unk>"


@dataclass(frozen=True, eq=False)
class AttentionExample:
    """The attention of one pair of texts: an encoder-decoder's alignment, or the heads of a self-attention layer."""

    source: Sequence[str]
    """S tokens that are attended to."""
    target: Sequence[str]
    """T tokens that attend."""
    weights: npt.ArrayLike
    """[T, S], or [heads, T, S]; each from 0 to 1."""
    unknown_source: Collection[int] = ()
    """The numbers of the source tokens that are not in the vocabulary."""
    unknown_target: Collection[int] = ()
    name: str = ""
    """What distinguishes this example from the others of a page: `layer 0`; empty for an excerpt of the texts."""
    head_names: Sequence[str] = ()
    """A name for each head; empty for `head 0`, `head 1`, ..."""

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
    def names(self) -> Sequence[str]:
        """The names of the heads."""
        return self.head_names or [f"head {number}" for number in range(len(self.heads))]

    @property
    def maps(self) -> dict[str, npt.NDArray[np.float64]]:
        """The maps [T, S] by name: the mean, and where there are several heads, each of them."""
        heads = dict(zip(self.names, self.heads, strict=True)) if len(self.heads) > 1 else {}
        return {MEAN: self.mean, **heads}

    @property
    def shown_source(self) -> list[str]:
        """The source tokens with invisible characters as signs, and unknown ones marked."""
        return _show(self.source, self.unknown_source)

    @property
    def shown_target(self) -> list[str]:
        """The target tokens with invisible characters as signs, and unknown ones marked."""
        return _show(self.target, self.unknown_target)

    @property
    def has_unknown(self) -> bool:
        """Whether a token is marked as unknown."""
        return bool(self.unknown_source or self.unknown_target)


def _show(tokens: Sequence[str], unknown: Collection[int]) -> list[str]:
    return [show_invisible(token) + (UNKNOWN_SIGN if number in unknown else "") for number, token in enumerate(tokens)]


def layer_examples(found: TextAttention) -> list[AttentionExample]:
    """Return the attention of a text as an example for each layer, with the role of a head in its name."""
    source, shifted = [START, *found.tokens], [number + 1 for number in found.unknown]
    return [
        AttentionExample(
            source,
            found.tokens,
            weights,
            shifted,
            found.unknown,
            f"layer {layer}",
            [f"head {one.head}{f', {one.role}' if one.role else ''}" for one in found.heads if one.layer == layer],
        )
        for layer, weights in enumerate(found.weights)
    ]


def attention_page(examples: Sequence[AttentionExample], title: str) -> str:
    """Return the HTML of a page that shows the attention of `examples`, one at a time.

    Where an example has several heads, the page offers their mean first, then each.

    Raises:
        SaveError: the examples are too large for one page.
    """
    if not examples:
        raise ValueError("examples: at least one is needed")
    return make_page("attention", title, {"examples": [_describe(example) for example in examples]})


def heads_page(found: TextAttention, title: str, layer: int | None = None, head: int | None = None) -> str:
    """Return the HTML of a page that shows the heads of a transformer: a table of their figures, and each map.

    Args:
        found: the heads of all layers.
        title: the heading, plain text.
        layer: whose map is shown first; None is that of the head with the highest score.
        head: whose map is shown first; None is the mean of the layer.

    Raises:
        SaveError: the text is too long for one page.
    """
    if layer is None:
        layer, head = found.ranked[0].layer, found.ranked[0].head
    examples = layer_examples(found)
    data: dict[str, Any] = {
        "examples": [_describe(example) for example in examples],
        "heads": [
            {
                "layer": one.layer,
                "head": one.head,
                "role": one.role,
                "figures": [round(figure, DECIMALS) for figure in one.figures.values()],
            }
            for one in found.ranked
        ],
        "figures": list(found.heads[0].figures),
        "note": found.note,
        "shown": [layer, 0 if head is None or len(examples[0].maps) == 1 else head + 1],  # the mean is the first map
    }
    return make_page("attention", title, data)


def _describe(example: AttentionExample) -> dict[str, object]:
    return {
        "name": example.name,
        "source": example.shown_source,
        "target": example.shown_target,
        "unknown": UNKNOWN_NOTE if example.has_unknown else "",
        "maps": [{"name": name, "weights": weights.round(DECIMALS).tolist()} for name, weights in example.maps.items()],
    }

"""How a tokenizer is chosen and built. No torch, no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqgen.config import Config

TokenizerKind = Literal["char", "byte", "word", "unigram", "bpe"]
Normalization = Literal["none", "nfc", "nfd"]


class TokenizerConfig(Config):
    """Which tokenizer, and how large.

    Args:
        kind: what an id stands for.
        vocab_size: how many ids, including the boundary and the 256 byte pieces of unigram and bpe. None is the default
            of the kind, `auto` is chosen by `auto_size`. char and byte have a fixed size, and refuse one.
        character_coverage: unigram, bpe: the share of the text's characters that get pieces of their own; the rest is
            spelled in bytes.
        normalization: the Unicode form that a text is brought into before it is encoded; decoded text is then in NFC.
            In nfd a Hangul syllable is its jamo, so a char tokenizer has one id for each jamo.
        raw: byte: for files that are read as they are. It goes with `--encoding bytes` alone.
    """

    kind: TokenizerKind = "char"
    vocab_size: Annotated[int, Field(ge=2, le=1_000_000)] | Literal["auto"] | None = None
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1.0)  # what sentencepiece takes
    normalization: Normalization = "none"
    raw: bool = False

    @model_validator(mode="after")
    def _bytes_as_they_are(self) -> Self:
        if self.raw and self.kind != "byte":
            raise ValueError(f"tokenizer: --encoding bytes goes with the byte tokenizer, not {self.kind}")
        if self.raw and self.normalization != "none":
            raise ValueError("normalization: with --encoding bytes there is no text that could be normalized")
        return self


MIN_AUTO_SIZE, MAX_AUTO_SIZE = 512, 32_000
"""Bounds of the size of an `auto` vocabulary."""
MIN_EXAMPLES = 100
"""How often a text should contain each piece of an `auto` vocabulary."""
RARE_SHARE = 0.1
"""The share of its pieces that may be rarer: parts of others, and mistakes of the training."""
TOLERANCE = (0.75, 1.5)
"""What is close enough to `MIN_EXAMPLES`, as a multiple of it."""
MAX_BUILDS = 4
"""Vocabularies that are built to find the size, at most."""


def auto_size(characters: int, at_least: int, rarest: Callable[[int], float]) -> int:
    """Return the vocabulary size at which a text contains the rarest pieces about `MIN_EXAMPLES` times.

    The rule is from Gowda and May (2020): as large as possible while ids have 100 examples each. How often a text
    contains the rarest pieces is measured, as it depends on the script: Zipf's law, the first guess, with four
    characters for each token, allows 512 pieces for 1 MB of English; measured, it is 1,100.

    Args:
        characters: how many the text has.
        at_least: how many ids there are at any size.
        rarest: of a size, returns how often the text contains the rarest pieces, `RARE_SHARE` of them left out; called
            `MAX_BUILDS` times at most.
    """
    low, high = max(MIN_AUTO_SIZE, at_least), max(MAX_AUTO_SIZE, at_least)
    sizes = range(low, high, 100)
    size = max((size for size in sizes if size * math.log(size) * MIN_EXAMPLES * 4 <= characters), default=low)
    for _ in range(MAX_BUILDS):
        times = max(rarest(size), 1.0) / MIN_EXAMPLES
        following = min(max(round(size * times**0.4), low), high)  # twice the size: a quarter of the times, or less
        if TOLERANCE[0] <= times <= TOLERANCE[1] or following == size:
            break
        size = following
    return size

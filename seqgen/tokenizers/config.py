"""How a tokenizer is chosen and built. No torch, no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from seqgen.config import TEXT, Config, setting

TokenizerKind = Literal["char", "byte", "word", "unigram", "bpe"]
Normalization = Literal["none", "nfc", "nfd"]


def _parse_size(value: Any) -> Any:
    """Return a number from its digits, as the command line has it; other types are left for the field to check."""
    if not isinstance(value, str) or value == "auto":
        return value
    if not (value.isdecimal() and len(value) < 10):
        raise ValueError(f"should be a number or auto, not {value!r}")
    return int(value)


VocabSize = Annotated[Annotated[int, Field(ge=2, le=1_000_000)] | Literal["auto"] | None, BeforeValidator(_parse_size)]


class TokenizerConfig(Config):
    """Which tokenizer, and how large.

    `vocab_size` counts every id, the boundary and the 256 byte pieces of unigram and bpe included. None takes the
    default of the kind, `auto` what `auto_size` returns. char and byte refuse a size: that of char follows from the
    text, that of byte is 257. With a `normalization`, decoded text is in NFC.
    `raw` (byte) reads files as bytes; it is set by `--encoding bytes` and by that alone.
    `grow` (unigram, bpe) enlarges a `vocab_size` that is too small for the characters of the text, where it would be
    refused; it is set by `--tokenizer auto` and by that alone.
    `keep_rare` (word) keeps words that occur once; it is set by `seqgen embed train` with `--min-count 1` or
    `--lowercase`, and by that alone.
    """

    kind: TokenizerKind = setting(
        "char", "Kind of tokenizer.", TEXT, shown="char; byte with --encoding bytes", option="tokenizer"
    )
    vocab_size: VocabSize = setting(
        None,
        "word, unigram, bpe: vocabulary size; auto chooses it from the text.",
        TEXT,
        shown="2000; word 10000",
        metavar="N|auto",
        accepts=int | Literal["auto"] | None,
    )
    character_coverage: float = setting(
        0.9995, "unigram, bpe: share of characters that the vocabulary covers.", TEXT, ge=0.98, le=1.0
    )  # the bounds are sentencepiece's
    normalization: Normalization = setting(
        "none", "Unicode normalization form of the text; nfd splits Hangul into jamo.", TEXT
    )
    raw: bool = False
    grow: bool = False
    keep_rare: bool = False

    @model_validator(mode="after")
    def _bytes_as_they_are(self) -> Self:
        if self.raw and self.kind != "byte":
            raise ValueError(f"tokenizer: --encoding bytes goes with the byte tokenizer, not {self.kind}")
        if self.raw and self.normalization != "none":
            raise ValueError("normalization: --encoding bytes reads bytes, which cannot be normalized")
        return self


MIN_AUTO_SIZE, MAX_AUTO_SIZE = 512, 32_000
"""Limits of the size of an `auto` vocabulary."""
MIN_EXAMPLES = 100
"""Occurrences that each piece of an `auto` vocabulary should have in the text."""
RARE_SHARE = 0.1
"""Share of its pieces that may be rarer, such as parts of other pieces."""
TOLERANCE = (0.75, 1.5)
"""Bounds within which the occurrences are close enough, as multiples of `MIN_EXAMPLES`."""
MAX_BUILDS = 4


def auto_size(characters: int, at_least: int, rarest: Callable[[int], float]) -> int:
    """Return the vocabulary size, within bounds, whose rarest pieces occur about `MIN_EXAMPLES` times in the text.

    The rule is by Gowda and May (2020): as large as possible while ids have 100 examples each. The occurrences of the
    rarest pieces are measured, since they depend on the script: Zipf's law, the first guess, with four characters per
    token, gives 512 pieces for 1 MB of English, where 1,100 have enough examples.

    Args:
        characters: number of characters of the text.
        at_least: number of ids that any vocabulary has.
        rarest: returns for a size the occurrences of its rarest pieces, without the `RARE_SHARE` rarest; called at most
            `MAX_BUILDS` times.
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

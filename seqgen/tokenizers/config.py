"""How a tokenizer is chosen and built. No torch, no numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seqgen.settings import Settings

TokenizerKind = Literal["char", "byte", "word", "unigram", "bpe"]
Normalization = Literal["none", "nfc", "nfd"]


class TokenizerConfig(Settings):
    """Which tokenizer, and how large.

    `vocab_size` counts every id, the boundary and the 256 byte pieces of unigram and bpe included. None takes the
    default of the kind. char and byte have the size that the text or the byte has, and refuse one.
    `character_coverage` (unigram, bpe) is the share of the text's characters that get pieces of their own; the rest is
    spelled in bytes. `normalization` is the Unicode form that a text is brought into before it is cut; what is decoded
    is then in NFC. In nfd a Hangul syllable is its jamo, which makes a char tokenizer one of jamo.
    """

    kind: TokenizerKind = "char"
    vocab_size: int | None = Field(default=None, ge=2, le=1_000_000)
    character_coverage: float = Field(default=0.9995, gt=0.0, le=1.0)
    normalization: Normalization = "none"

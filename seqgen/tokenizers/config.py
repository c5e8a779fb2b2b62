"""How a tokenizer is chosen and built. No torch, no numpy."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from seqgen.settings import Settings

TokenizerKind = Literal["char", "byte", "word", "unigram", "bpe"]
Normalization = Literal["none", "nfc", "nfd"]


class TokenizerConfig(Settings):
    """Which tokenizer, and how large.

    `vocab_size` counts every id, the boundary and the 256 byte pieces of unigram and bpe included. None takes the
    default of the kind, `auto` what `auto_size` says. char and byte have the size that the text or the byte has, and
    refuse one.
    `character_coverage` (unigram, bpe) is the share of the text's characters that get pieces of their own; the rest is
    spelled in bytes. `normalization` is the Unicode form that a text is brought into before it is cut; what is decoded
    is then in NFC. In nfd a Hangul syllable is its jamo, which makes a char tokenizer one of jamo.
    """

    kind: TokenizerKind = "char"
    vocab_size: Annotated[int, Field(ge=2, le=1_000_000)] | Literal["auto"] | None = None
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1.0)  # what sentencepiece takes
    normalization: Normalization = "none"

    def size_for(self, characters: int) -> int | None:
        """How many ids are asked for, on a text of so many characters; None if the kind's own default is."""
        return auto_size(characters) if self.vocab_size == "auto" else self.vocab_size


SMALLEST, LARGEST = 512, 32_000
ENOUGH = 100
CHARACTERS_PER_TOKEN = 4


def auto_size(characters: int) -> int:
    """The largest vocabulary whose rarest id is seen about 100 times, in hundreds, from 512 to 32,000.

    The rule is of Gowda and May (2020): as large as can be while ids have 100 examples each. By Zipf's law the rarest
    of V ids stands for one in V ln V of the tokens, and a token is taken as 4 characters: 1 MB of text gives 512 ids,
    10 MB 3,012, 100 MB 24,712.
    """
    tokens = characters / CHARACTERS_PER_TOKEN
    fitting = [size for size in range(SMALLEST, LARGEST, 100) if size * math.log(size) * ENOUGH <= tokens]
    return max(fitting, default=SMALLEST)

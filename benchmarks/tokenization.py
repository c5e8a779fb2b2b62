"""Time text to ids next to a copy of the same bytes by one core."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from measuring import Row, Work, race

from seqgen import tokenizers
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig, TokenizerKind

TEXT = "".join(f"{number} bottles of beer on the wall, {number} bottles of beer.\n" for number in range(400_000))
MEGABYTES = len(TEXT) / 1e6
KINDS: tuple[TokenizerKind, ...] = ("char", "byte", "word", "unigram", "bpe")


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield a row for each kind of tokenizer."""
    del threads
    content = np.frombuffer(TEXT.encode(), np.uint8)
    out = np.empty_like(content)

    def copy() -> float:
        np.copyto(out, content)
        return MEGABYTES

    for kind in KINDS:
        tokenizer = tokenizers.build([TEXT[:500_000]], TokenizerConfig(kind=kind))
        # The slow tokenizers encode a tenth of the text.
        text = TEXT if kind in {"char", "byte"} else TEXT[: len(TEXT) // 10]

        def encode(tokenizer: Tokenizer = tokenizer, text: str = text) -> float:
            tokenizer.encode(text)
            return len(text) / 1e6

        contender: dict[str, Work] = {f"seqgen {kind}": encode}
        yield from race(f"text to ids, {kind}", "MB", contender, {"a copy of the bytes, one core": copy}, rounds)

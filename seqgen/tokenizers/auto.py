"""Choose the tokenizer for a text: what `--tokenizer auto` is. No torch, no numpy.

A function of the size of the training text, its script and the training time; docs/lab-notes.md has the sweep.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from seqgen.tokenizers.config import TokenizerKind

AUTO = "auto"
"""What the user names instead of a kind."""

_LETTER = re.compile(r"[^\W\d_]")
_WIDE_LETTER = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]")
"""Jamo, kana, Chinese characters, Hangul syllables."""
WIDE_SHARE = 0.25
"""Share of a text's letters that are Hangul, Chinese or kana from which its alphabet counts as large."""
SHORT_PAIR = 48
"""Mean characters of a side up to which pairs are read by character: attention aligns them one by one."""


class TextStatistics(NamedTuple):
    """What the defaults of a run are chosen by."""

    characters: int
    """Characters of the text."""
    has_large_alphabet: bool = False
    """Whether it is Korean, Chinese or Japanese: thousands of different characters, most of them rare."""
    pair_length: float | None = None
    """Of pairs, the mean characters of a side."""

    @classmethod
    def of(cls, characters: int, samples: Iterable[str], *, sides: int | None = None) -> Self:
        """Return the statistics of a text by its number of characters and samples of it; of pairs, also their sides."""
        letters = wide = 0
        for sample in samples:
            letters += len(_LETTER.findall(sample))
            wide += len(_WIDE_LETTER.findall(sample))
        return cls(characters, wide > WIDE_SHARE * letters, None if sides is None else characters / max(1, sides))


class Choice(NamedTuple):
    """A tokenizer, and from where on it is the best one."""

    characters: int
    """Characters of the text, at least."""
    seconds: float
    """Training time, at least; without a time this is not asked."""
    kind: TokenizerKind
    vocab_size: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `TokenizerConfig`."""
        if self.vocab_size is None:
            return {"kind": self.kind}
        return {"kind": self.kind, "vocab_size": self.vocab_size, "grow": True}


CHAR = Choice(0, 0.0, "char")
CHOICES = (
    Choice(8_000_000, 60.0, "bpe", 4_000),
    Choice(2_000_000, 20.0, "bpe", 2_000),
    Choice(350_000, 20.0, "bpe", 1_000),
    CHAR,
)
"""The first whose bounds a text reaches, for alphabets such as Latin, Cyrillic or code."""
LARGE_ALPHABET_CHOICES = (
    Choice(1_000_000, 20.0, "bpe", 2_000),
    CHAR,
)
"""The same for Korean, Chinese and Japanese."""
COUNTED_CHOICES = tuple(choice for choice in CHOICES if choice is CHAR or choice.characters >= 2_000_000)
"""For n-grams alone: those of characters predict the rest of a text better, up to 2 million characters at least."""
LONG_PAIRS = Choice(0, 0.0, "bpe", 2_000)
"""For pairs of sentences and paragraphs, of any number: hundreds of characters are too many to attend to."""


def choose_tokenizer(text: TextStatistics, seconds: float | None, *, is_counted: bool = False) -> Choice:
    """Return the tokenizer for a text.

    Args:
        text: its size, script and shape.
        seconds: the training time; None where steps or epochs set the length.
        is_counted: whether the model is n-grams alone, without a network; it changes nothing for large alphabets.
    """
    if text.pair_length is not None:
        return CHAR if text.pair_length <= SHORT_PAIR else LONG_PAIRS
    choices = COUNTED_CHOICES if is_counted else CHOICES
    if text.has_large_alphabet:
        choices = LARGE_ALPHABET_CHOICES
    return next(
        choice
        for choice in choices
        if text.characters >= choice.characters and (seconds is None or seconds >= choice.seconds)
    )

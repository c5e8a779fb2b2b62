"""Report how well outputs match their references: exact match, chrF, BLEU, and outputs that went wrong.

chrF (Popović 2015) and BLEU (Papineni et al. 2002) come from sacrebleu (Post 2018, "A call for clarity in reporting
BLEU scores"), the extra `bleu`. Its signature names version and settings: scores with different signatures cannot be
compared. BLEU counts words, which its tokenizer 13a splits as European languages need; for Korean, trust chrF.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Literal

from seqgen.errors import ConfigError, TextError

BLEU_WORDS = 4
"""Words in a row that BLEU compares at most."""
MOST_BINS = 10
"""Rows of the table of exact match by source length."""


@dataclass(frozen=True)
class ComparedTranslation:
    """The output of a model for one source, next to its reference."""

    source_length: int
    """Tokens of the source before any were cut, at least 1."""
    reference: str
    output: str
    finish_reason: Literal["stop", "length"]
    """`length`: the output reached the length limit before it ended."""
    source_cut: bool = False
    """Whether the model read only the first `--max-source-length` tokens."""


@dataclass(frozen=True)
class LengthBin:
    """The outputs for sources of `shortest` to `longest` tokens."""

    shortest: int
    longest: int
    matches: int
    total: int


@dataclass(frozen=True)
class Score:
    """A score of sacrebleu, from 0 to 100, and the signature that says how it was computed."""

    score: float
    signature: str


@dataclass(frozen=True)
class TranslationReport:
    """Figures of outputs against references."""

    pairs: int
    matches: int
    """Outputs that are the reference, character for character."""
    empty: int
    """Outputs without any character other than white space."""
    truncated: int
    """Outputs that reached the length limit before they ended."""
    sources_cut: int
    """Sources that were cut by `--max-source-length`."""
    by_source_length: tuple[LengthBin, ...]
    """From short to long, in bins as wide as the smallest of 1, 2, 5, 10, 20, 50 ... that makes at most `MOST_BINS`;
    a bin without sources is left out."""
    chrf: Score | None
    """None without sacrebleu."""
    bleu: Score | None
    """None without sacrebleu, and where no reference has four words: BLEU compares up to four in a row."""

    @property
    def exact_match(self) -> float:
        """The share of outputs that are the reference, character for character."""
        return self.matches / self.pairs

    def as_record(self) -> dict[str, Any]:
        """Return the figures as --json prints them."""
        return {"exact_match": self.exact_match, **asdict(self)}


def report_translations(
    translations: Sequence[ComparedTranslation], *, sacrebleu: bool | None = None
) -> TranslationReport:
    """Return the report of outputs against references.

    Args:
        translations: every output with its reference.
        sacrebleu: whether to compute chrF and BLEU; by default if sacrebleu is installed.

    Raises:
        TextError: there are no translations.
        ConfigError: `sacrebleu` is True, but it is not installed.
    """
    if not translations:
        raise TextError("there are no pairs to evaluate: the text has no source with a target")
    chrf, bleu = _sacrebleu_scores(translations, required=sacrebleu is True) if sacrebleu is not False else (None, None)
    return TranslationReport(
        pairs=len(translations),
        matches=sum(_is_exact(one) for one in translations),
        empty=sum(not one.output.strip() for one in translations),
        truncated=sum(one.finish_reason == "length" for one in translations),
        sources_cut=sum(one.source_cut for one in translations),
        by_source_length=_by_source_length(translations),
        chrf=chrf,
        bleu=bleu,
    )


def _is_exact(translation: ComparedTranslation) -> bool:
    return translation.output == translation.reference


def _by_source_length(translations: Sequence[ComparedTranslation]) -> tuple[LengthBin, ...]:
    width = _bin_width(max(one.source_length for one in translations))
    bins = [(one.source_length - 1) // width for one in translations]
    totals = Counter(bins)
    matches = Counter(number for number, one in zip(bins, translations, strict=True) if _is_exact(one))
    return tuple(
        LengthBin(number * width + 1, (number + 1) * width, matches[number], total)
        for number, total in sorted(totals.items())
    )


def _bin_width(longest: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50 ... that divides lengths from 1 to `longest` into few bins."""
    widths = (digit * int(10**power) for power in count() for digit in (1, 2, 5))
    return next(width for width in widths if width * MOST_BINS >= longest)


def _sacrebleu_scores(
    translations: Sequence[ComparedTranslation], *, required: bool
) -> tuple[Score | None, Score | None]:
    try:
        from sacrebleu import BLEU, CHRF
    except ModuleNotFoundError as error:
        if required:
            raise ConfigError(
                "chrF and BLEU need sacrebleu, which is not installed: pip install sacrebleu (the extra `bleu`)"
            ) from error
        return None, None
    outputs, references = [one.output for one in translations], [[one.reference for one in translations]]
    chrf, bleu = CHRF(), BLEU(force=True)  # force: no warning in the log about outputs that look tokenized
    chrf_score = Score(chrf.corpus_score(outputs, references).score, str(chrf.get_signature()))
    if not any(len(one.reference.split()) >= BLEU_WORDS for one in translations):
        return chrf_score, None
    return chrf_score, Score(bleu.corpus_score(outputs, references).score, str(bleu.get_signature()))

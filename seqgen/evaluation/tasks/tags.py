"""Report how well a tagger tags words: span F1 as conlleval computes it, or accuracy and macro-F1 of the tags.

Tags that are all O, B-X or I-X mark spans: B-X begins a span of type X, I-X continues it, O is outside of all. The
conlleval.pl of 2004 (Tjong Kim Sang and Buchholz 2000) also lets I-X begin a span, after O or after a span of
another type, so that IOB1 and IOB2 are scored alike. A span is correct if its first word, last word and type are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, TypeAlias

from seqgen.errors import TextError
from seqgen.evaluation.tasks.counts import Counts, macro_f1

Span: TypeAlias = tuple[int, int, str]
"""The first word, the word after the last, and the type."""


@dataclass(frozen=True)
class TagReport:
    """Figures of a tagger on sentences whose tags are known."""

    sentences: int
    tags: dict[str, Counts]
    """Words by tag; sorted."""
    spans: dict[str, Counts] | None
    """Spans by type, sorted; None if the tags do not mark spans."""

    @property
    def words(self) -> int:
        """The number of words."""
        return sum(counts.reference for counts in self.tags.values())

    @property
    def accuracy(self) -> float:
        """The share of words with the right tag."""
        return sum(counts.correct for counts in self.tags.values()) / self.words

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the tags that are in the reference or the output."""
        return macro_f1(self.tags.values())

    @property
    def all_spans(self) -> Counts | None:
        """The counts of spans of all types together; None if the tags do not mark spans."""
        if self.spans is None:
            return None
        found = self.spans.values()
        return Counts(
            sum(one.reference for one in found), sum(one.output for one in found), sum(one.correct for one in found)
        )

    def as_record(self) -> dict[str, Any]:
        """Return the figures as --json prints them."""
        overall = self.all_spans
        return {
            "sentences": self.sentences,
            "words": self.words,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "spans": None if overall is None else overall.as_record(),
            "types": {name: counts.as_record() for name, counts in (self.spans or {}).items()},
            "tags": {name: counts.as_record() for name, counts in self.tags.items()},
        }


def report_tags(references: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]) -> TagReport:
    """Return the report of a tagger. Each sentence is a sequence of tags, one for each word.

    Raises:
        TextError: there are no words.
    """
    reference, output = list(chain.from_iterable(references)), list(chain.from_iterable(outputs))
    if not reference:
        raise TextError("there are no words to evaluate: the text has no sentence with tags")
    if list(map(len, references)) != list(map(len, outputs)):
        raise ValueError("references and outputs must have the same sentences, with a tag for each word")
    tags = _count(reference, output, [tag for tag, other in zip(reference, output, strict=True) if tag == other])
    spans = _count_spans(references, outputs) if mark_spans(tags) else None
    return TagReport(len(references), tags, spans)


def _count_spans(references: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]) -> dict[str, Counts]:
    reference, output, correct = [], [], []
    for one, other in zip(references, outputs, strict=True):
        expected, found = set(find_spans(one)), set(find_spans(other))
        reference += [name for *_, name in expected]
        output += [name for *_, name in found]
        correct += [name for *_, name in expected & found]
    return _count(reference, output, correct)


def _count(reference: Iterable[str], output: Iterable[str], correct: Iterable[str]) -> dict[str, Counts]:
    """Return the counts of each name that is in the reference or the output, sorted by name."""
    total, found, right = Counter(reference), Counter(output), Counter(correct)
    return {name: Counts(total[name], found[name], right[name]) for name in sorted(total | found)}


def mark_spans(tags: Iterable[str]) -> bool:
    """Return whether all tags are O, B-X or I-X, with any X."""
    return all(tag == "O" or (tag[:2] in {"B-", "I-"} and len(tag) > len("B-")) for tag in tags)


def find_spans(tags: Sequence[str]) -> Iterator[Span]:
    """Yield the spans of a sentence whose tags are O, B-X or I-X, by the rules of conlleval."""
    framed = ["O", *tags, "O"]
    begins = [place for place, (before, tag) in enumerate(pairwise(framed)) if not _continues(before, tag)]
    for begin, end in pairwise(begins):
        if tags[begin] != "O":
            yield begin, end, tags[begin][2:]


def _continues(before: str, tag: str) -> bool:
    """Return whether a tag continues the span of the tag before it."""
    return tag.startswith("I-") and before[2:] == tag[2:]

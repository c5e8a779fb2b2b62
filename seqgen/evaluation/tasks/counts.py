"""Precision, recall and F1 from counts (van Rijsbergen 1979, "Information Retrieval", chapter 7)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Counts:
    """How often something is in the reference, in the output, and in both at the same place."""

    reference: int
    output: int
    correct: int

    @property
    def precision(self) -> float:
        """The share of the output that is correct; 0 if there is no output."""
        return self.correct / self.output if self.output else 0.0

    @property
    def recall(self) -> float:
        """The share of the reference that was found; 0 if there is no reference."""
        return self.correct / self.reference if self.reference else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if nothing is correct."""
        return 2 * self.correct / (self.reference + self.output) if self.correct else 0.0

    def as_record(self) -> dict[str, float]:
        """Return counts and figures as --json prints them."""
        return {
            "reference": self.reference,
            "output": self.output,
            "correct": self.correct,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }


def macro_f1(counts: Collection[Counts]) -> float:
    """Return the mean F1 of all classes that are in the reference or the output, each with the same weight.

    A class that is in neither is left out: its F1 is not defined. 0 if every class is left out.
    """
    return fmean([one.f1 for one in counts if one.reference or one.output] or [0.0])

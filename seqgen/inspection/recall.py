"""Measure over what distance a model remembers: the letters of `corpus:recall`, by the characters in between.

A record is `cab....|cab`: three letters, other characters, and the letters again. What comes after `|` is known only to
a model that has kept the letters in its state: the memory task of Hochreiter and Schmidhuber (1997).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.errors import ConfigError
from seqgen.runs.text import TextRun
from seqgen.sources.catalog.synthetic import LETTERS, RECALL_LENGTH
from seqgen.sources.source import LoadedDocuments

GUESSED = 1 / len(LETTERS)
"""The share of letters that a model without memory gets right."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recall:
    """How well the letters are recalled at each distance, [D] each."""

    distances: npt.NDArray[np.int64]
    """The numbers of characters between the letters and their copy, ascending."""
    accuracy: Values
    """The share of copied letters that the model held most probable."""
    bits: Values
    """The mean bits of a copied letter; 3 without memory, since there are eight."""

    def reach(self, accuracy: float) -> int | None:
        """Return the greatest distance up to which the accuracy is at least this; None if it is not at the first."""
        enough = np.append(self.accuracy >= accuracy, False)
        first_failure = int(np.argmin(enough))
        return int(self.distances[first_failure - 1]) if first_failure else None


def measure_recall(run: TextRun, records: Sequence[str]) -> Recall:
    """Measure the recall of records, which the model reads one after another as one text.

    Args:
        run: a run on `corpus:recall`, with a token for each character.
        records: of `corpus:recall`, each with its line end.

    Raises:
        ConfigError: the run has other tokens than characters.
    """
    found = run.surprisal(LoadedDocuments.of(["".join(records)]), tokens=True)
    tokens = next(iter(found.tokens or ()))
    lengths = np.array([len(record) for record in records])
    if len(tokens) - int(run.config.text.ends) != lengths.sum():
        raise ConfigError(f"run: {run.path} has other tokens than characters; train it with --tokenizer char")
    copied = np.cumsum(lengths)[:, None] - 1 - np.arange(RECALL_LENGTH, 0, -1)
    right, nats = tokens.rank[copied] == 1, tokens.nats[copied]
    distance = lengths - 2 * RECALL_LENGTH - 1
    distances = np.unique(distance)
    at = [distance == one for one in distances]
    return Recall(
        distances,
        np.array([right[one].mean() for one in at]),
        np.array([nats[one].mean() for one in at]) / math.log(2),
    )

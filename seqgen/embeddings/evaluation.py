"""Measure vectors by word pairs with human scores, and by analogy questions.

Word pairs are lines of two words and a score, between tabs or commas, as in WordSim-353 (Finkelstein et al. 2002) and
SimLex-999 (Hill et al. 2015). Questions are lines of four words, after lines `: NAME` that begin a section, as in
questions-words.txt (Mikolov et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqgen.embeddings.neighbors import Neighbors, unit_length
from seqgen.errors import TextError
from seqgen.sources.lines import split_lines
from seqgen.utils.files import read_at_most

MAX_FILE_BYTES = 1 << 27
"""questions-words.txt has 604,000 bytes."""
BLOCK_VALUES = 1 << 24
"""Similarities that are in memory at once."""
GRAMMAR = "gram"
"""How the sections of questions-words.txt begin whose questions are syntactic."""


class WordPair(NamedTuple):
    """Two words, and how similar people find them."""

    first: str
    second: str
    score: float


Question = tuple[str, str, str, str]
"""As in: Athens is to Greece as Oslo is to Norway."""


@dataclass(frozen=True)
class PairReport:
    """How well the similarities of words agree with scores of people."""

    spearman: float | None
    """The rank correlation over the pairs that are used; None if there are fewer than two different ones."""
    pairs: int
    used: int
    """Pairs whose words are both in the vocabulary."""
    missing: list[str]
    """The words that are not in the vocabulary, in the order of the file."""


@dataclass(frozen=True)
class SectionReport:
    """The answers to the questions of a section, or of several."""

    name: str
    questions: int
    used: int
    """Questions whose four words are all in the vocabulary."""
    correct: int

    @property
    def accuracy(self) -> float | None:
        """The share of the used questions with the expected answer; None without any."""
        return self.correct / self.used if self.used else None

    @classmethod
    def total(cls, name: str, sections: Iterable[SectionReport]) -> SectionReport:
        """Return the sums over `sections`."""
        counts = [(one.questions, one.used, one.correct) for one in sections]
        return cls(name, *(sum(count) for count in zip(*counts, strict=True))) if counts else cls(name, 0, 0, 0)


@dataclass(frozen=True)
class AnalogyReport:
    """The answers to analogy questions, by section."""

    sections: list[SectionReport]
    missing: list[str]
    """The words that are not in the vocabulary, in the order of the file."""

    @property
    def totals(self) -> list[SectionReport]:
        """The sums over all sections, and where some are named `gram...`, over those and over the others."""
        syntactic = [one for one in self.sections if one.name.startswith(GRAMMAR)]
        semantic = [one for one in self.sections if not one.name.startswith(GRAMMAR)]
        parts = {"semantic": semantic, "syntactic": syntactic} if syntactic and semantic else {}
        return [SectionReport.total(name, own) for name, own in {**parts, "total": self.sections}.items()]


def evaluate_file(
    path: Path, neighbors: Neighbors, progress: Callable[[int, int], None] = lambda *_: None
) -> PairReport | AnalogyReport:
    """Evaluate vectors by a file of word pairs or of questions; the latter begins with a line `: NAME`.

    A word that is not in the vocabulary stands for the first word there that differs in case alone.

    Args:
        path: the file.
        neighbors: the vectors.
        progress: receives the questions answered so far, and their total.

    Raises:
        TextError: the file cannot be read or has neither format; the message names the line.
    """
    try:
        text = read_at_most(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not valid UTF-8 at byte {error.start}; convert it to UTF-8 first") from error
    lines = {
        number: line for number, line in enumerate(split_lines(text), 1) if line.strip() and not line.startswith("#")
    }
    if not lines:
        raise TextError(f"{path} is empty; it should have word pairs with scores, or analogy questions")
    if next(iter(lines.values())).startswith(":"):
        return evaluate_analogies(neighbors, _parse_questions(path, lines), progress)
    return evaluate_pairs(neighbors, _parse_pairs(path, lines))


def _parse_pairs(path: Path, lines: Mapping[int, str]) -> list[WordPair]:
    """Return word pairs; the score is in the first column after the words that has numbers."""
    rows = {
        number: [field.strip().strip('"') for field in line.split("\t" if "\t" in line else ",")]
        for number, line in lines.items()
    }
    first, *others = rows.values()
    model = others[0] if others else first
    column = next((at for at in range(2, len(model)) if _number(model[at]) is not None), 2)
    pairs = []
    for place, (number, fields) in enumerate(rows.items()):
        score = _number(fields[column]) if column < len(fields) else None
        if score is not None:
            pairs.append(WordPair(fields[0], fields[1], score))
        elif place or len(fields) <= column or _is_float(fields[column]):  # else it names the columns
            raise TextError(
                f"{path}: line {number} should be two words and a score, between tabs or commas, or the file should "
                "begin with a section of questions, `: NAME`"
            )
    if not pairs:
        raise TextError(f"{path} has no word pairs, only the names of its columns")
    return pairs


def _number(field: str) -> float | None:
    return float(field) if _is_float(field) and math.isfinite(float(field)) else None


def _is_float(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _parse_questions(path: Path, lines: Mapping[int, str]) -> dict[str, list[Question]]:
    sections: dict[str, list[Question]] = {}
    own: list[Question] = []
    for number, line in lines.items():
        if line.startswith(":"):
            own = sections.setdefault(line[1:].strip(), [])
            continue
        words = line.split()
        if len(words) != 4:
            raise TextError(f"{path}: line {number} should be a question of four words, but has {len(words)}")
        own.append((words[0], words[1], words[2], words[3]))
    if not any(sections.values()):
        raise TextError(f"{path} has no questions, only the names of sections; a question is a line of four words")
    return sections


def evaluate_pairs(neighbors: Neighbors, pairs: Sequence[WordPair]) -> PairReport:
    """Compare the similarities of words with the scores of people; pairs with a missing word are left out."""
    rows = _rows_of(neighbors, (word for first, second, _ in pairs for word in (first, second)))
    similarities, scores = [], []
    for pair in pairs:
        first, second = rows[pair.first], rows[pair.second]
        if first is not None and second is not None:
            similarities.append(float(neighbors.units[first] @ neighbors.units[second]))
            scores.append(pair.score)
    missing = [word for word, row in rows.items() if row is None]
    return PairReport(spearman(similarities, scores), len(pairs), len(scores), missing)


def evaluate_analogies(
    neighbors: Neighbors,
    sections: Mapping[str, Sequence[Question]],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> AnalogyReport:
    """Answer questions by 3CosAdd; those with a missing word are left out.

    Neither the three given words nor words that differ from them in case alone are answers, as in gensim; the case of
    the answer does not count.
    """
    rows = _rows_of(neighbors, (word for questions in sections.values() for one in questions for word in one))
    total, done = sum(map(len, sections.values())), 0
    size = max(BLOCK_VALUES // len(neighbors.words), 1)
    reports = []
    for name, questions in sections.items():
        found = [[rows[word] for word in question] for question in questions]
        used = [one for one in found if None not in one]
        correct = 0
        for start in range(0, len(used), size):
            correct += _count_correct(neighbors, np.array(used[start : start + size], np.int64))
            progress(done + min(start + size, len(used)), total)
        done += len(questions)
        reports.append(SectionReport(name, len(questions), len(used), correct))
    return AnalogyReport(reports, [word for word, row in rows.items() if row is None])


def _rows_of(neighbors: Neighbors, words: Iterable[str]) -> dict[str, int | None]:
    return {word: neighbors.find_any_case(word) for word in dict.fromkeys(words)}


def _count_correct(neighbors: Neighbors, rows: npt.NDArray[np.int64]) -> int:
    """Return how many questions, as rows of the vocabulary [N, 4], have the expected answer."""
    units, groups = neighbors.units, neighbors.case_groups
    targets = unit_length(units[rows[:, 1]] - units[rows[:, 0]] + units[rows[:, 2]])
    similarities = targets @ units.T
    for given in groups[rows[:, :3]].T:
        similarities[groups == given[:, None]] = -np.inf
    best = similarities.argmax(1)
    found = similarities[np.arange(len(rows)), best] > -np.inf
    return int((found & (groups[best] == groups[rows[:, 3]])).sum())


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Return Spearman's rank correlation of two lists of numbers, where equal numbers share the mean of their ranks.

    It is Pearson's correlation of the ranks; None if all numbers of a list are equal, or there are fewer than two.
    """
    a, b = (_ranks(np.asarray(values, np.float64)) for values in (first, second))
    middle = (len(a) + 1) / 2
    a, b = a - middle, b - middle
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale else None


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rank of each value, from 1."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[place]
    return ranks

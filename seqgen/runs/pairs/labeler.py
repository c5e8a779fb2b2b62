"""A trained classifier or tagger, ready to predict and to be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from seqgen.data.labels import (
    Labels,
    PlacedPair,
    Tags,
    first_unknown,
    last_ids,
    place_tags,
    read_pairs,
    skipped_notice,
    unknown_labels,
)
from seqgen.data.pairs import Sequences
from seqgen.device import torch_threads
from seqgen.evaluation.labels import label_logits
from seqgen.evaluation.tasks.labels import Floats, LabelReport, log_softmax, report_labels
from seqgen.evaluation.tasks.tags import TagReport, report_tags
from seqgen.models.labeling.base import Labeler
from seqgen.runs.run import Run
from seqgen.sources.config import Reading
from seqgen.utils.text import plural

ROWS = 64
"""Texts that are labeled together."""


class Word(NamedTuple):
    """A word with its most probable tag, and the probabilities of all tags, the most probable first."""

    word: str
    tag: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class LabelPrediction:
    """What a classifier says of a text."""

    text: str
    probabilities: dict[str, float]
    """Of all labels, the most probable first; none for a text that is empty or white space."""
    source_cut: bool
    """Whether the text was longer than the model reads."""

    @property
    def label(self) -> str | None:
        """The most probable label."""
        return next(iter(self.probabilities), None)

    @property
    def line(self) -> str:
        """The label, as a line of output has it."""
        return self.label or ""

    def as_record(self) -> dict[str, Any]:
        """Return the prediction as --json prints it."""
        return {"label": self.label, "probabilities": self.probabilities, "source_cut": self.source_cut}


@dataclass(frozen=True)
class TagPrediction:
    """What a tagger says of the words of a text."""

    text: str
    words: tuple[Word, ...]
    source_cut: ClassVar[bool] = False

    @property
    def line(self) -> str:
        """The tags with a space between, as a line of output has them."""
        return " ".join(word.tag for word in self.words)

    def as_record(self) -> dict[str, Any]:
        """Return the prediction as --json prints it."""
        return {"words": [word._asdict() for word in self.words]}


Prediction: TypeAlias = LabelPrediction | TagPrediction


class Logits(NamedTuple):
    """The logits of a text: [1, L], or of a tagger [words, L]; [0, L] of an empty text."""

    logits: Floats
    source_cut: bool


class LabelerRun(Run):
    """A trained classifier or tagger with its tokenizer."""

    model: Labeler
    tasks = ("classify", "tag")
    commands = "seqgen predict or seqgen eval"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, or the tags, that the model chooses from."""
        return self.model.config.labels

    @property
    def temperature(self) -> float:
        """The number that logits are divided by; fitted on the validation part, 1 without one."""
        return float(self.model.temperature)

    def predict(self, texts: Iterable[str], *, rows: int = ROWS) -> Iterator[Prediction]:
        """Yield a prediction for each text, in order.

        Args:
            texts: one document each for a classifier, one sentence each for a tagger, whose words have white space
                between. They may come from a stream: `rows` of them are read before the first prediction.
            rows: texts that are labeled together. Predictions do not depend on it, except for rounding.
        """
        remaining = iter(texts)
        while batch := list(islice(remaining, rows)):
            yield from (self._prediction(text, *found) for text, found in zip(batch, self._logits(batch), strict=True))

    def evaluate_pairs(
        self,
        path: str | Path | None = None,
        reading: Reading | None = None,
        *,
        note: Callable[[str], None] = lambda _: None,
        progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> LabelReport | TagReport:
        """Compare predictions with the labels or tags of a file, by default those of the validation part.

        Args:
            path: a file of texts with their labels, or of sentences with their tags, or `corpus:NAME:PART`.
            reading: how the file is read; None is by `settings`, the fields of `Reading`.
            note: receives what was skipped or cut, a sentence each.
            progress: receives how many tokens were read, and their total.
            settings: as of `reading`. `on_bad_line` also says what happens to pairs with a label that the training part
                does not have; for the validation part it is that of the training.

        Raises:
            TextError: the file cannot be read, or has a label that the training part does not have.
            ConfigError: a setting is unknown or impossible.
            RunError: the run has no validation part, or its text has changed.
        """
        reading = reading or self.reading(**settings)
        on_bad_line = self.config.data.on_bad_line if path is None else reading.on_bad_line
        pairs = self._known(self._pairs(path, reading, note), note, skip=on_bad_line == "skip")
        found = self._logits([pair.source for pair in pairs], progress)
        if cut := sum(one.source_cut for _, one in zip(pairs, found, strict=True)):
            note(f"{plural(cut, 'text is', 'texts are')} longer than --max-source-length, and cut")
        logits = [one.logits for one in found]
        if self.config.data.task == "classify":
            number = {label: index for index, label in enumerate(self.labels)}
            targets = np.array([number[pair.target] for pair in pairs], dtype=np.int64)
            together = np.concatenate([np.empty((0, len(self.labels))), *logits])
            return report_labels(together, targets, self.labels, self.temperature)
        made = [[self.labels[index] for index in one.argmax(1).tolist()] for one in logits]
        return report_tags([pair.target.split(" ") for pair in pairs], made)

    def _pairs(self, path: str | Path | None, reading: Reading, note: Callable[[str], None]) -> Iterable[PlacedPair]:
        if path is not None:
            return read_pairs([str(path)], reading, note)
        texts = iter(self.validation_texts())
        return (PlacedPair(source, next(texts), "the validation part") for source in texts)

    def _known(self, pairs: Iterable[PlacedPair], note: Callable[[str], None], *, skip: bool) -> list[PlacedPair]:
        """Return the pairs whose labels the model has; refuse the others, or skip and count them."""
        task, known = self.config.data.task, set(self.labels)
        kept, unknown = [], []
        for pair in pairs:
            foreign = first_unknown(task, pair.target, known)
            if foreign is None:
                kept.append(pair)
            else:
                unknown.append((foreign, pair.place))
        if unknown and not skip:
            raise unknown_labels(unknown, task)
        if unknown:
            label, place = unknown[0]
            note(skipped_notice(len(unknown), task, f"{place} has {label!r}"))
        return kept

    def _logits(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[Logits]:
        """Return the logits of each text, or of each of its words."""
        is_tagger = self.config.data.task == "tag"
        read = [" ".join(text.split()) if is_tagger else text for text in texts]
        ids = [self.tokenizer.encode(text if text.strip() else "") for text in read]
        kept = [number for number, one in enumerate(ids) if len(one)]
        none = np.empty((0, len(self.labels)), dtype=np.float32)
        found = [Logits(none, source_cut=False)] * len(texts)
        if not kept:
            return found
        sources = Sequences.of(ids[number] for number in kept)
        places = [last_ids(read[number], self.tokenizer) if is_tagger else np.zeros(1, np.int64) for number in kept]
        targets = [np.zeros(len(at), np.int32) for at in places]  # any: only their places matter
        if is_tagger:
            targets = list(map(place_tags, sources.lengths.tolist(), places, targets))
        pairs = (Tags if is_tagger else Labels)(sources, Sequences.of(targets))
        with torch_threads(self._threads):
            made = label_logits(self.model, pairs, progress=progress)
        limit = self.model.config.source_limit
        for number, at, logits in zip(kept, places, made, strict=True):
            # The logits are those of different places, in order; two words may have the same place.
            of_words = logits[np.unique(at, return_inverse=True)[1]]
            found[number] = Logits(of_words, source_cut=limit is not None and len(ids[number]) > limit)
        return found

    def _prediction(self, text: str, logits: Floats, source_cut: bool) -> Prediction:
        shares = np.exp(log_softmax(logits.astype(np.float64) / self.temperature))
        ranked = [
            {self.labels[index]: float(row[index]) for index in np.argsort(-row, kind="stable").tolist()}
            for row in shares
        ]
        if self.config.data.task == "classify":
            return LabelPrediction(text, ranked[0] if ranked else {}, source_cut)
        words = zip(text.split(), ranked, strict=True)
        return TagPrediction(text, tuple(Word(word, next(iter(tags)), tags) for word, tags in words))

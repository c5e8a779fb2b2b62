"""Labels of texts and tags of words, as indices in a closed set: pairs whose targets are not text.

A tag is at the last id of its word: a model that reads one way has then read all of the word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from seqgen.data.batches import FILLER, Batch
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.cache.cached_text import Span
from seqgen.data.documents import Documents
from seqgen.data.pairs import Integers, Pairs, Sequences
from seqgen.data.pipeline import Texts
from seqgen.errors import TextError
from seqgen.models.base import IGNORED
from seqgen.sources.config import EXAMPLES, Reading, Task
from seqgen.sources.names import expand_names, is_read_once, reject_unused_settings
from seqgen.sources.source import Source, issue_notices
from seqgen.tokenizers.base import BOUNDARY, Tokenizer
from seqgen.tokenizers.normalization import normalize
from seqgen.utils.text import plural, without_surrogates

MAX_LABEL_BYTES = 1 << 19
"""The most bytes of all labels together in config.json."""
JSON_BYTES = 16
"""What config.json has around each label: indentation, quotes, a comma."""
MIN_TEXTS = 20
"""With fewer texts, a file is not refused for its number of labels."""
SHOWN_PLACES = 5
"""Places of unknown labels that a message names."""


class Labels(Pairs):
    """Texts and the label of each: its index is the only target, at 0."""

    @property
    def tokens(self) -> int:
        return len(self)

    def batch(self) -> Batch:
        boundary = torch.full((len(self), 1), BOUNDARY)
        return _batch(self, boundary, torch.from_numpy(self.targets.filled(IGNORED)))


class Tags(Pairs):
    """Sentences and the tags of their words: each id has a target, `IGNORED` where no word ends."""

    @property
    def tokens(self) -> int:
        return sum(int((self.targets[number] != IGNORED).sum()) for number in range(len(self)))

    def batch(self) -> Batch:
        boundary = torch.full((len(self), 1), BOUNDARY)
        targets = torch.from_numpy(self.targets.filled(IGNORED))
        inputs = torch.cat([boundary, torch.from_numpy(self.sources.filled(FILLER))], 1)
        return _batch(self, inputs, torch.cat([torch.full_like(boundary, IGNORED), targets], 1))

    def show(self, number: int, targets: Sequence[str], tokenizer: Tokenizer) -> str:
        """Return a sentence with tags: `word/tag word/tag`."""
        ends = np.flatnonzero(self.targets[number] != IGNORED) + 1
        words = np.split(self.sources[number], ends)[: len(ends)]
        return " ".join(f"{tokenizer.decode(word).strip()}/{tag}" for word, tag in zip(words, targets, strict=True))


def _batch(pairs: Pairs, inputs: torch.Tensor, targets: torch.Tensor) -> Batch:
    source = torch.from_numpy(pairs.sources.filled(FILLER))
    return Batch(inputs, targets, inputs == BOUNDARY, source, torch.from_numpy(pairs.sources.lengths.copy()))


def label_pairs(
    task: Task,
    sources: Sequences,
    texts: Iterable[str],
    targets: Iterable[str],
    labels: Sequence[str],
    tokenizer: Tokenizer,
) -> Pairs:
    """Return texts with their labels, or sentences with their tags, as indices in `labels`.

    Args:
        task: classify or tag.
        sources: the ids of the texts.
        texts: the texts.
        targets: the label of each text, or the tags of its words with a space between.
        labels: all labels, sorted.
        tokenizer: of the texts.
    """
    index = {label: number for number, label in enumerate(labels)}
    if task == "classify":
        return Labels(sources, Sequences.of(np.array([index[label]], dtype=np.int32) for label in targets))
    rows = zip(range(len(sources)), texts, targets, strict=True)
    return Tags(
        sources,
        Sequences.of(
            place_tags(len(sources[number]), last_ids(text, tokenizer), [index[tag] for tag in tags.split(" ")])
            for number, text, tags in rows
        ),
    )


def place_tags(length: int, places: Integers, tags: Sequence[int] | npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the targets of a sentence of `length` ids: the tag of each word at its place, and `IGNORED` elsewhere."""
    targets = np.full(length, IGNORED, dtype=np.int32)
    targets[places] = tags
    return targets


def last_ids(text: str, tokenizer: Tokenizer) -> Integers:
    """Return the place of the last id of each word among the ids of a text: int64 [words].

    Words have one space between. They are found in the text that each id encodes, so a word of several ids, an id of
    several bytes of a character and an unknown word are all placed exactly. Two words in one id have the same place.
    """
    words = without_surrogates(text).split(" ")
    ends = np.cumsum([len(normalize(word, tokenizer.normalization)) + 1 for word in words]) - 1
    read = np.cumsum([len(piece) for piece in tokenizer.token_texts(text)])
    return np.searchsorted(read, ends)


def labels_of(task: Task, targets: Iterable[str]) -> tuple[str, ...]:
    """Return the labels, or the tags, that occur in targets, sorted."""
    found: set[str] = set()
    for target in targets:
        found.update(names_in(task, target))
    return tuple(sorted(found))


def names_in(task: Task, target: str) -> list[str]:
    """Return the label, or the tags, of a target."""
    return target.split(" ") if task == "tag" else [target]


def first_unknown(task: Task, target: str, known: Collection[str]) -> str | None:
    """Return the first label or tag of a target that is not known, or None if all are."""
    return next((name for name in names_in(task, target) if name not in known), None)


@dataclass(frozen=True)
class LabeledTexts:
    """Both parts of a corpus with their labels."""

    labels: tuple[str, ...]
    """Sorted."""
    train: Pairs
    valid: Pairs | None
    notices: list[str]
    """What the user should know, a sentence each."""


def label_texts(
    texts: Texts, ids: CachedIds, tokenizer: Tokenizer, labels: tuple[str, ...] | None = None
) -> LabeledTexts:
    """Return the labels of both parts.

    Args:
        texts: their split.
        ids: of their sources.
        tokenizer: which made the ids.
        labels: the labels of an existing model. Without them, the labels of the training part are used.

    Raises:
        TextError: there is one label or there are far too many, or a part has a label that is not known, and
            `on_bad_line` does not skip such pairs.
    """
    task, split = texts.data.task, texts.split
    if labels is None:
        labels = labels_of(task, split.train.every(2, 1).texts())
        _check_labels(labels, len(ids.train) if task == "classify" else None)
    train, skipped = _label_part(texts, split.train, ids.train, labels, tokenizer)
    valid = None
    if len(split.valid.ranges):
        valid, more = _label_part(texts, split.valid, ids.valid, labels, tokenizer)
        skipped += more
    notices = _header_notice(split.train.every(2, 1)) if task == "classify" else []
    if skipped:
        notices.append(skipped_notice(len(skipped), task, skipped[0]))
    return LabeledTexts(labels, train, valid if valid is not None and len(valid) else None, notices)


def _header_notice(labels: Span) -> list[str]:
    """Say that the first line may be a header if no other text has its label."""
    first, *others = labels.texts()
    if first in others:
        return []
    return [f"no other text has the label of the first, {first!r}; if it is the header of a table, delete that line"]


def _check_labels(labels: tuple[str, ...], texts: int | None) -> None:
    """Refuse labels that cannot be learned; `texts` is how many texts have one label each."""
    if len(labels) == 1:
        raise TextError(f"every text has the label {labels[0]!r}, so there is nothing to learn; give texts with others")
    are_rare = texts is not None and texts >= MIN_TEXTS and 2 * len(labels) > texts
    if are_rare or sum(len(label.encode()) + JSON_BYTES for label in labels) > MAX_LABEL_BYTES:
        of_texts = f" in {plural(texts, 'text')}" if texts is not None else ""
        raise TextError(
            f"the training part has {len(labels):,} different labels{of_texts}, such as {labels[0][:60]!r}: too many "
            "to choose from; to write a text for each text, use --task translate"
        )


def _label_part(
    texts: Texts, part: Span, ids: Documents, labels: tuple[str, ...], tokenizer: Tokenizer
) -> tuple[Pairs, list[str]]:
    """Return the pairs of a part, and a sentence about each that is skipped because its label is not known."""
    task, known = texts.data.task, set(labels)
    targets = list(part.every(2, 1).texts())
    firsts = (first_unknown(task, target, known) for target in targets)
    unknown = {number: name for number, name in enumerate(firsts) if name is not None}
    sources, read = Sequences.of_documents(ids), part.every(2)
    if unknown:
        places = _places(texts, part, list(unknown))
        found = [(name, places[number]) for number, name in unknown.items()]
        if texts.data.on_bad_line != "skip":
            raise unknown_labels(found, task)
        kept = np.array([number for number in range(len(targets)) if number not in unknown], dtype=np.int64)
        sources, read = sources.select(kept), Span(read.text, read.ranges[kept])
        targets = [targets[number] for number in kept]
    made = label_pairs(task, sources, read.texts(), targets, labels, tokenizer)
    return made, [f"{places[number]} has {name!r}" for number, name in unknown.items()]


def _places(texts: Texts, part: Span, numbers: Sequence[int]) -> dict[int, str]:
    """Return where the pairs of a part with these numbers are in their files."""
    begins = part.ranges[::2, 0][list(numbers)]
    of_text = (np.searchsorted(part.text.documents, begins) // 2).tolist()
    data = texts.data
    names = data.text if part.text is texts.text or data.valid is None else (data.valid,)
    places = {number: f"{EXAMPLES[data.task]} {place + 1:,}" for number, place in zip(numbers, of_text, strict=True)}
    if any(map(is_read_once, names)):
        return places
    wanted = dict(zip(of_text, numbers, strict=True))
    found = enumerate(read_pairs(names, data))
    return {**places, **{wanted[place]: pair.place for place, pair in found if place in wanted}}


class PlacedPair(NamedTuple):
    """A pair, and where it is: `the text on line 3 of a.tsv`."""

    source: str
    target: str
    place: str


def read_pairs(
    names: Sequence[str], reading: Reading, note: Callable[[str], None] = lambda _: None
) -> Iterator[PlacedPair]:
    """Yield the pairs of named texts with their places; arguments and errors as of `sources.source.read_documents`."""
    reject_unused_settings(names, reading)
    for name in expand_names(names, reading):
        source = Source(name, reading)
        with contextlib.closing(source.documents()) as documents:
            for chunks in documents:
                text = "".join(chunks)
                yield PlacedPair(text, "".join(next(documents)), source.place)
        for message in issue_notices(source.name, source.issues, reading):
            note(message)


def unknown_labels(found: Sequence[tuple[str, str]], task: Task) -> TextError:
    """Return the error that labels are not known: each with its place."""
    first = "; ".join(f"{place} has {label!r}" for label, place in found[:SHOWN_PLACES])
    more = f"; and {len(found) - SHOWN_PLACES:,} more" if len(found) > SHOWN_PLACES else ""
    example, kind = EXAMPLES[task], _kind(task)
    return TextError(
        f"{plural(len(found), f'{example} has', f'{example}s have')} a {kind} that the training part does not have: "
        f"{first}{more}; to skip such {example}s, give --on-bad-line skip"
    )


def skipped_notice(count: int, task: Task, first: str) -> str:
    """Say that texts or sentences are skipped because their labels are not known; `first` is the first of them."""
    example, kind = EXAMPLES[task], _kind(task)
    skipped = plural(count, f"{example} is", f"{example}s are")
    return f"{skipped} skipped, with a {kind} that the training part does not have; the first: {first}"


def _kind(task: Task) -> str:
    return "tag" if task == "tag" else "label"

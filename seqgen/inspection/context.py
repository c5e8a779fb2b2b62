"""Context: how far back a model looks, by what the same tokens cost when it sees less, or when that is disturbed.

The measures are those of Khandelwal et al. 2018, "Sharp nearby, fuzzy far away: how neural language models use
context": the loss when a model sees only the last n tokens before each target, and the loss when what lies more than k
tokens back is dropped, shuffled or replaced. They need nothing of a model but probabilities, so they compare all
families.

The targets are stretches of a text: the shortest ones that begin and end where tokens of every run begin and end. For
runs with one tokenizer a stretch is a token. Those of several tokens cost what their tokens cost together, each with
the last n tokens before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch

from seqgen.data.documents import Documents
from seqgen.device import evaluation_mode
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.scoring import nats_by_document, plan_segments, score
from seqgen.evaluation.segments import Segments
from seqgen.models.base import LanguageModel
from seqgen.runs.run import short_names
from seqgen.runs.text import TextRun

LONGEST = 512
"""Tokens of the longest context."""
DISTURBED = 256
"""Tokens of the context of which a part is disturbed, or fewer."""
DISTANCES = (5, 10, 20, 50, 100, 200)
"""How many of the last tokens stay as they are, while those before them are disturbed."""
TARGETS = 200
"""Stretches whose loss is measured."""
LEAST_SHARE = 0.25
"""The share of a text that must have the longest context before it; in short documents the longest is shorter."""
NEAR_BEST = 1.01
"""A loss of so many times the best one is as good, for the horizons."""
ROWS, CELLS = 256, 1 << 15
"""The most contexts, and tokens of them, in one call of a model."""

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Unit: TypeAlias = Literal["nats per token", "bits per byte"]
UNITS: tuple[Unit, ...] = get_args(Unit)
Progress: TypeAlias = Callable[[int, int], None]


class Estimate(NamedTuple):
    """A mean over the sampled stretches, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class ContextLosses:
    """What S stretches of a text cost a run, in nats, by the context that it sees before each of their tokens."""

    name: str
    """Of the run."""
    document: Integers
    """The number of the document of each stretch, [S]."""
    position: Integers
    """The number of the first token of each stretch in its document, [S]."""
    tokens: Integers
    """The tokens of each stretch, [S]."""
    bytes: Integers
    """The bytes of each stretch, [S]."""
    spelling: Floats
    """What it takes to spell the `<unk>` of each stretch, in nats, [S]."""
    whole: Floats
    """[S]; with all of the document before it, or as much as the model's positions allow."""
    lengths: tuple[int, ...]
    """L numbers of tokens, ascending."""
    by_length: Floats
    """[L, S]; with only so many tokens."""
    disturbed: int
    """Tokens of the context of which a part is disturbed; one of `lengths`."""
    distances: tuple[int, ...]
    """D numbers of the last tokens, which stay as they are."""
    dropped: Floats
    """[D, S]; without the tokens before them."""
    shuffled: Floats
    """[D, S]; with the tokens before them in random order."""
    replaced: Floats
    """[D, S]; with tokens from elsewhere in the text in place of those before them."""

    @property
    def undisturbed(self) -> Floats:
        """The nats with the context that is disturbed elsewhere, [S]."""
        found: Floats = self.by_length[self.lengths.index(self.disturbed)]
        return found

    def loss(self, nats: Floats, unit: Unit) -> Estimate:
        """Return `nats` [S] per token, or with the spelling of `<unk>` as bits per byte, which compares tokenizers."""
        if unit == "nats per token":
            return _ratio(nats, self.tokens)
        return _ratio((nats + self.spelling) / math.log(2), self.bytes)

    def added(self, nats: Floats, unit: Unit) -> Estimate:
        """Return what `nats` [S], of a disturbed context, are more than those of the undisturbed one."""
        more = nats - self.undisturbed
        return _ratio(more, self.tokens) if unit == "nats per token" else _ratio(more / math.log(2), self.bytes)

    @property
    def disturbances(self) -> dict[str, Floats]:
        """The nats [D, S] by what happened to the tokens further back."""
        return {"dropped": self.dropped, "shuffled": self.shuffled, "replaced": self.replaced}

    @property
    def horizon(self) -> int | None:
        """The shortest length whose loss is within 1% of the best; None if only the whole context is."""
        found = self.by_length.sum(1)
        return _first_near(self.lengths, found, min(found.min(), self.whole.sum()))

    @property
    def order_horizon(self) -> int | None:
        """The least distance beyond which the order of the tokens changes the loss by less than 1%; None if none is."""
        return _first_near(self.distances, self.shuffled.sum(1), self.undisturbed.sum())

    @property
    def replacement_horizon(self) -> int | None:
        """The least distance beyond which tokens from elsewhere change the loss by less than 1%; None if none is."""
        return _first_near(self.distances, self.replaced.sum(1), self.undisturbed.sum())


def disturbed_lengths(found: Sequence[ContextLosses]) -> str:
    """Return in words of how many tokens a part is disturbed; it differs where positions are limited."""
    return " or ".join(map(str, sorted({one.disturbed for one in found})))


def common_unit(found: Sequence[ContextLosses]) -> Unit:
    """Return the unit in which losses of the same stretches can be compared.

    It is nats per token where every run has as many tokens in every stretch, and several have no `<unk>`.
    """
    first, *others = found
    same = all(np.array_equal(first.tokens, other.tokens) for other in others)
    known = not others or not any(one.spelling.any() for one in found)
    return "nats per token" if same and known else "bits per byte"


def _ratio(values: Floats, sizes: Integers) -> Estimate:
    """Return the ratio of two sums over sampled stretches, and its standard error (by the delta method)."""
    ratio = float(values.sum() / sizes.sum())
    spread = float(((values - ratio * sizes) ** 2).sum()) * len(sizes) / (len(sizes) - 1)
    return Estimate(ratio, math.sqrt(spread) / float(sizes.sum()))


def _first_near(places: Sequence[int], losses: Floats, best: float) -> int | None:
    near = np.flatnonzero(losses <= NEAR_BEST * best)
    return places[near[0]] if len(near) else None


def measure_context(
    runs: Sequence[TextRun],
    documents: Sequence[str],
    *,
    targets: int = TARGETS,
    longest: int = LONGEST,
    seed: int = 1,
    progress: Progress = lambda *_: None,
) -> list[ContextLosses]:
    """Return what the same stretches of a text cost each run, by the context that it sees.

    The stretches are drawn among all that have the longest context before them in their document. Contexts double from
    one token to `longest`, or to as many tokens as a quarter of all stretches have before them.

    Args:
        runs: any that continue texts, with any tokenizers that write a text in the same Unicode form.
        documents: the text.
        targets: how many stretches are drawn, or all if there are fewer.
        longest: tokens of the longest context that is cut off.
        seed: of the draws.
        progress: receives how many tokens were read, and their total.

    Raises:
        ConfigError: the runs read different characters; one is of bytes, or of another Unicode form.
        TextError: the text is too short.
    """
    documents = list(filter(None, documents))
    if targets < 2 or longest < 1:
        raise ConfigError(f"targets: should be 2 or more, and longest 1 or more, not {targets} and {longest}")
    if not documents:
        raise TextError("the text is empty; name a text")
    texts = [[run.tokenizer.token_texts(document) for document in documents] for run in runs]
    _check_same_characters(runs, texts)
    places = _find_stretches(texts)
    lengths, eligible = _choose_lengths(places, longest)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(eligible, min(targets, len(eligible)), replace=False))
    done = 0

    def count(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress(done, total)

    readers = [
        _Reader(run, documents, of_run, place.take(chosen), lengths, count)
        for run, of_run, place in zip(runs, texts, places, strict=True)
    ]
    total = sum(reader.work for reader in readers)
    return [reader.measure(name, seed) for name, reader in zip(short_names(runs), readers, strict=True)]


def _check_same_characters(runs: Sequence[TextRun], texts: Sequence[Sequence[Sequence[str]]]) -> None:
    """Refuse runs whose tokens, joined, are not the same text."""
    first, *others = (
        [run.tokenizer.text_encoding, *("".join(document) for document in of_run)]
        for run, of_run in zip(runs, texts, strict=True)
    )
    for run, other in zip(runs[1:], others, strict=True):
        if other != first:
            raise ConfigError(
                f"{run.path} reads other characters of this text than {runs[0].path}: bytes, or another Unicode "
                "form (--normalization); compare runs that read the same"
            )


@dataclass(frozen=True)
class _Stretches:
    """Where stretches are in the tokens of a run, [S] each: tokens [first, stop) of a document."""

    document: Integers
    first: Integers
    stop: Integers

    def take(self, index: Integers) -> _Stretches:
        return _Stretches(self.document[index], self.first[index], self.stop[index])


def _find_stretches(texts: Sequence[Sequence[Sequence[str]]]) -> list[_Stretches]:
    """Return the shortest stretches that begin and end at tokens of every run, as each run has them.

    Args:
        texts: the characters of each token, by run and document.
    """
    found: list[list[tuple[Integers, Integers, Integers]]] = [[] for _ in texts]
    for number, of_document in enumerate(zip(*texts, strict=True)):
        stops = [np.cumsum([len(token) for token in tokens], dtype=np.int64) for tokens in of_document]
        common = reduce(np.intersect1d, [np.unique(np.append(0, ends)) for ends in stops])
        for kept, ends in zip(found, stops, strict=True):
            starts = np.append(0, ends)[:-1]  # a token without characters begins what the next one completes
            edges = np.searchsorted(starts, common)
            kept.append((np.full(len(common) - 1, number), edges[:-1], edges[1:]))
    return [_Stretches(*(np.concatenate(column) for column in zip(*kept, strict=True))) for kept in found]


def _choose_lengths(places: Sequence[_Stretches], longest: int) -> tuple[list[int], Integers]:
    """Return the lengths of contexts, and the stretches that have the longest of them before them in all runs."""
    before: Integers = np.min([place.first for place in places], axis=0)
    doubled = [1 << power for power in range(longest.bit_length())]
    for length in sorted({*doubled, longest}, reverse=True):
        eligible = np.flatnonzero(before >= length)
        if len(eligible) >= max(2, LEAST_SHARE * len(before)):
            return [one for one in sorted({*doubled, longest}) if one <= length], eligible
    raise TextError("the text is too short: fewer than two tokens have another before them; name a longer text")


class _Reader:
    """A run, the sampled stretches as its tokens, and what they cost with any context before them."""

    def __init__(
        self,
        run: TextRun,
        documents: Sequence[str],
        texts: Sequence[Sequence[str]],
        stretches: _Stretches,
        lengths: Sequence[int],
        count: Callable[[int], None],
    ) -> None:
        self._model: LanguageModel = run.model
        self._tokenizer = run.tokenizer
        self._documents = Documents.of(run.tokenizer.encode(document) for document in documents)
        self._stretches, self._count = stretches, count
        self._sizes = stretches.stop - stretches.first
        self._stretch = np.repeat(np.arange(len(self._sizes)), self._sizes)
        offset = np.arange(len(self._stretch)) - np.repeat(np.cumsum(self._sizes) - self._sizes, self._sizes)
        self._document = stretches.document[self._stretch]
        self._position = stretches.first[self._stretch] + offset
        self._place = self._documents.starts[self._document] + self._position  # among all ids
        self._texts = [texts[at][place] for at, place in zip(self._document, self._position, strict=True)]
        limit = self._model.max_positions or math.inf
        self._lengths = tuple(length for length in lengths if length <= limit)
        self._disturbed = max(length for length in self._lengths if length <= DISTURBED)
        self._distances = tuple(distance for distance in DISTANCES if distance <= self._disturbed - 2)

    @property
    def work(self) -> int:
        """How many tokens `measure` reads."""
        contexts = sum(self._lengths) + sum(self._distances) + 2 * self._disturbed * len(self._distances)
        return len(self._place) * contexts + self._whole_work

    @property
    def _whole_work(self) -> int:
        limit = self._model.max_positions
        return self._documents.tokens if limit is None else limit * len(self._place)

    def measure(self, name: str, seed: int) -> ContextLosses:
        """Return what the stretches cost; the seed is of the order of shuffled tokens."""
        rng = np.random.default_rng(seed)
        whole = self._nats_of_whole()
        by_length = np.stack([self._nats_after(self._windows(length)) for length in self._lengths])
        context = self._windows(self._disturbed)
        elsewhere = np.roll(context, max(1, len(context) // 2), axis=0)
        disturbed = np.zeros((3, len(self._distances), len(self._sizes)))
        for number, distance in enumerate(self._distances):
            far, near, other = context[:, :-distance], context[:, -distance:], elsewhere[:, :-distance]
            disturbed[0, number] = self._nats_after(near)
            disturbed[1, number] = self._nats_after(np.concatenate([rng.permuted(far, axis=1), near], axis=1))
            disturbed[2, number] = self._nats_after(np.concatenate([other, near], axis=1))
        return ContextLosses(
            name, self._stretches.document, self._stretches.first, self._sizes, self._bytes(), self._spelling(),
            whole, self._lengths, by_length, self._disturbed, self._distances, *disturbed,
        )  # fmt: skip

    def _bytes(self) -> Integers:
        """Return the bytes of each stretch."""
        sizes = [self._tokenizer.byte_length(text) for text in self._texts]
        return self._by_stretch(np.array(sizes)).astype(np.int64)

    def _spelling(self) -> Floats:
        """Return the nats that it takes to spell the `<unk>` of each stretch."""
        unknown = self._documents.ids[self._place] == self._tokenizer.unknown_id
        costs = zip(self._texts, np.broadcast_to(unknown, len(self._texts)), strict=True)
        return self._by_stretch(np.array([self._tokenizer.unk_cost(text) if one else 0.0 for text, one in costs]))

    def _windows(self, length: int) -> Integers:
        """Return the last `length` tokens before each target, [T, length]."""
        windows: Integers = self._documents.ids[self._place[:, None] + np.arange(-length, 0)].astype(np.int64)
        return windows

    def _nats_after(self, windows: Integers) -> Floats:
        """Return the nats of each stretch if each of its tokens follows its row of `windows` [T, n], and no more."""
        targets = torch.from_numpy(self._documents.ids[self._place].astype(np.int64))
        rows, nats = max(1, min(ROWS, CELLS // windows.shape[1])), []
        for start in range(0, len(windows), rows):
            tokens = torch.from_numpy(windows[start : start + rows]).to(self._model.device)
            with evaluation_mode(self._model):  # the state is not continued, so its caches need no room
                logits, _ = self._model.last_logits(tokens, self._model.initial_state(len(tokens), 0))
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1).cpu()
            nats.append(-wide.gather(1, targets[start : start + rows, None])[:, 0].double().numpy())
            self._count(tokens.numel())
        return self._by_stretch(np.concatenate(nats))

    def _nats_of_whole(self) -> Floats:
        """Return the nats of each stretch as evaluation scores them, or with all that limited positions can hold."""
        limit, documents = self._model.max_positions, self._documents
        if limit is None:
            segments, _ = plan_segments(self._model, documents, EvaluationConfig())
        else:
            begin = np.maximum(0, self._position - limit + 1)
            segments = Segments(
                self._document, begin, self._position, self._position + 1, np.zeros(len(begin), dtype=bool)
            )
        nats = np.concatenate(nats_by_document(documents, score(self._model, documents, segments)))
        self._count(self._whole_work)
        return self._by_stretch(nats[self._place])

    def _by_stretch(self, values: npt.NDArray[np.number]) -> Floats:
        """Add up what the tokens of each stretch have: [T] -> [S]."""
        return np.bincount(self._stretch, values, len(self._sizes)).astype(np.float64)

"""Units of a model: their values at each token of a text, what each tracks, and places with a similar state.

A unit is one number of a layer's state: `layers.0.cell:17` is number 17 of the cell state of the first layer. Recurrent
and window models have hidden states (an LSTM cell states too), a Transformer has its residual stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from seqgen.errors import ConfigError, TextError
from seqgen.inspection.probes import probe_tokens
from seqgen.inspection.trace import cut_tokens, trace_chunks
from seqgen.runs.text import TextRun
from seqgen.utils.text import plural

Floats = npt.NDArray[np.float64]

STATES = ("layers.*.hidden", "layers.*.cell")
STREAM = "stream.*"
"""What a model has that is without hidden states in its layers."""
MOST_VALUES = 250_000_000
"""Values in a trace, a gigabyte: 160,000 tokens of an LSTM with two layers of 384."""
FEWEST_TOKENS = 100
"""Tokens from which units are found, half of them to choose and half to measure."""
FEWEST_UNITS = 3
"""Units from which places are compared by them."""
STRONG = 0.98
"""The share of values that are weaker than the strongest color."""
ROWS = 4096
"""Tokens whose values are in double precision at once."""


@dataclass(frozen=True, eq=False)
class UnitTrace:
    """The values of U units after each of the N tokens of documents, one document after another."""

    documents: list[list[str]]
    """The characters of each token."""
    layers: dict[str, int]
    """How many units each layer has, in the order of the columns."""
    values: npt.NDArray[np.float32]
    """[N, U]."""

    @cached_property
    def tokens(self) -> list[str]:
        """The characters of each token of all documents, [N]."""
        return list(chain.from_iterable(self.documents))

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The number of the first token of each document."""
        return np.array([0, *accumulate(map(len, self.documents[:-1]))], np.int64)

    @cached_property
    def names(self) -> list[str]:
        """The name of each unit, [U]."""
        return [f"{layer}:{number}" for layer, size in self.layers.items() for number in range(size)]

    def column(self, name: str) -> int:
        """Return the column of a unit.

        Raises:
            ConfigError: there is no such unit.
        """
        layer, _, number = name.rpartition(":")
        size = self.layers.get(layer)
        if size is None:
            known = ", ".join(f"{one}:0 to {one}:{count - 1}" for one, count in self.layers.items())
            raise ConfigError(f"unit: {name} is unknown; the units are {known}")
        if not number.isdecimal() or int(number) >= size:
            raise ConfigError(f"unit: {name} is unknown; the units of {layer} are {layer}:0 to {layer}:{size - 1}")
        return self.names.index(f"{layer}:{int(number)}")

    def unit(self, name: str) -> npt.NDArray[np.float32]:
        """Return the values of a unit, [N]; errors as of `column`."""
        return self.values[:, self.column(name)]


def color_scale(values: npt.NDArray[np.float32]) -> float:
    """Return the absolute value from which a unit with these values, [N], has the strongest color."""
    return float(np.quantile(abs(values), STRONG)) or float(abs(values).max()) or 1.0


def first_tokens(run: TextRun, documents: Sequence[str], count: int) -> list[str]:
    """Return the documents up to their first `count` tokens; the last one may be cut."""
    kept = []
    for document in documents:
        if count <= 0:
            break
        kept.append(cut_tokens(run, document, count))
        count -= len(run.tokenizer.encode(kept[-1]))
    return [document for document in kept if document]


def trace_units(
    run: TextRun, documents: Sequence[str], *, progress: Callable[[int, int], None] = lambda *_: None
) -> UnitTrace:
    """Trace the units of a model through documents, each from a fresh state.

    Args:
        run: a run whose model is neural; `neural_part` returns it.
        documents: texts that are not empty.
        progress: receives how many tokens were read, and their total.

    Raises:
        TextError: a document is empty, or longer than the model's positions, or all have more than `MOST_VALUES`.
    """
    tokens = [run.tokenizer.token_texts(document) for document in documents]
    total, done = sum(map(len, tokens)), 0
    layers: dict[str, int] = {}
    values = np.empty((0, 0), np.float32)
    for document in documents:
        for chunk in trace_chunks(run, document, *STATES, STREAM):
            states = {name: state for name, state in chunk.items() if not name.startswith("stream.")} or chunk
            if not layers:
                layers = {name: state.shape[1] for name, state in states.items()}
                values = _allocate(total, sum(layers.values()))
            rows = np.concatenate(list(states.values()), axis=1)
            values[done : done + len(rows)] = rows
            done += len(rows)
            progress(done, total)
    return UnitTrace(tokens, layers, values)


def _allocate(tokens: int, units: int) -> npt.NDArray[np.float32]:
    if tokens * units > MOST_VALUES:
        raise TextError(
            f"the text has {tokens:,} tokens, too many to keep {units:,} units at each of them; trace at most "
            f"{MOST_VALUES // units:,} tokens"
        )
    return np.empty((tokens, units), np.float32)


@dataclass(frozen=True)
class FoundUnit:
    """A unit that tracks a probe, with its correlation on both halves of the text."""

    probe: str
    unit: str
    fitted: float
    """On the tokens on which the unit was chosen, so it is too good."""
    held_out: float
    """On the other tokens."""


@dataclass(frozen=True)
class FoundUnits:
    """The units that track probes best, chosen on the first half of the tokens and measured on the second."""

    found: list[FoundUnit]
    """By probe, the best first."""
    absent: list[str]
    """Probes that do not change in one of the halves, such as digits in a text without digits."""
    tried: int
    """Units among which these were chosen."""
    half: int
    """Tokens of the first half, which is where the second begins."""
    total: int

    def best(self) -> list[FoundUnit]:
        """Return the first unit of each probe."""
        return list({one.probe: one for one in reversed(self.found)}.values())[::-1]


def find_units(trace: UnitTrace, patterns: Sequence[str] = (), *, top: int = 1) -> FoundUnits:
    """Find the units whose values alone correlate most with each probe, in either direction.

    Args:
        trace: of a text, half of which is held out: its second half of tokens.
        patterns: regular expressions, which are probes too: inside a match or not.
        top: how many units to return for each probe.

    Raises:
        TextError: the text has fewer than `FEWEST_TOKENS`.
        ConfigError: a pattern is invalid, or takes too long.
    """
    total = len(trace.values)
    if total < FEWEST_TOKENS:
        raise TextError(
            f"the text has {plural(total, 'token')}; {FEWEST_TOKENS} at least are needed to choose units on the first "
            "half and to measure them on the second"
        )
    half = total // 2
    probes = probe_tokens(trace.documents, patterns)
    known = {name: values for name, values in probes.items() if np.ptp(values[:half]) and np.ptp(values[half:])}
    targets = np.stack([*known.values()], axis=1) if known else np.empty((total, 0), np.float32)
    fitted = correlate(trace.values[:half], targets[:half])
    held_out = correlate(trace.values[half:], targets[half:])
    found = [
        FoundUnit(name, trace.names[unit], float(fitted[unit, column]), float(held_out[unit, column]))
        for column, name in enumerate(known)
        for unit in np.argsort(-abs(fitted[:, column]), kind="stable")[:top].tolist()
    ]
    return FoundUnits(found, [name for name in probes if name not in known], len(trace.names), half, total)


def correlate(units: npt.NDArray[np.float32], probes: npt.NDArray[np.float32]) -> Floats:
    """Return Pearson's correlation of each of [N, U] with each of [N, P], as [U, P]; 0 where a unit is constant."""
    mean, center = units.mean(0, dtype=np.float64), probes.mean(0, dtype=np.float64)
    products = np.zeros((units.shape[1], probes.shape[1]))
    squares, others = np.zeros(units.shape[1]), np.zeros(probes.shape[1])
    for start in range(0, len(units), ROWS):
        x, y = units[start : start + ROWS] - mean, probes[start : start + ROWS] - center
        products += x.T @ y
        squares += np.square(x).sum(0)
        others += np.square(y).sum(0)
    varies = squares > len(units) * np.square(np.finfo(np.float32).eps * mean)
    scale = np.sqrt(np.outer(squares, others))
    return np.divide(products, scale, out=np.zeros_like(products), where=varies[:, None] & (scale > 0))


@dataclass(frozen=True)
class Place:
    """Tokens `start` up to and without `stop`, at each of which `matched` units at least are on."""

    start: int
    stop: int
    matched: int


@dataclass(frozen=True)
class SimilarPlaces:
    """The units by which a span is compared, and other places where most of them are on."""

    start: int
    """The first token that is compared: that of the span, or a later one."""
    stop: int
    units: list[str]
    """+NAME is on where its value is high, -NAME where it is low."""
    places: list[Place]
    """The most units first."""


def find_similar(trace: UnitTrace, start: int, stop: int, *, most: int = 10) -> SimilarPlaces:
    """Find places whose state is similar to that of the tokens `start` up to and without `stop`.

    A unit is on where its value is more than one standard deviation above its mean, or below it. The units that count
    are on at every token of the span, and off at the tokens before and after; where there are fewer than
    `FEWEST_UNITS`, those that are off at one of the two, or else all that are on. A span over which fewer are on is
    compared from a later token on: the first from which so many are on up to its end.

    A place is a longest run of tokens, from half to twice as many as are compared, at each of which more than half of
    these units are on. The method is that of LSTMVis (Strobelt et al. 2018), with both signs, a threshold for each
    unit, and spans that are shortened.

    Args:
        trace: of all units that are compared.
        start: the number of the first token.
        stop: the number of the token after the last.
        most: how many places to return.

    Raises:
        ConfigError: the span is empty or not in the text.
    """
    if not 0 <= start < stop <= len(trace.values):
        raise ConfigError(f"find: {start}:{stop} is not a span of the {len(trace.values):,} tokens")
    values, count = trace.values, len(trace.values)
    low, high = unit_thresholds(values)

    def on(token: int) -> npt.NDArray[np.bool_]:
        """Return which units are on at a token, high or low, [2, U]."""
        return np.stack([values[token] > high, values[token] < low])

    first, whole = stop - 1, on(stop - 1)
    while first > start and (longer := whole & on(first - 1)).sum() >= FEWEST_UNITS:
        first, whole = first - 1, longer
    start = first
    off = np.ones_like(whole)
    before = off if start in trace.starts else ~on(start - 1)
    after = off if stop == count or stop in trace.starts else ~on(stop)
    chosen = next(
        (one for one in (whole & before & after, whole & (before | after)) if one.sum() >= FEWEST_UNITS), whole
    )
    side, unit = np.nonzero(chosen)
    matched = np.zeros(count, np.int64)
    for row in range(0, count, ROWS):
        part = values[row : row + ROWS, unit]
        matched[row : row + ROWS] = np.where(side, part < low[unit], part > high[unit]).sum(1)
    names = [f"{'+-'[below]}{trace.names[one]}" for below, one in zip(side.tolist(), unit.tolist(), strict=True)]
    places = _places(matched, trace.starts, start, stop, fewest=len(names) // 2 + 1, most=most)
    return SimilarPlaces(start, stop, names, places)


def _places(
    count: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], start: int, stop: int, *, fewest: int, most: int
) -> list[Place]:
    """Return the runs of tokens with the highest counts, of about the length of the span and apart from it."""
    taken = np.zeros(len(count), bool)
    taken[start:stop] = True
    places: list[Place] = []
    for matched in np.unique(count)[::-1].tolist():
        if matched < fewest:
            break
        for begin, end in _runs(count >= matched, starts).tolist():
            if stop - start <= 2 * (end - begin) <= 4 * (stop - start) and not taken[begin:end].any():
                if len(places) == most:
                    return places
                taken[begin:end] = True
                places.append(Place(begin, end, matched))
    return places


def _runs(on: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each longest run of true values begins and ends, [R, 2]; none reaches over a document's start."""
    before, after = np.roll(on, 1), np.roll(on, -1)
    before[starts], after[starts - 1] = False, False
    return np.stack([np.flatnonzero(on & ~before), np.flatnonzero(on & ~after) + 1], axis=1)


def unit_thresholds(values: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return below which value each unit of [N, ...] is low, and above which it is high.

    They are one standard deviation from the mean; a constant unit is never low or high.
    """
    mean = values.mean(0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for row in range(0, len(values), ROWS):
        squares += np.square(values[row : row + ROWS] - mean).sum(0)
    deviation = np.sqrt(squares / len(values))
    width = np.maximum(deviation, np.finfo(np.float32).eps * abs(mean))
    return mean - width, mean + width

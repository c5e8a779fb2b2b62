"""The page of surprisal: a text colored by what each token cost, the hardest passages, and the strangest lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.evaluation.calibration import Calibration
from seqgen.evaluation.segments import Integers
from seqgen.evaluation.surprisal.costs import Costs, split_lines
from seqgen.evaluation.surprisal.difference import compare_tokens
from seqgen.evaluation.surprisal.measure import Surprisal
from seqgen.evaluation.surprisal.passages import hardest_passages
from seqgen.evaluation.surprisal.records import Unit
from seqgen.evaluation.surprisal.tokens import PredictedDocuments
from seqgen.pages.chart import chart_data
from seqgen.pages.charts.calibration import reliability_diagram
from seqgen.pages.packing import pack
from seqgen.pages.page import escape_json, make_page
from seqgen.pages.visible import show_invisible
from seqgen.utils.text import plural

MOST_TOKENS = 102_400
"""Tokens of each run on a page."""
MOST_CHARACTERS = 300_000
"""Characters of text on a page, of all its views."""
LARGEST = 1_900_000
"""Bytes of a page's data, which alternatives fill."""
PASSAGES = LINES = 20
"""How many of the hardest passages and strangest lines are listed."""
DECIMALS = 100
"""Nats, bits and shares in percent are whole numbers of hundredths."""
Columns = dict[str, npt.NDArray[Any]]
"""Figures of the cells of a document, [C, ...] each: `spans` in its text, `nats`, ..."""


@dataclass(frozen=True)
class SurprisalPage:
    """A page, and what of the text it shows."""

    html: str
    notice: str | None
    """What is shown of a text that is longer than a page; None if all of it is."""


@dataclass(frozen=True)
class _Shown:
    """The lines on a page, in their order, as places in `Surprisal.lines`."""

    lines: Integers
    notice: str | None


def surprisal_page(
    runs: Mapping[str, Surprisal], title: str, by: Unit = "token", count: int | None = None
) -> SurprisalPage:
    """Return the page of one run, or of two runs on the same text and the difference between them.

    Args:
        runs: the surprisal of the same documents by the name of the run, with tokens.
        title: the heading.
        by: `token` shows the text from its beginning; `line` and `document` the strangest of the first run first.
        count: how many lines or documents to show at most.

    Raises:
        ConfigError: two runs normalize the text differently.
    """
    first, shown = next(iter(runs.values())), _choose_lines(runs, by, count)
    chosen = [(int(first.lines.document[place]), int(first.lines.line[place]) - 1) for place in shown.lines.tolist()]
    views = [_token_view(name, one, chosen) for name, one in runs.items()]
    data: dict[str, Any] = {
        "views": views,
        "numbers": pack(first.lines.line[shown.lines].tolist()),
        "places": _places(first, shown.lines),
        "notice": shown.notice,
    }
    calibrations = {name: one.calibration for name, one in runs.items() if one.calibration is not None}
    data["calibration"] = [{"name": name, **_calibration_data(one)} for name, one in calibrations.items()]
    data["chart"] = chart_data(reliability_diagram(calibrations)) if calibrations else None
    costs = [_line_costs(one.lines, shown.lines) for one in runs.values()]
    if len(runs) == 2:
        views.append(_difference_view(list(runs.items()), chosen))
        costs.append({name: costs[0][name] - costs[1][name] for name in costs[0]})
    for view in views[1:]:
        if view["text"] == views[0]["text"]:
            view["text"] = None  # the same is not stored again
    for view, sums in zip(views, costs, strict=True):
        for name, values in sums.items():
            view[f"line_{name}"] = _hundredths(values)
        view["strangest"] = np.argsort(-np.abs(sums["strangeness"]), kind="stable")[:LINES].tolist()
    left = LARGEST - len(escape_json(data).encode())
    for number, one in enumerate(runs.values()):
        views[number] |= _alternatives(one, chosen, left // len(runs))
    parts = ("chart",) if calibrations else ()
    return SurprisalPage(make_page("surprisal", title, data, parts), shown.notice)


def describe_total(surprisal: Surprisal) -> str:
    """Return the figures of a text in words."""
    figures = surprisal.evaluation
    return (
        f"{plural(figures.tokens, 'token')}, {figures.nats_per_token:.4f} nats per token, "
        f"{figures.bits_per_byte:.4f} bits per byte"
    )


def describe_difference(runs: Mapping[str, Surprisal]) -> str:
    """Say which of two runs needs fewer bits per byte, and how many."""
    (first_name, first), (second_name, second) = runs.items()
    bits = second.evaluation.bits_per_byte - first.evaluation.bits_per_byte
    better = first_name if bits > 0 else second_name
    return f"{better} needs {abs(bits):.4f} bits per byte less"


def _choose_lines(runs: Mapping[str, Surprisal], by: Unit, count: int | None) -> _Shown:
    """Choose the lines that a page has room for."""
    first = next(iter(runs.values()))
    lines = first.lines
    if by == "token":
        order = np.arange(len(lines))
    elif by == "line":
        order = lines.strangest(count)
    else:
        edges = np.searchsorted(lines.document, np.arange(len(first.documents) + 1))
        parts = [np.arange(edges[one], edges[one + 1]) for one in first.documents.strangest(count).tolist()]
        order = np.concatenate(parts)
    views = len(runs) + (len(runs) == 2)
    tokens = np.cumsum(np.max([one.lines.tokens[order] for one in runs.values()], axis=0))
    characters = np.cumsum(np.diff(lines.spans[order], axis=1)[:, 0])
    fits = int(((tokens <= MOST_TOKENS) & (characters * views <= MOST_CHARACTERS)).sum())
    if fits == len(lines):
        return _Shown(order, None)
    kept = order[: max(1, fits)]
    if not fits:
        what = f"the first {MOST_TOKENS:,} tokens of a line that is longer than a page"
    elif by == "token":
        what = f"the first {plural(fits, 'line')}"
    elif by == "line":
        what = f"the {plural(fits, 'strangest line')}"
    else:
        what = f"{plural(fits, 'line')} of the strangest documents"
    return _Shown(kept, f"shown: {what}, of {plural(len(lines), 'line')} in all")


def _places(surprisal: Surprisal, lines: Integers) -> list[tuple[int, str]]:
    """Return where on the page another document begins, and what it is called; nothing if there is only one."""
    found: list[tuple[int, str]] = []
    if len(surprisal.texts) == 1:
        return found
    documents = surprisal.lines.document[lines]
    for index in np.flatnonzero(np.diff(documents, prepend=-1)).tolist():
        document = int(documents[index])
        place = surprisal.texts.places[document].removeprefix("the document on ")
        found.append((index, place or f"document {document + 1:,}"))
    return found


def _token_view(name: str, surprisal: Surprisal, chosen: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return the tokens of a run on the chosen lines of documents."""
    known = _tokens_of(surprisal)

    @cache
    def cells(document: int) -> tuple[str, Columns]:
        tokens = known[document]
        return tokens.scores.text, {"spans": tokens.scores.spans, "nats": tokens.nats, "ranks": tokens.rank}

    view, figures = _collect(chosen, cells)
    return {
        "name": name,
        "kind": "tokens",
        **view,
        "nats": _hundredths(figures["nats"]),
        "ranks": pack(figures["ranks"].tolist()),
        "passages": _passages(figures["nats"], figures["stretch"]),
        "scale": _scale(figures["nats"]),
        "summary": describe_total(surprisal),
    }


def _difference_view(runs: Sequence[tuple[str, Surprisal]], chosen: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return the spans that both runs cut the text into, and what each run needs for them."""
    (_, first), (_, second) = runs
    first_tokens, second_tokens = _tokens_of(first), _tokens_of(second)

    @cache
    def cells(document: int) -> tuple[str, Columns]:
        scores = first_tokens[document].scores
        found = compare_tokens(scores, second_tokens[document].scores)
        return scores.text, {"spans": found.spans, "nats": found.nats, "first": found.first, "second": found.second}

    view, figures = _collect(chosen, cells)
    nats = figures["nats"]
    return {
        "name": "difference",
        "kind": "difference",
        **view,
        "first": _hundredths(figures["first"]),
        "second": _hundredths(figures["second"]),
        "passages": [one for sign in (1, -1) for one in _passages(nats, figures["stretch"], PASSAGES // 2, sign)],
        "scale": _scale(np.abs(nats)),
        "summary": describe_difference(dict(runs)),
    }


def _collect(
    chosen: Sequence[tuple[int, int]], cells: Callable[[int], tuple[str, Columns]]
) -> tuple[dict[str, Any], Columns]:
    """Return the text and the lengths of the cells on the chosen lines, and all their figures.

    The figure `stretch` numbers the stretches of neighboring lines.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    texts: list[str] = []
    counts: list[int] = []
    for document, start, stop in _cell_ranges(chosen, cells):
        text, columns = cells(document)
        for name, column in columns.items():
            parts.setdefault(name, []).append(column[start:stop])
        counts.append(stop - start)
        if stop > start:
            texts.append(text[columns["spans"][start, 0] : columns["spans"][stop - 1, 1]])
    figures = {name: np.concatenate(columns) for name, columns in parts.items()}
    apart = [one != (document, line + 1) for one, (document, line) in zip(chosen[1:], chosen, strict=False)]
    figures["stretch"] = np.repeat(np.cumsum([0, *apart]), counts)
    view = {
        "text": "".join(texts),
        "lengths": pack(np.diff(figures["spans"], axis=1)[:, 0].tolist()),
        "counts": pack(counts),
    }
    return view, figures


def _cell_ranges(
    chosen: Sequence[tuple[int, int]], cells: Callable[[int], tuple[str, Columns]]
) -> Iterator[tuple[int, int, int]]:
    """Yield the document of each chosen line, and the first and last cell that begin in the line."""

    @cache
    def edges(document: int) -> Integers:
        text, columns = cells(document)
        lengths = [len(line) for line in split_lines(text)]
        starts = np.searchsorted(columns["spans"][:, 0], np.cumsum(lengths) - lengths)
        return np.append(starts, len(columns["spans"]))

    for document, line in chosen:
        start, stop = edges(document)[line : line + 2].tolist()
        yield document, start, min(stop, start + MOST_TOKENS)


def _alternatives(surprisal: Surprisal, chosen: Sequence[tuple[int, int]], size: int) -> dict[str, Any]:
    """Return the most probable tokens in the place of each token, for as many of the hardest as `size` bytes hold."""
    known = _tokens_of(surprisal)

    @cache
    def cells(document: int) -> tuple[str, Columns]:
        tokens = known[document]
        columns: Columns = {"spans": tokens.scores.spans, "nats": tokens.nats}
        return tokens.scores.text, columns | {"top": tokens.top, "shares": tokens.top_probabilities}

    _, figures = _collect(chosen, cells)
    hardest = np.argsort(-figures["nats"], kind="stable")
    count = len(hardest)
    while True:
        at = np.sort(hardest[:count])
        used, ids = np.unique(figures["top"][at], return_inverse=True)
        data = {
            "alternatives": {
                "steps": pack(np.diff(at, prepend=0).tolist()),
                "each": figures["top"].shape[1],
                "ids": pack(ids.ravel().tolist()),
                "shares": _hundredths(100 * figures["shares"][at].ravel()),
                "names": [show_invisible(known.name(token)) for token in used.tolist()],
                "from": float(figures["nats"][hardest[count - 1]]) if 0 < count < len(hardest) else None,
            }
        }
        if count == 0 or len(escape_json(data).encode()) <= size:
            return data
        count = count * 3 // 4


def _line_costs(lines: Costs, shown: Integers) -> Columns:
    """Return the figures of lines; the difference of two is a figure too."""
    return {
        "nats": lines.nats[shown],
        "bits": lines.bits_per_byte[shown],
        "strangeness": lines.strangeness[shown],
    }


def _passages(
    nats: npt.NDArray[np.floating], stretches: Integers, count: int = PASSAGES, sign: int = 1
) -> list[tuple[int, int, float]]:
    """Return the first cell, the cell after the last, and the nats of the hardest passages, each in one stretch.

    With the sign -1, they are those of the lowest negative nats.
    """
    found = hardest_passages(np.maximum(sign * nats, 0), count, stretches)
    return [(one.start, one.stop, round(float(nats[one.start : one.stop].sum()), 2)) for one in found]


def _scale(nats: npt.NDArray[np.floating]) -> int:
    """Return the nats of the strongest color: at least 99% of the cells have fewer."""
    return max(1, math.ceil(float(np.quantile(nats, 0.99)))) if len(nats) else 1


def _hundredths(values: npt.NDArray[np.floating]) -> dict[str, Any]:
    return pack(np.rint(DECIMALS * values).astype(np.int64).tolist())


def _calibration_data(calibration: Calibration) -> dict[str, Any]:
    """Return the bins as the page shows them in a table."""
    return {
        "error": round(calibration.error, 4),
        "accuracy": round(calibration.accuracy, 4),
        "confidence": round(calibration.confidence, 4),
        "bins": [
            (round(one.low, 4), round(one.high, 4), one.count, round(one.confidence, 4), round(one.accuracy, 4))
            for one in calibration.rows()
        ],
    }


def _tokens_of(surprisal: Surprisal) -> PredictedDocuments:
    if surprisal.tokens is None:
        raise ValueError("runs: a page needs the tokens of its text")
    return surprisal.tokens

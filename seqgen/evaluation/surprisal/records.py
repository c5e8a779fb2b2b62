"""Write surprisal as records: an object for each token, line or document, as JSON lines or tab-separated values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from seqgen.evaluation.segments import Integers
from seqgen.evaluation.surprisal.costs import Costs
from seqgen.evaluation.surprisal.measure import Surprisal
from seqgen.evaluation.surprisal.tokens import ALTERNATIVES, PredictedTokens
from seqgen.utils.text import without_surrogates

Unit: TypeAlias = Literal["token", "line", "document"]
Record: TypeAlias = dict[str, Any]
LONGEST_CONTENT = 1_000
"""Characters of a line or document in its record."""


def records(surprisal: Surprisal, by: Unit, count: int | None = None) -> Iterator[Record]:
    """Yield a record for each token, line or document.

    Lines and documents come the strangest first. Tokens come in the order of the text, or with `count` those that cost
    the most nats first.

    Args:
        surprisal: with its tokens if they are asked for.
        by: what a record is of.
        count: how many records to yield at most.
    """
    if by != "token":
        costs = surprisal.lines if by == "line" else surprisal.documents
        yield from (_cost_record(surprisal, costs, index, by) for index in costs.strangest(count).tolist())
        return
    tokens = surprisal.tokens
    if tokens is None:
        raise ValueError("by: there are no tokens in this surprisal")

    @lru_cache(maxsize=64)
    def read(document: int) -> tuple[PredictedTokens, Integers]:
        return tokens[document], _line_numbers(surprisal.lines, document)

    for document, position in tokens.places() if count is None else tokens.hardest(count):
        of_document, lines = read(document)
        yield {
            "document": document + 1,
            "place": surprisal.texts.places[document],
            "line": int(lines[position]),
            **_token_record(of_document, position, tokens.name),
        }


def as_json_lines(found: Iterable[Record]) -> Iterator[bytes]:
    """Yield records as lines of JSON."""
    for record in found:
        yield without_surrogates(json.dumps(record, ensure_ascii=False, allow_nan=False)).encode() + b"\n"


def as_tsv(found: Iterable[Record]) -> Iterator[bytes]:
    """Yield records as lines of tab-separated values, the names first.

    Tabs, line ends and other control characters of a text are written as escapes of JSON. Alternatives have two columns
    each.
    """
    names: Sequence[str] = ()
    for record in found:
        flat = _flatten(record)
        if not names:
            names = list(flat)
            yield _tsv_line(names)
        yield _tsv_line([_cell(flat[name]) for name in names])


def _token_record(tokens: PredictedTokens, position: int, name: Callable[[int], str]) -> Record:
    scores = tokens.scores
    start, stop = scores.spans[position].tolist()
    token = int(scores.ids[position])
    alternatives = zip(tokens.top[position].tolist(), tokens.top_probabilities[position].tolist(), strict=True)
    return {
        "start": start,
        "stop": stop,
        "token": name(token),
        "text": scores.text[start:stop],
        "nats": float(scores.nats[position]),
        "spelling_nats": float(scores.unk_cost[position]),
        "rank": int(tokens.rank[position]),
        "alternatives": [{"token": name(other), "probability": value} for other, value in alternatives],
    }


def _cost_record(surprisal: Surprisal, costs: Costs, index: int, by: Unit) -> Record:
    document = int(costs.document[index])
    content = surprisal.text_of(costs, index)
    return {
        "document": document + 1,
        "place": surprisal.texts.places[document],
        **({"line": int(costs.line[index])} if by == "line" else {}),
        "nats": float(costs.nats[index]),
        "bits_per_byte": float(costs.bits_per_byte[index]),
        "strangeness": float(costs.strangeness[index]),
        "tokens": int(costs.tokens[index]),
        "bytes": int(costs.bytes[index]),
        "text": content[:LONGEST_CONTENT].rstrip("\r\n"),
    }


def _line_numbers(lines: Costs, document: int) -> Integers:
    """Return the line of each token of a document."""
    own = lines.document == document
    return np.repeat(lines.line[own], lines.tokens[own])


def _flatten(record: Record) -> Record:
    flat = dict(record)
    alternatives = flat.pop("alternatives", None)
    if alternatives is not None:
        for number in range(ALTERNATIVES):
            other = alternatives[number] if number < len(alternatives) else {"token": "", "probability": ""}
            flat[f"alternative_{number + 1}"] = other["token"]
            flat[f"probability_{number + 1}"] = other["probability"]
    return flat


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"') if isinstance(value, str) else str(value)


def _tsv_line(cells: Sequence[str]) -> bytes:
    return without_surrogates("\t".join(cells)).encode() + b"\n"

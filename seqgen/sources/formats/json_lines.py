"""Read JSON lines (.jsonl, .ndjson): each line is an object, and one of its fields is a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from seqgen.errors import TextError
from seqgen.sources.content import Content, Document
from seqgen.sources.fields import DEFAULT_FIELD, kind_of, parse_field, text_at
from seqgen.sources.lines import lines_with_ends
from seqgen.utils.text import REPLACEMENT, replace_surrogates


def read(content: Content) -> Iterator[Document]:
    """Read a document per line; empty lines are ignored."""
    yield from read_lines(content, content.text())


def read_lines(content: Content, chunks: Iterable[str]) -> Iterator[Document]:
    """Read a document per line from decoded text."""
    field = content.reading.field or DEFAULT_FIELD
    steps = parse_field(field)
    for number, line in enumerate(lines_with_ends(chunks), 1):
        if not line.strip():
            continue
        where = f"{content.name}, line {number:,}"
        try:
            text = text_at(parse_object(line.rstrip("\r\n"), where), steps, field, where)
        except TextError as error:
            content.refuse(error)
        else:
            yield document(content, text, f"the document on line {number:,} of {content.name}")


def document(content: Content, text: str, place: str) -> Document:
    """Return the document of a JSON string; lone surrogates in it are replaced."""
    return Document(iter([without_lone_surrogates(content, text)]), place)


def without_lone_surrogates(content: Content, text: str) -> str:
    """Return a JSON string whose lone surrogates are replaced or left out, and count them."""
    text, surrogates = replace_surrogates(text, "" if content.reading.errors == "ignore" else REPLACEMENT)
    content.issues.ill_formed += surrogates
    return text


def parse_object(line: str, where: str) -> Any:
    """Return the object of a line of JSON.

    Raises:
        TextError: the line is not an object; the message begins with `where`.
    """
    try:
        record = json.loads(line, parse_int=float)
    except json.JSONDecodeError as error:
        raise TextError(
            f"{where}, column {error.colno:,} is not valid JSON ({error.msg}); each line should be an object"
        ) from error
    except (ValueError, RecursionError) as error:  # a number with too many digits, or brackets too deep
        raise TextError(f"{where} is not valid JSON ({error}); each line should be an object") from error
    if not isinstance(record, dict):
        raise TextError(f"{where} is {kind_of(record)}, not an object with fields")
    return record

"""JSON (.json): an array of objects or strings, a document each; or an object that holds such an array.

The file is read whole, so there is a limit. One whose first line is a complete object is JSON lines under another name,
and read as these, whatever its size.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import chain
from typing import Any

from seqgen.errors import TextError
from seqgen.sources.content import Content, Document
from seqgen.sources.fields import ALL, DEFAULT_FIELD, kind_of, parse_field, text_at
from seqgen.sources.formats.json_lines import document, read_lines
from seqgen.sources.lines import LINE_END

LARGEST = 1 << 28
"""Characters of a file that is read whole; it takes some five times as many bytes of memory."""


def read(content: Content) -> Iterator[Document]:
    """Read a document an element of the array.

    In an object, `--field data[].text` leads to the array by what is before the first `[]`; without a `[]` the object
    is one document.
    """
    chunks = content.text()
    head = _beginning(chunks)
    chunks = chain([head], chunks)
    first, *others = LINE_END.split(head.lstrip(), maxsplit=1)
    if first.startswith("{") and "".join(others).strip() and _is_object(first):
        yield from read_lines(content, chunks)
        return
    value = _load(content, chunks)
    field = content.reading.field or DEFAULT_FIELD
    steps = parse_field(field)
    if isinstance(value, dict):
        value, steps, field = _array_in(value, steps, field, content.name)
    if not isinstance(value, list):
        raise TextError(f"{content.name} is {kind_of(value)}, not an array of objects or strings")
    for number, element in enumerate(value, 1):
        where = f"{content.name}, element {number:,}"
        try:
            is_text = isinstance(element, str) and content.reading.field is None
            text = element if is_text else text_at(element, steps, field, where)
        except TextError as error:
            content.refuse(error)
        else:
            yield document(content, text, f"element {number:,} of {content.name}")


def _beginning(chunks: Iterator[str]) -> str:
    """Take as much of a text as tells whether its first line is an object that another line follows."""
    held = [next((chunk for chunk in chunks if chunk and not chunk.isspace()), "")]
    size, ended, rest = len(held[0]), False, held[0].lstrip()
    if not rest.startswith("{"):
        return held[0]
    while size <= LARGEST:
        if not ended:
            _, *others = LINE_END.split(rest, maxsplit=1)
            ended, rest = bool(others), "".join(others)
        if rest.strip() or (chunk := next(chunks, None)) is None:
            break
        held.append(chunk)
        size, rest = size + len(chunk), chunk
    return "".join(held)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line, parse_int=float), dict)
    except (ValueError, RecursionError):
        return False


def _load(content: Content, chunks: Iterator[str]) -> Any:
    held, size = [], 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise TextError(
                f"{content.name} has more than {LARGEST >> 20} MB, and a JSON array is read whole; make JSON lines of "
                f"it first (jq -c '.[]' {shlex.quote(content.name)} > lines.jsonl)"
            )
    try:
        return json.loads("".join(held), parse_int=float)
    except json.JSONDecodeError as error:
        raise TextError(
            f"{content.name}, line {error.lineno:,}, column {error.colno:,} is not valid JSON ({error.msg})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise TextError(f"{content.name} is not valid JSON ({error})") from error


def _array_in(
    value: dict[str, Any], steps: tuple[str | int, ...], field: str, name: str
) -> tuple[Any, tuple[str | int, ...], str]:
    """The array within an object that steps lead to, and the steps that are left for its elements."""
    if field in value or ALL not in steps:
        if field == DEFAULT_FIELD and field not in value and any(isinstance(held, list) for held in value.values()):
            arrays = ", ".join(f"{key}[]" for key, held in value.items() if isinstance(held, list))
            raise TextError(f"{name} is an object with arrays ({arrays}); name the texts by --field, as in data[].text")
        return [value], steps, field
    cut = steps.index(ALL)
    array: Any = value
    for step in steps[:cut]:
        there = isinstance(array, dict) and step in array if isinstance(step, str) else _has(array, step)
        if not there:
            names = ", ".join(list(array)[:8]) if isinstance(array, dict) else kind_of(array)
            raise TextError(f"{name} has no {step!r} on the way to {field!r}; there is: {names}")
        array = array[step]
    return array, steps[cut + 1 :], field


def _has(array: Any, number: int) -> bool:
    return isinstance(array, list) and number < len(array)

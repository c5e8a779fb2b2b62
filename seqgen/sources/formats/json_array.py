"""Read JSON (.json): an array of objects or strings, one document each, or an object with such an array.

The file is read whole, up to a limit. A file whose first line is a complete object is read as JSON lines, of any size.
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

MAX_CHARACTERS = 1 << 28
"""The longest file that is read whole; it takes about five bytes of memory per character."""


def read(content: Content) -> Iterator[Document]:
    """Read a document per element of the array.

    In an object, `--field data[].text` names the array before the first `[]`; without `[]` the object is one document.
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
    """Read the first line of the text, and as much as shows whether another line follows."""
    held = [next((chunk for chunk in chunks if chunk and not chunk.isspace()), "")]
    size, ended, rest = len(held[0]), False, held[0].lstrip()
    if not rest.startswith("{"):
        return held[0]
    while size <= MAX_CHARACTERS:
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
        if size > MAX_CHARACTERS:
            raise TextError(
                f"{content.name} has more than {MAX_CHARACTERS >> 20} MB, and a JSON array is read whole; convert it "
                f"to JSON lines first (jq -c '.[]' {shlex.quote(content.name)} > lines.jsonl)"
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
    """Return the array inside an object, and the remaining steps and field of its elements."""
    if field in value or ALL not in steps:
        if field == DEFAULT_FIELD and field not in value and any(isinstance(held, list) for held in value.values()):
            arrays = ", ".join(f"{key}[]" for key, held in value.items() if isinstance(held, list))
            raise TextError(
                f"{name} is an object with arrays ({arrays}); choose a text with --field, as in data[].text"
            )
        return [value], steps, field
    cut = steps.index(ALL)
    array: Any = value
    for step in steps[:cut]:
        there = isinstance(array, dict) and step in array if isinstance(step, str) else _has(array, step)
        if not there:
            names = ", ".join(list(array)[:8]) if isinstance(array, dict) else kind_of(array)
            raise TextError(f"{name} has no {step!r} on the path {field!r}; it has: {names}")
        array = array[step]
    return array, steps[cut + 1 :], field


def _has(array: Any, number: int) -> bool:
    return isinstance(array, list) and number < len(array)

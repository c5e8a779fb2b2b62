"""Find a field of a JSON record: `text`, `user.name`, `messages[].content`, `choices[0].text`."""

from __future__ import annotations

import re
from typing import Any

from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import FOR_PAIRS, Reading

DEFAULT_FIELD = "text"
_PAIR_FIELDS = {Reading.model_fields[name].default for name in ("source_field", "target_field")}
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d*)\]")
_KINDS: dict[type, str] = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "an object",
    str: "a string",
}  # fmt: skip
"""The names of JSON's types; bool comes before int, because it is a subclass."""
ALL = -1
"""The step `[]`, which means every element."""


def parse_field(field: str, setting: str = "field") -> tuple[str | int, ...]:
    """Return the steps from a record to its text: names, element numbers, or `ALL`; errors name `setting`.

    Raises:
        ConfigError: the field is not a valid path.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(field):
        step = _STEP.match(field, at)
        if step is None or (at == 0 and field[0] == "."):
            raise ConfigError(
                f"{setting}: {field!r} is not a valid path, such as text, user.name or messages[].content"
            )
        steps.append(step[1] if step[1] is not None else int(step[2]) if step[2] else ALL)
        at = step.end()
    return tuple(steps)


def text_at(value: Any, steps: tuple[str | int, ...], field: str, where: str, option: str = "--field") -> str:
    """Return the string at a field of a record; `[]` joins several strings with newlines.

    Args:
        value: the parsed JSON record.
        steps: the result of `parse_field`.
        field: the field as the user wrote it; a record may have this very name, dots included.
        where: the name of the record in an error.
        option: by which the user names the field.

    Raises:
        TextError: the record has no such field, or its value is not a string.
    """
    if isinstance(value, dict) and field in value:
        steps = (field,)
    return "\n".join(_strings(value, steps, field, where, option))


def value_at(value: Any, steps: tuple[str | int, ...], field: str) -> Any:
    """Return what is at a field of names alone; None where there is nothing. Arguments as of `text_at`."""
    if isinstance(value, dict) and field in value:
        return value[field]
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def kind_of(value: Any) -> str:
    """Return the JSON type of a value, with its article."""
    return next(name for kind, name in _KINDS.items() if isinstance(value, kind))


def _strings(value: Any, steps: tuple[str | int, ...], field: str, where: str, option: str) -> list[str]:
    if not steps:
        if not isinstance(value, str):
            inside = (
                f"; for its elements write {option} '{field}[]', or '{field}[].NAME'" if isinstance(value, list) else ""
            )
            raise TextError(
                f"{where}: the field {field!r} is {kind_of(value)}, not a string"
                f"{inside or f'; choose a text field with {option}'}"
            )
        return [value]
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if not isinstance(value, dict):
            before = field[: field.rindex(step)].rstrip(".")
            inside = f"; write {option} '{before}[].{step}'" if isinstance(value, list) and before else ""
            raise TextError(f"{where}: {before or 'the record'} is {kind_of(value)}, not an object{inside}")
        if step not in value:
            names = ", ".join(list(value)[:8]) or "none"
            advice = f"; {FOR_PAIRS}" if option == "--field" and value.keys() >= _PAIR_FIELDS else ""
            raise TextError(
                f"{where} has no field {field!r}; choose a field with {option}, the record has: {names}{advice}"
            )
        return _strings(value[step], rest, field, where, option)
    if not isinstance(value, list):
        raise TextError(f"{where}: at the [] of {field!r} is {kind_of(value)}, not an array")
    if step == ALL:
        return [text for element in value for text in _strings(element, rest, field, where, option)]
    if step >= len(value):
        raise TextError(f"{where}: the array at the [{step}] of {field!r} has only {len(value)} elements")
    return _strings(value[step], rest, field, where, option)

"""What every config has in common: frozen, strict, closed to unknown keys, and errors that name the field."""

from __future__ import annotations

import contextlib
import os
from typing import Annotated, Any, Self
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, ValidationInfo

from seqgen.errors import ConfigError

QUOTE = "'"
LONGEST_SHOWN = 60
"""Characters of a value up to which a message repeats it."""
_URI = "file:"


def _name_to_json(name: str) -> str:
    """A file's name as JSON holds it; one that is not UTF-8, of which JSON has no string, as a URI of its bytes."""
    with contextlib.suppress(UnicodeEncodeError):
        name.encode()
        if not name.startswith(_URI):
            return name
    return _URI + quote(os.fsencode(name))


def _name_from_json(value: Any, info: ValidationInfo) -> Any:
    if info.mode != "json" or not isinstance(value, str) or not value.startswith(_URI):
        return value
    return os.fsdecode(unquote_to_bytes(value.removeprefix(_URI)))


FileName = Annotated[
    str, BeforeValidator(_name_from_json), PlainSerializer(_name_to_json, when_used="json-unless-none")
]
"""A file's name, which need not be UTF-8: in JSON such a one is `file:` and its bytes, percent-encoded."""


class Config(BaseModel):
    """The base of every config: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Build the config from `values`.

        Raises:
            ConfigError: a value is unknown, of the wrong type or impossible; the message names it as its flag.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(describe(error)) from error

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Read the config from JSON; `where` names its origin in the error.

        Raises:
            ConfigError: the text is not JSON or does not fit the schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(f"{where}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """One line for all that is wrong: `hidden_size: should be greater than 0, not -1; ...`."""
    told: dict[str, str] = {}  # of what may have several types, what the first says
    for detail in error.errors(include_url=False):
        # pydantic puts what it calls such a type behind the field's name: `constrained-int`, `literal['auto']`
        parts = [str(part) for part in detail["loc"]]
        field = ".".join(part for part in parts if not part.startswith(("constrained-", "literal[")))
        told.setdefault(field, _describe_one(field, detail))
    return "; ".join(told.values())


def _describe_one(field: str, detail: Any) -> str:
    message, shown = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input "), repr(detail["input"])
    context, kind = detail.get("ctx", {}), detail["type"]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        quoted = str(context["discriminator"])
        field = f"{field}.{quoted.strip(QUOTE)}"
        message, shown = f"should be one of {context.get('expected_tags')}", repr(context.get("tag"))
    if kind == "string_too_short" and context["min_length"] == 1:
        message = "should not be empty"
    if kind in {"missing", "union_tag_not_found"}:
        message = "is missing"
    if kind == "extra_forbidden":
        message = "there is no such setting"
    if not field:
        return message
    told = kind in {"missing", "union_tag_not_found", "extra_forbidden", "string_too_short", "value_error"}
    return f"{field}: {message}" if told or len(shown) > LONGEST_SHOWN else f"{field}: {message}, not {shown}"

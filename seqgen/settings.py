"""What every config has in common: frozen, strict, closed to unknown keys, and errors that name the field."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from seqgen.errors import ConfigError


class Settings(BaseModel):
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
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "extra_forbidden":
        return f"{field}: there is no such setting"
    if not field:
        return message
    shown = repr(detail["input"])
    given = "" if detail["type"] in {"missing", "value_error"} or len(shown) > 60 else f", not {shown}"
    return f"{field}: {message}{given}"

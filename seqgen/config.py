"""The base of every config, and how a config declares a setting.

A config is frozen, strict and closed to unknown keys; its errors name the field. A setting is declared once, by
`setting` on its field. The command line, its help, the stub and the tables of the docs are made from `settings_of`.
"""

from __future__ import annotations

import contextlib
import os
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Self, Union, get_args, get_origin
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from seqgen.errors import ConfigError

MODEL, TEXT, TRAINING, RUN, SAMPLING, EVALUATION = "Model", "Text", "Training", "Run", "Sampling", "Evaluation"
BEAM = "Beam search"
"""The groups of settings: the panels of `--help` and the tables of the docs."""
BY_PRESET = "by cell and time"
"""How help shows a default that the preset of a cell chooses."""
QUOTE = "'"
LONGEST_SHOWN = 60
"""A message repeats values of up to this many characters."""
_URI = "file:"


def _name_to_json(name: str) -> str:
    """Return a file name as JSON holds it: a name that is not UTF-8 as a URI of its bytes."""
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
"""A file name. JSON holds a name that is not UTF-8 as `file:` and its bytes, percent-encoded."""


class Config(BaseModel):
    """The base of every config: immutable, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Build the config from `values`.

        Raises:
            ConfigError: a value is unknown, of the wrong type or impossible; the message names the field.
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


def setting(
    default: Any,
    description: str,
    group: str,
    *,
    shown: str | None = None,
    metavar: str | None = None,
    option: str | None = None,
    accepts: Any = None,
    **constraints: Any,
) -> Any:
    """Declare a field that users set: pydantic's `Field` with what the command line and the docs need.

    Args:
        default: the field's default.
        description: what the setting does, as `--help` shows it.
        group: one of the groups above.
        shown: the default as help shows it, for a default that is computed; None shows `default`.
        metavar: the placeholder of the value, such as DIR.
        option: the option's name, if it is not the field's.
        accepts: the type of the values that the field accepts, if that is wider than its own.
        constraints: passed to `Field`: `ge`, `lt`, `min_length`, ...
    """
    extra = {"group": group, "shown": shown, "metavar": metavar, "option": option, "accepts": accepts}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


class Setting(NamedTuple):
    """A setting as its config declares it."""

    name: str
    types: tuple[Any, ...]
    """The types of the values that it accepts, without constraints and None: `(int,)`, `(Literal["a", "b"],)`."""
    default: Any
    description: str
    group: str
    shown: str
    """The default as help shows it; empty where there is none."""
    metavar: str | None
    repeatable: bool
    """Whether it holds several values."""

    @property
    def option(self) -> str:
        """The option of the command line: `--hidden-size`."""
        return f"--{self.name.replace('_', '-')}"


def settings_of(*configs: type[Config]) -> dict[str, Setting]:
    """Return the settings that `configs` declare by `setting`, by name; the first declaration of a name counts."""
    found: dict[str, Setting] = {}
    for config in configs:
        for field_name, field in config.model_fields.items():
            declared = _declaration(config, field_name)
            if declared is None:
                continue
            extra: Any = declared.json_schema_extra
            made = Setting(
                name=extra["option"] or field_name,
                types=tuple(_types(extra["accepts"] or field.annotation)),
                default=field.default,
                description=declared.description or "",
                group=extra["group"],
                shown=_show(field.default) if extra["shown"] is None else extra["shown"],
                metavar=extra["metavar"],
                repeatable=get_origin(field.annotation) is tuple,
            )
            found.setdefault(made.name, made)
    return found


def _declaration(config: type[Config], name: str) -> FieldInfo | None:
    """Return the field that has the description: of `config` itself, or of the base whose default it overrides."""
    for owner in config.__mro__:
        if issubclass(owner, Config) and (field := owner.model_fields.get(name)) and field.json_schema_extra:
            return field
    return None


def _types(annotation: Any) -> list[Any]:
    """Return the members of a union of types, without constraints and None."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [member for one in get_args(annotation) for member in _types(one)]
    return [] if annotation is NoneType else [annotation]


def _show(default: Any) -> str:
    if default is None or default is False:
        return ""
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def describe(error: ValidationError) -> str:
    """Describe all that is wrong in one line: `hidden_size: should be greater than 0, not -1; ...`."""
    messages: dict[str, str] = {}  # of a field that may have several types, the message of the first
    for detail in error.errors(include_url=False):
        # pydantic appends the name of such a type to the field's: `constrained-int`, `literal['auto']`, `<fit>`
        parts = [str(part) for part in detail["loc"]]
        field = ".".join(part for part in parts if not part.startswith(("constrained-", "literal[", "<")))
        messages.setdefault(field, _describe_one(field, detail))
    return "; ".join(messages.values())


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
        message = "unknown setting"
    if not field:
        return message
    is_clear = kind in {"missing", "union_tag_not_found", "extra_forbidden", "string_too_short", "value_error"}
    return f"{field}: {message}" if is_clear or len(shown) > LONGEST_SHOWN else f"{field}: {message}, not {shown}"

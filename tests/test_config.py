from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from seqgen.config import RUN, TEXT, Config, FileName, setting, settings_of
from seqgen.errors import ConfigError


class Inner(Config):
    depth: int = Field(default=1, ge=1)


class FormA(Config):
    form: Literal["a"] = "a"


class FormB(Config):
    form: Literal["b"] = "b"


class Outer(Config):
    size: int = Field(default=8, gt=0)
    rate: float = 0.5
    name: str = "a"
    flag: bool = False
    kind: Literal["x", "y"] = "x"
    words: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    choice: Annotated[FormA | FormB, Field(discriminator="form")] = FormA()
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _not_thirteen(self) -> Outer:
        if self.size == 13:
            raise ValueError("size: thirteen brings bad luck; try 14")
        return self


class Needy(Config):
    wanted: int


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size: should be greater than 0, not 0"),
        ({"size": "3"}, "size: should be a valid integer, not '3'"),
        ({"size": True}, "size: should be a valid integer, not True"),
        ({"size": 3.0}, "size: should be a valid integer, not 3.0"),
        ({"size": None}, "size: should be a valid integer, not None"),
        ({"rate": "0.5"}, "rate: should be a valid number, not '0.5'"),
        ({"rate": True}, "rate: should be a valid number, not True"),
        ({"rate": float("nan")}, "rate: should be a finite number, not nan"),
        ({"rate": float("inf")}, "rate: should be a finite number, not inf"),
        ({"name": 7}, "name: should be a valid string, not 7"),
        ({"flag": 1}, "flag: should be a valid boolean, not 1"),
        ({"kind": "z"}, "kind: should be 'x' or 'y', not 'z'"),
        ({"words": "ab"}, "words: should be a valid tuple, not 'ab'"),
        ({"words": ("a", "")}, "words.1: should not be empty"),
        ({"choice": {"depth": 2}}, "choice.form: is missing"),
        ({"choice": {"form": "c"}}, "choice.form: should be one of 'a', 'b', not 'c'"),
        ({"words": ("a", 2)}, "words.1: should be a valid string, not 2"),
        ({"inner": {"depth": 0}}, "inner.depth: should be greater than or equal to 1, not 0"),
        ({"colour": "red"}, "colour: unknown setting"),
        ({"inner": {"colour": "red"}}, "inner.colour: unknown setting"),
        ({"size": 13}, "size: thirteen brings bad luck; try 14"),
        ({"size": 0, "colour": 1}, "size: should be greater than 0, not 0; colour: unknown setting"),
    ],
)
def test_of_refuses_value_by_name(values, message):
    with pytest.raises(ConfigError) as refusal:
        Outer.of(**values)

    assert str(refusal.value) == message


def test_of_names_missing_setting():
    with pytest.raises(ConfigError, match=r"^wanted: is missing$"):
        Needy.of()


@pytest.mark.parametrize(("digits", "repeats"), [(58, True), (59, False), (100, False)])
def test_of_repeats_values_of_up_to_60_characters(digits, repeats):
    value = "3" * digits

    with pytest.raises(ConfigError) as refusal:
        Outer.of(size=value)

    assert str(refusal.value) == "size: should be a valid integer" + (f", not '{value}'" if repeats else "")


def test_of_keeps_valid_values():
    config = Outer.of(size=3, rate=1, words=("a",), inner=Inner(depth=2))

    assert (config.size, config.rate, config.words, config.inner.depth) == (3, 1.0, ("a",), 2)


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Outer().size = 3  # type: ignore[misc]


def test_from_json_inverts_json():
    config = Outer(size=3, words=("a", "한"), inner=Inner(depth=4))

    assert Outer.from_json(config.model_dump_json(), "config.json") == config
    assert Outer.from_json(config.model_dump_json().encode(), "config.json") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: Invalid JSON: EOF while parsing an object"),
        ("", "config.json: Invalid JSON: EOF while parsing a value"),
        ('{"size": NaN}', "config.json: size: should be a valid integer"),
        ("[]", "config.json: should be an object"),
        ('{"size": "3"}', "config.json: size: should be a valid integer, not '3'"),
        ('{"size": true}', "config.json: size: should be a valid integer, not True"),
        ('{"sise": 3}', "config.json: sise: unknown setting"),
        (b"\xff\xfe", "config.json: Invalid JSON"),
    ],
)
def test_from_json_refuses_with_origin(text, message):
    with pytest.raises(ConfigError) as refusal:
        Outer.from_json(text, "config.json")

    assert str(refusal.value).startswith(message)


class Named(Config):
    path: FileName


@given(st.binary(min_size=1))
def test_file_name_of_any_bytes_round_trips(content):
    named = Named(path=os.fsdecode(content))

    assert Named.from_json(named.model_dump_json().encode(), "here") == named


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("한 글%20\\.txt", "한 글%20\\.txt"),
        (os.fsdecode(b"/a b/caf\xe9.txt"), "file:/a%20b/caf%E9.txt"),
        ("file:x y", "file:file%3Ax%20y"),
    ],
)
def test_file_name_is_encoded_only_if_needed(name, written):
    assert Named(path=name).model_dump(mode="json") == {"path": written}
    assert Named(path=name).path == name


@pytest.mark.parametrize("value", [b"5", b"null", b'["a"]'])
def test_file_name_must_be_a_string(value):
    with pytest.raises(ConfigError, match=r"^here: path"):
        Named.from_json(b'{"path": ' + value + b"}", "here")


class Base(Config):
    size: Annotated[int, Field(ge=1)] = setting(8, "Size.", RUN)
    internal: int = 3


class Settings(Base):
    """A setting of each kind."""

    size: Annotated[int, Field(ge=1)] = 16
    rate: float | None = setting(None, "Rate.", RUN, shown="a tenth", gt=0.0)
    share: float = setting(1.0, "Share.", RUN)
    flag: bool = setting(False, "Flag.", RUN)
    names: tuple[str, ...] = setting(("a", "b"), "Names.", TEXT, accepts=str | Path, metavar="NAME")
    kind: Literal["x", "y"] = setting("x", "Kind.", TEXT, option="sort")
    path: FileName | None = setting(None, "Path.", TEXT)


SETTINGS = settings_of(Settings)


def test_settings_of_has_declared_fields_by_option():
    assert list(SETTINGS) == ["size", "rate", "share", "flag", "names", "sort", "path"]
    assert [SETTINGS[name].option for name in ("size", "sort")] == ["--size", "--sort"]
    assert settings_of(type("Long", (Settings,), {"__annotations__": {}}))["size"].option == "--size"


def test_settings_of_takes_default_from_subclass_and_description_from_base():
    assert (SETTINGS["size"].default, SETTINGS["size"].shown, SETTINGS["size"].description) == (16, "16", "Size.")
    assert settings_of(Base, Settings)["size"].default == 8


def test_settings_of_shows_defaults():
    shown = {name: made.shown for name, made in SETTINGS.items()}

    assert shown == {
        "size": "16", "rate": "a tenth", "share": "1", "flag": "", "names": "a b", "sort": "x", "path": "",
    }  # fmt: skip


def test_settings_of_has_types_without_constraints():
    types = {name: made.types for name, made in SETTINGS.items()}

    assert types == {
        "size": (int,), "rate": (float,), "share": (float,), "flag": (bool,), "names": (str, Path),
        "sort": (Literal["x", "y"],), "path": (str,),
    }  # fmt: skip
    assert [name for name, made in SETTINGS.items() if made.repeatable] == ["names"]
    assert (SETTINGS["names"].metavar, SETTINGS["names"].group, SETTINGS["size"].group) == ("NAME", TEXT, RUN)


def test_setting_keeps_constraints():
    with pytest.raises(ConfigError, match="rate"):
        Settings.of(rate=0.0)

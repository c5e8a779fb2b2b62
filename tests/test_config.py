from __future__ import annotations

import os
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from seqgen.config import Config, FileName
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
def test_what_does_not_fit_is_refused_by_its_name_and_value(values, message):
    with pytest.raises(ConfigError) as refusal:
        Outer.of(**values)

    assert str(refusal.value) == message


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match=r"^wanted: is missing$"):
        Needy.of()


def test_a_long_value_is_not_repeated():
    with pytest.raises(ConfigError, match=r"^size: should be a valid integer$"):
        Outer.of(size="3" * 100)


def test_what_fits_is_taken_as_it_is():
    config = Outer.of(size=3, rate=1, words=("a",), inner=Inner(depth=2))

    assert (config.size, config.rate, config.words, config.inner.depth) == (3, 1.0, ("a",), 2)


def test_a_config_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Outer().size = 3  # type: ignore[misc]


def test_a_config_comes_back_from_its_json():
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
def test_json_that_does_not_fit_is_refused_with_its_origin(text, message):
    with pytest.raises(ConfigError) as refusal:
        Outer.from_json(text, "config.json")

    assert str(refusal.value).startswith(message)


class Named(Config):
    path: FileName


@given(st.binary(min_size=1))
def test_a_file_name_of_any_bytes_comes_back_from_json(content):
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
def test_only_a_name_that_json_cannot_hold_is_written_otherwise(name, written):
    assert Named(path=name).model_dump(mode="json") == {"path": written}
    assert Named(path=name).path == name


@pytest.mark.parametrize("value", [b"5", b"null", b'["a"]'])
def test_a_file_name_is_a_string(value):
    with pytest.raises(ConfigError, match=r"^here: path"):
        Named.from_json(b'{"path": ' + value + b"}", "here")

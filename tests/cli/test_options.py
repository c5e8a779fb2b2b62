"""Options that are made from the settings of the configs."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Literal

import pytest
from seqgen.cli.options import is_typed, stdin_lines, with_settings

from seqgen.config import TRAINING, Config, setting, settings_of


class Example(Config):
    """A setting of each type."""

    size: int = setting(3, "Size.", TRAINING)
    kind: Literal["a", "b"] = setting("a", "Kind.", TRAINING)
    names: tuple[str, ...] = setting((), "Names.", TRAINING)
    flag: bool = setting(False, "Flag.", TRAINING)
    time: float = setting(1.0, "Time.", TRAINING, accepts=float | str, metavar="TIME", shown="a second")
    internal: int = 5


@pytest.fixture
def received():
    """The settings that the command of the test received."""
    return {}


@pytest.fixture
def command(received):
    @with_settings(settings_of(Example), main=("kind",))
    def run(text: str, json: bool = False, **settings: Any) -> None:
        received.update(settings, text=text, json=json)

    return run


def test_with_settings_makes_options_between_own_parameters_and_json(command):
    assert list(inspect.signature(command).parameters) == ["text", "kind", "size", "names", "flag", "time", "json"]


def test_with_settings_maps_types_of_fields_to_types_of_options(command):
    types = {
        name: parameter.annotation.__origin__
        for name, parameter in inspect.signature(command).parameters.items()
        if name not in {"text", "json"}
    }

    assert types == {
        "kind": Literal["a", "b"] | None, "size": int | None, "names": list[str] | None, "flag": bool | None,
        "time": str | None,
    }  # fmt: skip


def test_with_settings_puts_options_into_panels(command):
    options = {
        name: parameter.annotation.__metadata__[0]
        for name, parameter in inspect.signature(command).parameters.items()
        if name not in {"text", "json"}
    }

    assert {name: option.rich_help_panel for name, option in options.items()} == {
        "kind": None, "size": TRAINING, "names": TRAINING, "flag": TRAINING, "time": TRAINING,
    }  # fmt: skip
    assert (options["time"].show_default, options["time"].metavar, options["size"].show_default) == (
        "a second", "TIME", "3",
    )  # fmt: skip


def test_command_receives_only_given_settings(command, received):
    command(text="x", json=False, kind=None, size=0, names=[], flag=None, time="2s")

    assert received == {"text": "x", "json": False, "size": 0, "time": "2s"}


def test_lines_are_typed_only_at_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # closed
    assert not is_typed("-")

    main, terminal = os.openpty()
    with os.fdopen(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert is_typed("-")
        assert not is_typed("a text")
    os.close(main)


def test_lines_of_stdin_are_yielded_as_many_as_have_come(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        batches = stdin_lines("utf-8")
        os.write(write, "a\n\r\nü".encode() + b"\xc3")
        assert next(batches) == ["a", ""]
        os.write(write, b"\xa4\n")
        assert next(batches) == ["üä"]
        os.write(write, b"b")
        os.close(write)
        assert list(batches) == [["b"]]

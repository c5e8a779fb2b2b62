"""A text in the terminal in the colors of values."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from seqgen.cli.commands.inspect.colored_text import PALETTES, color_text


def show(tokens, values, colors="red-blue", **settings):
    """Return what is printed, without colors by default."""
    console = Console(file=io.StringIO(), width=40, **settings)
    color_text(console, tokens, values, 2.0, PALETTES[colors])
    return console.file.getvalue()


COLORED = {"force_terminal": True, "color_system": "256"}


def test_color_text_without_colors_has_signs_below_each_line():
    text = show(["a", "bc", "가", "\n", "\t", "d", "e\nf"], [0.5, -0.5, 1, 0, 0.49, -1, 0.9])

    assert text == "abc가\n+--++\n de\n -+\nf\n+\n(+ from +1.00, - from -1.00)\n"


def test_color_text_has_a_color_for_each_sign_and_level():
    text = show(["a", "b", "c", "d", "\n"], [1, 0.9999, -1, 0.05, 0.5], **COLORED)

    red, blue = "\x1b[38;5;231;48;5;160m", "\x1b[38;5;231;48;5;26m"
    assert text.startswith(f"{red}ab\x1b[0m{blue}c\x1b[0md\x1b[38;5;231;48;5;95m⏎\x1b[0m\n")
    assert all(f" {value} " in text for value in ("-2.00", "-1.00", "+1.00", "+2.00"))


@pytest.mark.parametrize("sign", [1, -1])
def test_color_text_in_safe_colors_differs(sign):
    assert show(["a"], [sign], **COLORED) != show(["a"], [sign], "safe", **COLORED)


def test_color_text_escapes_what_a_terminal_would_obey():
    lines = show(["\x1b", "a", "\r", "\n", "b\r\n"], [0] * 5).splitlines()

    assert lines[::2] == ["\\x1ba", "b", "(+ from +1.00, - from -1.00)"]


def test_color_text_without_colors_is_chosen_by_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    assert show(["a"], [1], **COLORED).splitlines()[1] == "+"

"""A text in the terminal in which the background of each token is the color of a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from seqgen.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console

Color = tuple[int, int, int]
LEVELS = 6
"""Colors of each sign; a value closer to 0 than half a level has none."""
GRAY: Color = (0x5C, 0x5C, 0x5C)
"""The weakest colors are close to it: white letters are readable on it, and it is visible on black and on white."""
SIGN_FROM = 0.5
"""The value from which a token gets a sign when text is shown without colors."""


class Palette(NamedTuple):
    """The strongest color of each sign; white letters are readable on both."""

    positive: Color
    negative: Color


PALETTES = {
    "red-blue": Palette((0xC6, 0x28, 0x28), (0x1D, 0x4E, 0xD8)),
    "safe": Palette((0xB3, 0x59, 0x00), (0x00, 0x6B, 0xB3)),
}


def color_text(
    console: Console, tokens: Sequence[str], values: Sequence[float], scale: float, palette: Palette
) -> None:
    """Print tokens in the colors of their values, and what the colors mean.

    Without colors, a line of signs is below each line of text: + and - at values of at least a half.

    Args:
        console: where to print.
        tokens: the characters of each token.
        values: one for each token; from 1 and -1 on they have the strongest color.
        scale: what 1 means, for the legend.
        palette: of `PALETTES`.
    """
    from rich.text import Text

    shown = _printable_tokens(tokens)
    if console.color_system is None or console.no_color:
        for line, signs in _lines_with_signs(shown, values):
            console.print(Text(line), soft_wrap=True)
            console.print(Text(signs), soft_wrap=True)
        console.print(f"(+ from {SIGN_FROM * scale:+.2f}, - from {-SIGN_FROM * scale:+.2f})", soft_wrap=True)
        return
    text = Text()
    for style, part in groupby(zip(shown, values, strict=True), key=lambda one: _style(one[1], palette)):
        text.append("".join(token for token, _ in part).replace("\n", "⏎\n"), style)
    console.print(text, end="" if text.plain.endswith("\n") else "\n", overflow="fold")
    legend = Text("  ").join(
        Text(f" {share * scale:+.2f} ", _style(share, palette)) for share in (-1.0, -0.5, 0.5, 1.0)
    )
    console.print(legend)


def _style(value: float, palette: Palette) -> str:
    level = round(min(abs(value), 1) * LEVELS)
    if not level:
        return ""
    strongest = palette.negative if value < 0 else palette.positive
    share = level / LEVELS
    mixed = (round(gray + share * (color - gray)) for gray, color in zip(GRAY, strongest, strict=True))
    return f"#ffffff on #{''.join(f'{one:02x}' for one in mixed)}"


def _printable_tokens(tokens: Sequence[str]) -> list[str]:
    """Return tokens that a terminal can show; of a CR and an LF in two tokens the LF remains."""
    following = [*tokens[1:], ""]
    pairs = zip(tokens, following, strict=True)
    return [printable(token.removesuffix("\r") if after.startswith("\n") else token) for token, after in pairs]


def _lines_with_signs(tokens: Sequence[str], values: Sequence[float]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the text, each with a line of as many signs."""
    from rich.cells import cell_len

    line, signs = "", ""
    for token, value in zip(tokens, values, strict=True):
        sign = " " if abs(value) < SIGN_FROM else "-" if value < 0 else "+"
        for number, part in enumerate(token.replace("\t", " ").split("\n")):
            if number:
                yield line, signs.rstrip()
                line, signs = "", ""
            line, signs = line + part, signs + sign * cell_len(part)
    if line:
        yield line, signs.rstrip()

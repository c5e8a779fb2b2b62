"""Show spaces, line ends and other invisible characters of a token by visible ones."""

from __future__ import annotations

import unicodedata

EMPTY = "∅"
"""What a token without characters is shown as."""
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}
_JOINERS = "\u200c\u200d"


def show_invisible(token: str) -> str:
    """Return `token` with each invisible character as a sign.

    A space is ␣, a newline ⏎, a tab ⇥, another control character its picture (␀ ␍ ␛), any other invisible character
    its code point (U+00A0). A combining mark at the start gets a dotted circle. Joiners are kept inside a token, where
    they shape emoji and scripts.
    """
    if not token:
        return EMPTY
    shown = "".join(char if len(token) > 1 and char in _JOINERS else _show(char) for char in token)
    return f"◌{shown}" if unicodedata.category(shown[0]).startswith("M") else shown


def _show(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char < " ":
        return chr(0x2400 + ord(char))
    invisible = unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
    return f"U+{ord(char):04X}" if invisible else char

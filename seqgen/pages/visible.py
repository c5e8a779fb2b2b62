"""Show spaces, line ends and other invisible characters of a token by visible ones."""

from __future__ import annotations

import re
import unicodedata

EMPTY = "∅"
"""What a token without characters is shown as."""
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}
_JOINERS = "\u200c\u200d"
_LONE_JAMO = re.compile("^[\u1161-\u1175\u11a8-\u11c2]+")
"""Vowels and final consonants of Hangul without the syllable that they belong to."""


def show_invisible(token: str) -> str:
    """Return `token` with each invisible character as a sign.

    A space is ␣, a newline ⏎, a tab ⇥, another control character its picture (␀ ␍ ␛), any other invisible character
    its code point (U+00A0). A combining mark at the start gets a dotted circle. Joiners are kept inside a token, where
    they shape emoji and scripts. A jamo at the start that would join the character before it is written as a letter:
    a vowel as ㅏ, a final consonant as -ㄴ.
    """
    if not token:
        return EMPTY
    shown = "".join(char if len(token) > 1 and char in _JOINERS else _show(char) for char in token)
    shown = _LONE_JAMO.sub(lambda found: "".join(map(_as_letter, found[0])), shown)
    return f"◌{shown}" if unicodedata.category(shown[0]).startswith("M") else shown


def _show(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char < " ":
        return chr(0x2400 + ord(char))
    invisible = unicodedata.category(char) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
    return f"U+{ord(char):04X}" if invisible else char


def _as_letter(jamo: str) -> str:
    """Return a vowel of a syllable as a letter, and a final consonant as a letter after a hyphen."""
    _, place, name = unicodedata.name(jamo).split(" ", 2)  # HANGUL JUNGSEONG A
    letter = unicodedata.lookup(f"HANGUL LETTER {name}")
    return letter if place == "JUNGSEONG" else f"-{letter}"

"""The script of a character. Python's unicodedata has no such property, but a letter's name begins with its script."""

from __future__ import annotations

import functools
import re
import unicodedata

OTHER = "other letters"

_BY_NAME = {
    **{name.upper(): name for name in (
        "Latin", "Greek", "Cyrillic", "Hangul", "Arabic", "Hebrew", "Thai", "Lao", "Devanagari", "Bengali", "Gurmukhi",
        "Gujarati", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Khmer", "Myanmar", "Tibetan", "Mongolian",
        "Georgian", "Armenian", "Ethiopic", "Cherokee",
    )},
    "HIRAGANA": "Kana", "KATAKANA": "Kana", "CJK": "Han", "IDEOGRAPHIC": "Han",
}  # fmt: skip

_BY_CATEGORY = {
    "N": "digits",
    "P": "punctuation",
    "S": "symbols",
    "Z": "white space",
    "M": "combining marks",
    "C": "control and unassigned",
}


@functools.lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """The script of a letter, by the first word of its Unicode name; of any other character its kind.

    A mark that belongs to one script (a Devanagari vowel sign) counts there, one that any may take is a combining mark.
    The letters of scripts that have no name here are "other letters".
    """
    category = unicodedata.category(character)[0]
    if character in "\t\n\r\v\f":
        return "white space"
    if category in "LM":
        words = re.split(r"[ -]", unicodedata.name(character, ""))
        first = words[1] if words[0] in {"FULLWIDTH", "HALFWIDTH"} else words[0]
        return _BY_NAME.get(first) or (OTHER if category == "L" else _BY_CATEGORY["M"])
    return _BY_CATEGORY[category]

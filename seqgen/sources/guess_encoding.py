"""Guess the encoding of bytes that are not valid in the given encoding; return None when unsure."""

from __future__ import annotations

import re

SAMPLE_BYTES = 1 << 16
"""The number of bytes that a guess is based on."""
MIN_HIGH_BYTES = 3
"""The fewest non-ASCII bytes for a guess of an encoding with one byte per character."""
MIN_HIGH_BYTES_WIDE = 16
"""The fewest for an encoding with two or more bytes per character: a few bytes are valid in several."""

_WIDE = ("utf_8", "utf_16_le", "utf_16_be", "shift_jis", "cp932", "cp949", "johab", "gb18030", "big5", "euc_jp")
_NARROW = (
    "latin_1", "cp1252", "cp1251", "koi8_r", "cp866", "cp1253", "iso8859_7", "cp1254", "cp1255", "cp1256", "cp437",
    "cp850", "mac_roman", "cp1250", "iso8859_2",
)  # fmt: skip
_PREFERRED = _WIDE + _NARROW
"""The encodings that a guess may be; the first of those that decode to the same text."""
DAMAGED_UTF8 = 0.9
"""The share of non-ASCII bytes that are valid UTF-8 above which, if not all are, it is damaged UTF-8."""
MAX_MESS_WIDE, MAX_MESS_NARROW = 0.2, 0.06
"""The largest mess (0 to 1, by charset-normalizer) of a guess."""


def guess_encoding(content: bytes) -> str | None:
    """Return the encoding of the first `SAMPLE_BYTES` of `content`; None if that is unsure."""
    content = _whole_lines(content[:SAMPLE_BYTES])
    high = sum(byte > 0x7F for byte in content)
    if high < MIN_HIGH_BYTES and b"\0" not in content:  # as ASCII has in UTF-16
        return None
    valid = sum(byte > 0x7F for byte in content.decode("utf-8", "ignore").encode())
    if DAMAGED_UTF8 <= valid / max(1, high) < 1:
        return None
    from charset_normalizer import from_bytes

    if b"\0" not in content:  # from_bytes looks at samples, which may all be ASCII
        content = b"\n".join(line for line in content.split(b"\n") if not line.isascii())
    matches = from_bytes(content)
    best = matches.best()
    if best is None:
        return None
    alike = {
        name
        for match in matches
        if match.chaos <= best.chaos + 0.005 and match.coherence >= best.coherence - 0.1
        for name in (match.encoding, *match.could_be_from_charset)
    }
    if "cp1252" in alike and not re.search(rb"[\x80-\x9f]", content):
        alike.add("latin_1")
    name = next((name for name in _PREFERRED if name in alike), None)
    if name is None or not _is_sure(name, content, best.chaos, best.coherence):
        return None
    return name.replace("_", "-")


def _is_sure(name: str, content: bytes, mess: float, coherence: float) -> bool:
    if name == "utf_8":
        return True  # other bytes are not valid UTF-8 by accident
    if name.startswith("utf"):
        return b"\0" in content and len(content) > 2 * MIN_HIGH_BYTES_WIDE
    text = content.decode(name, "ignore")
    high = [len(run) for run in re.findall(r"[^\0-\x7f]+", text)]
    if name in _WIDE:  # an umlaut and the next letter may look like one wide character, but not several in a row
        joined = sum(length for length in high if length > 1)
        return 2 * sum(high) >= MIN_HIGH_BYTES_WIDE and joined > sum(high) / 2 and mess <= MAX_MESS_WIDE
    if name in {"latin_1", "cp1252"} and re.search("[ÐÝÞðýþ]", text):
        return False  # Icelandic letters, at whose bytes cp1254 has Turkish letters
    return mess <= MAX_MESS_NARROW and (coherence > 0 or sum(high) >= MIN_HIGH_BYTES_WIDE)


def _whole_lines(content: bytes) -> bytes:
    """Return `content` up to its last line end, so that no character is cut; all of it if it has one line."""
    return content if len(content) < SAMPLE_BYTES else content[: content.rfind(b"\n") + 1] or content


def sample_around(content: bytes, position: int) -> bytes:
    """Return up to `SAMPLE_BYTES` of `content` around `position`, from the start of a line if there is one."""
    start = max(0, position - SAMPLE_BYTES // 2)
    line = content.find(b"\n", start, position) if start else -1
    return content[start if line < 0 else line + 1 :][:SAMPLE_BYTES]

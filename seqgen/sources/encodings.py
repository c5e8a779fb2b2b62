"""Guess which encoding bytes are in, where those that they were said to be in do not fit. Say nothing when unsure."""

from __future__ import annotations

import re

MOST = 1 << 16
"""Bytes that are looked at."""
FEWEST = 3
"""Bytes that are not ASCII, of an encoding that has one for each character: of fewer nothing can be told."""
FEWEST_WIDE = 16
"""The same of an encoding that has two or more: any few bytes fit several."""

_WIDE = ("utf_8", "utf_16_le", "utf_16_be", "shift_jis", "cp932", "cp949", "johab", "gb18030", "big5", "euc_jp")
_NARROW = (
    "latin_1", "cp1252", "cp1251", "koi8_r", "cp866", "cp1253", "iso8859_7", "cp1254", "cp1255", "cp1256", "cp437",
    "cp850", "mac_roman", "cp1250", "iso8859_2",
)  # fmt: skip
_PREFERRED = _WIDE + _NARROW
"""What is ever said: of those that give the same text the first."""
DAMAGED = 0.9
"""Of the bytes that are not ASCII: where so many are valid UTF-8, and not all, it is UTF-8 that was damaged."""
MESS_WIDE, MESS_NARROW = 0.2, 0.06
"""Mess (0 to 1, as charset-normalizer measures it) up to which a guess is worth saying."""


def guess_encoding(content: bytes) -> str | None:
    """Return the name of the encoding that `content`, of which `MOST` bytes count, is in; None if that is unsure."""
    content = _whole_lines(content[:MOST])
    high = sum(byte > 0x7F for byte in content)
    if high < FEWEST and b"\0" not in content:  # UTF-16 has those for ASCII
        return None
    valid = sum(byte > 0x7F for byte in content.decode("utf-8", "ignore").encode())
    if DAMAGED <= valid / max(1, high) < 1:
        return None
    from charset_normalizer import from_bytes

    if b"\0" not in content:  # it looks at samples, which may be ASCII all of them
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
        return True  # which other bytes fit by no accident
    if name.startswith("utf"):
        return b"\0" in content and len(content) > 2 * FEWEST_WIDE
    text = content.decode(name, "ignore")
    high = [len(run) for run in re.findall(r"[^\0-\x7f]+", text)]
    if name in _WIDE:  # whose characters stand together, where an umlaut and the letter behind it look like one
        joined = sum(length for length in high if length > 1)
        return 2 * sum(high) >= FEWEST_WIDE and joined > sum(high) / 2 and mess <= MESS_WIDE
    if name in {"latin_1", "cp1252"} and re.search("[ÐÝÞðýþ]", text):
        return False  # as common in Icelandic as what cp1254 has there is in Turkish
    return mess <= MESS_NARROW and (coherence > 0 or sum(high) >= FEWEST_WIDE)


def _whole_lines(content: bytes) -> bytes:
    """`content` as far as its last line, so that no character is cut in two; all of it where it has one line."""
    return content if len(content) < MOST else content[: content.rfind(b"\n") + 1] or content


def around(content: bytes, place: int) -> bytes:
    """Return up to `MOST` bytes of `content` around `place`, from the start of a line on where there is one."""
    start = max(0, place - MOST // 2)
    line = content.find(b"\n", start, place) if start else -1
    return content[start if line < 0 else line + 1 :][:MOST]

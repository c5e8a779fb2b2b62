"""Recognize a file that is not text by its first bytes, and advise how to get its text.

A table of magic numbers. Magic numbers of ASCII letters count only if a NUL is among the first bytes, so that a text
that starts with `OggS` or `MZ` stays a text.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

HEAD = 4096
"""The number of bytes to check; they include the names of the first members of an office document."""


@dataclass(frozen=True)
class Recognized:
    """What a file is, and how to train on its text."""

    what: str
    """With its article: `a PDF document`."""
    advice: str
    """`{name}` is replaced by the name of the file."""

    def describe(self, name: str) -> str:
        """Return a sentence on the file called `name`, or on stdin."""
        return f"{name} is {self.what}: {self.advice.format(name='FILE' if name == 'stdin' else shlex.quote(name))}"


_RAW = "it has no text; to train on its bytes give --encoding bytes"
_DATA = "export its text to .txt, .csv or .jsonl first, then train on that"
_OFFICE = "save it as plain text (soffice --headless --convert-to txt {name}), then train on that"
_SHEET = "save it as CSV, then train on a column of that by --field"

_IMAGE = Recognized("a picture", f"{_RAW}, for text in it use OCR first (tesseract {{name}} text)")
_AUDIO, _VIDEO = Recognized("an audio file", _RAW), Recognized("a video", _RAW)
_PROGRAM = Recognized("a program or a compiled library", _RAW)
_WEIGHTS = Recognized("a file of model weights", "name the text to train on instead")
_FONT = Recognized("a font", _RAW)


def _packed(what: str, suffix: str) -> Recognized:
    return Recognized(what, f"rename it to end in {suffix}")


def _unpack(what: str, command: str) -> Recognized:
    return Recognized(what, f"unpack it first ({command} {{name}}), then train on its content")


_ZIP = _packed("a ZIP archive", ".zip")
_OLD_OFFICE = Recognized("an office document of the old kind (.doc, .xls, .ppt)", _OFFICE)

_MAGIC: tuple[tuple[int, bytes, Recognized], ...] = (
    (0, b"%PDF-", Recognized("a PDF document", "extract its text first (pdftotext {name}), then train on that")),
    (0, b"{\\rtf", Recognized("an RTF document", _OFFICE)),
    (0, b"%!PS", Recognized("a PostScript document", "extract its text first (ps2ascii {name}), then train on that")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD_OFFICE),
    (60, b"BOOKMOBI", Recognized("a Kindle book", "convert it to .epub first")),
    (0, b"AT&TFORM", Recognized("a DjVu document", "extract its text first (djvutxt {name}), then train on that")),
    # compressed files and archives
    (0, b"\x1f\x8b\x08", _packed("compressed by gzip", ".gz")),
    (0, b"\xfd7zXZ\x00", _packed("compressed by xz", ".xz")),
    (0, b"\x28\xb5\x2f\xfd", _packed("compressed by Zstandard", ".zst")),
    (257, b"ustar", _packed("a tar archive", ".tar")),
    (0, b"7z\xbc\xaf\x27\x1c", _unpack("a 7-Zip archive", "7z x")),
    (0, b"Rar!\x1a\x07", _unpack("a RAR archive", "unrar x")),
    (0, b"\x04\x22\x4d\x18", _unpack("compressed by lz4", "lz4 -d")),
    # data
    (0, b"SQLite format 3\x00", Recognized("an SQLite database", _DATA)),
    (0, b"\x89HDF\r\n\x1a\n", Recognized("an HDF5 file", _DATA)),
    (0, b"\x93NUMPY", Recognized("a NumPy array", _DATA)),
    # pictures
    (0, b"\x89PNG\r\n\x1a\n", _IMAGE),
    (0, b"\xff\xd8\xff", _IMAGE),
    (0, b"II*\x00", _IMAGE),
    (0, b"MM\x00*", _IMAGE),
    (0, b"\x00\x00\x01\x00", _IMAGE),
    # sound and video
    (0, b"MThd\x00\x00\x00\x06", Recognized("a MIDI file", _RAW)),
    (0, b"\xff\xfb", _AUDIO),
    (0, b"\xff\xf3", _AUDIO),
    (0, b"\xff\xf2", _AUDIO),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    # programs
    (0, b"\x7fELF", _PROGRAM),
    (0, b"\x00asm", _PROGRAM),
    (0, b"\xca\xfe\xba\xbe", _PROGRAM),
    (0, b"\xcf\xfa\xed\xfe", _PROGRAM),
    (0, b"\xce\xfa\xed\xfe", _PROGRAM),
    (0, b"\x00\x01\x00\x00\x00", _FONT),
)
"""Offset, bytes, and the kind of file; the first match counts."""

_WORDS: tuple[tuple[int, bytes, Recognized], ...] = (
    (0, b"PAR1", Recognized("a Parquet file", _DATA)),
    (0, b"ARROW1", Recognized("an Arrow file", _DATA)),
    (0, b"FEA1", Recognized("a Feather file", _DATA)),
    (0, b"GGUF", _WEIGHTS),
    (0, b"GIF87a", _IMAGE),
    (0, b"GIF89a", _IMAGE),
    (0, b"BM", _IMAGE),
    (0, b"8BPS", _IMAGE),
    (8, b"WEBP", _IMAGE),
    (8, b"WAVE", _AUDIO),
    (8, b"AVI ", _VIDEO),
    (4, b"ftypheic", _IMAGE),
    (4, b"ftypavif", _IMAGE),
    (4, b"ftypM4A", _AUDIO),
    (4, b"ftyp", _VIDEO),
    (0, b"OggS", _AUDIO),
    (0, b"fLaC", _AUDIO),
    (0, b"ID3", _AUDIO),
    (0, b"FLV\x01", _VIDEO),
    (0, b"MZ", _PROGRAM),
    (0, b"OTTO", _FONT),
    (0, b"wOFF", _FONT),
    (0, b"wOF2", _FONT),
)
"""The same for magic numbers of letters, which count only with a NUL among the first bytes."""

_ZIPPED: tuple[tuple[bytes, Recognized], ...] = (
    (b"mimetypeapplication/epub+zip", _packed("an EPUB book", ".epub")),
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", Recognized("a spreadsheet", _SHEET)),
    (b"mimetypeapplication/vnd.oasis.opendocument", Recognized("an office document", _OFFICE)),
    (b"word/", Recognized("a Word document", _OFFICE)),
    (b"xl/", Recognized("a spreadsheet", _SHEET)),
    (b"ppt/", Recognized("a presentation", _OFFICE)),
    (b"data.pkl", _WEIGHTS),
    (b".npy", Recognized("a file of NumPy arrays", _DATA)),
)
"""The kind of a ZIP file by the names of its first members."""


def recognize(head: bytes) -> Recognized | None:
    """Return the kind of a file by its first `HEAD` bytes; None if it may be text."""
    head = head[:HEAD]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next((known for name, known in _ZIPPED if name in head), _ZIP)
    if _is_bzip2(head):
        return _packed("compressed by bzip2", ".bz2")
    if _is_safetensors(head):
        return _WEIGHTS
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return Recognized("a Python pickle", f"a pickle can run code and is never read; {_DATA}")
    known = (*_MAGIC, *_WORDS) if b"\x00" in head else _MAGIC
    return next((found for at, magic, found in known if head.startswith(magic, at)), None)


def _is_bzip2(head: bytes) -> bool:
    return head.startswith(b"BZh") and head[4:10] == b"1AY&SY"


def _is_safetensors(head: bytes) -> bool:
    """Return whether the file starts with the length of a JSON header: 8 bytes, little-endian."""
    return head[8:10] == b'{"' and head[4:8] == bytes(4)

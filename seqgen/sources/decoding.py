"""Open files and decode bytes to text, in one way for every command.

The encoding is explicit, one leading byte order mark is dropped, and line ends stay unchanged. `TextDecoder` decodes
block by block, with the same result as decoding all bytes at once.
"""

from __future__ import annotations

import codecs
import re
import shlex
import threading
from pathlib import Path
from typing import BinaryIO

from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import BYTES
from seqgen.sources.guess_encoding import guess_encoding, sample_around
from seqgen.sources.recognize import recognize
from seqgen.utils.text import REPLACEMENT, replace_surrogates

CHUNK_BYTES = 1 << 20
"""The number of bytes that are read and decoded at once, which bounds the memory of a text of any length."""

_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_errors = threading.local()

_SURROGATE_CODECS = {"utf-7", "punycode", "unicode_escape", "raw_unicode_escape"}
"""Codecs that decode to lone surrogates, which UTF-8 cannot encode."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),  # first, because one starts like that of utf-16
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


class TextDecoder:
    """Decode bytes to text block by block.

    Args:
        encoding: the name of the encoding.
        errors: how to treat invalid bytes: `strict` raises, `replace` decodes them to U+FFFD, `ignore` drops them.
        where: the name of the source in an error.

    Raises:
        ConfigError: the encoding is unknown.
    """

    def __init__(self, encoding: str, errors: str, where: str) -> None:
        try:
            b"a".decode(encoding, "ignore")  # raises for codecs that do not decode bytes to text
            self._name = codecs.lookup(encoding).name
        except (LookupError, ValueError) as error:  # ValueError: a name with NUL
            if isinstance(error, UnicodeError):
                raise TextError(f"{where} is not valid {encoding}: {error}") from error
            raise ConfigError(f"encoding: {encoding!r} is not a known encoding; try utf-8, cp949, utf-16") from error
        self._errors = errors
        self._encoding, self._where = encoding, where
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._consumed = 0
        self._started = False
        self.ill_formed = 0
        """The number of byte sequences that were replaced or dropped."""

    def push(self, block: bytes, *, final: bool = False) -> str:
        """Return the text that `block` completes; `final` marks the last block.

        Raises:
            TextError: the bytes are not valid in the encoding; the message has the offset.
        """
        if self._decoder is None:
            self._head += block
            if not final and any(len(mark) > len(self._head) and mark.startswith(self._head) for mark, _ in _MARKS):
                return ""  # it may become a byte order mark; anything else is decoded at once, as it comes
            counted = self._errors if self._errors == "strict" else f"seqgen-{self._errors}"
            self._decoder = codecs.getincrementaldecoder(self._codec_without_mark())(counted)
            block = self._head
        self._consumed += len(block)
        _errors.count = 0
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            # error.object is the undecoded end of the blocks before, and this block
            offset = self._consumed - len(error.object) + error.start
            raise TextError(
                f"{self._where} is not valid {self._encoding} at byte {offset} (0x{error.object[error.start]:02x}); "
                f"{self._advice(error)}"
            ) from error
        except UnicodeError as error:  # codecs that report no position: punycode, undefined
            raise TextError(f"{self._where} is not valid {self._encoding}: {error}") from error
        self.ill_formed += _errors.count
        if self._name in _SURROGATE_CODECS:
            text, surrogates = replace_surrogates(text, "" if self._errors == "ignore" else REPLACEMENT)
            self.ill_formed += surrogates
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        return text

    def _advice(self, error: UnicodeDecodeError) -> str:
        marked = next((name for mark, name in _MARKS if self._head.startswith(mark)), None)
        if marked is not None and not self._name.startswith(marked):
            return f"it starts with the byte order mark of {marked}: give --encoding {marked}"
        guess = guess_encoding(sample_around(error.object, error.start))
        if guess is not None and codecs.lookup(guess).name != self._name:
            return f"it looks like {guess}: give --encoding {guess}"
        return "give --encoding, or --errors replace, or convert it to UTF-8 first"

    def _codec_without_mark(self) -> str:
        """Return the codec that does not drop byte order marks; without a mark utf-16 is little-endian."""
        if self._name in {"utf-16", "utf-32"}:
            mark = codecs.BOM_UTF16_BE if self._name == "utf-16" else codecs.BOM_UTF32_BE
            return f"{self._name}-be" if self._head.startswith(mark) else f"{self._name}-le"
        return "utf-8" if self._name == "utf-8-sig" else self._name


def _replace(error: UnicodeError) -> tuple[str, int]:
    return _count(error, REPLACEMENT)


def _ignore(error: UnicodeError) -> tuple[str, int]:
    return _count(error, "")


def _count(error: UnicodeError, instead: str) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _errors.count += 1
    return instead, error.end


codecs.register_error("seqgen-replace", _replace)
codecs.register_error("seqgen-ignore", _ignore)


def open_file(path: str | Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        TextError: the file is missing, cannot be read, or is a device.
    """
    try:
        if _URL.match(str(path)):
            raise TextError(
                f"{path} is a URL; download it first (curl -LO {shlex.quote(str(path))}), then name the file"
            )
        path = Path(path)
        if path.is_char_device() or path.is_block_device():
            raise TextError(f"{path} is a device, which may have no end; name a text file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise TextError(f"{path} is missing; check the name and the folder") from error
    except ValueError as error:  # a name with NUL
        raise TextError(f"{str(path)!r} is not a valid file name") from error
    except IsADirectoryError as error:
        raise TextError(f"{path} is a directory; name a text file") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """Return the whole text of a file; with the encoding `bytes`, a character per byte.

    Raises:
        TextError: the file cannot be read or is not valid in the encoding; the message has the byte offset.
        ConfigError: the encoding is unknown.
    """
    with open_file(path) as file:
        try:
            content = file.read()
        except OSError as error:
            raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
    if encoding != BYTES and (found := recognize(content)) is not None:
        raise TextError(found.describe(str(path)))
    return decode_text(content, encoding, str(path))


def decode_text(content: bytes, encoding: str, where: str) -> str:
    """Decode bytes that come from `where`; lone surrogates, which utf-7 can encode, become U+FFFD.

    Raises:
        TextError: the bytes are not valid in the encoding.
        ConfigError: the encoding is unknown.
    """
    return (
        content.decode("latin-1")
        if encoding == BYTES
        else TextDecoder(encoding, "strict", where).push(content, final=True)
    )

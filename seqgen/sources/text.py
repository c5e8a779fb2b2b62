"""Bytes to text: one place that decodes, so that every command reads the same bytes the same way.

The encoding is explicit, one leading byte order mark is dropped, newlines stay as they are. `TextDecoder` does it a
block at a time; what it gives in all is what one call on all bytes gives.
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
from seqgen.sources.encodings import around, guess_encoding
from seqgen.sources.recognize import recognize

CHUNK_BYTES = 1 << 20
"""Bytes that are read and decoded at once: what memory a text takes, however long it is."""

_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_tally = threading.local()

_GIVES_SURROGATES = {"utf-7", "unicode_escape", "raw_unicode_escape"}
"""Codecs that can spell half a character, which no UTF-8 can hold."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),  # first: one begins as utf-16's does
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


class TextDecoder:
    """Bytes to text, a block at a time.

    Args:
        encoding: what the bytes are said to be.
        errors: what becomes of bytes that are no text: `strict` refuses them, `replace` makes them U+FFFD, `ignore`
            leaves them out.
        where: names their origin in an error.

    Raises:
        ConfigError: there is no such encoding.
    """

    def __init__(self, encoding: str, errors: str, where: str) -> None:
        try:
            b"a".decode(encoding, "ignore")  # refuses codecs that are not from bytes to text
            self._name = codecs.lookup(encoding).name
        except (LookupError, ValueError) as error:  # ValueError: a name with a NUL in it
            if isinstance(error, UnicodeError):
                raise TextError(f"{where} is not {encoding}: {error}") from error
            raise ConfigError(
                f"encoding: there is no encoding called {encoding!r}; try utf-8, cp949, utf-16"
            ) from error
        self._errors = errors
        self._encoding, self._where = encoding, where
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._taken = 0
        self._begun = False
        self.ill_formed = 0
        """How many stretches of bytes were replaced or left out."""

    def push(self, block: bytes, *, final: bool = False) -> str:
        """The text that `block` completes; `final` says that it is the last.

        Raises:
            TextError: the bytes are not text in this encoding; the message has the offset.
        """
        if self._decoder is None:
            self._head += block
            if len(self._head) < len(codecs.BOM_UTF32) and not final:
                return ""
            counted = self._errors if self._errors == "strict" else f"seqgen-{self._errors}"
            self._decoder = codecs.getincrementaldecoder(self._width_and_order())(counted)
            block = self._head
        self._taken += len(block)
        _tally.count = 0
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            # error.object is what was held back of the blocks before, and this block.
            offset = self._taken - len(error.object) + error.start
            raise TextError(
                f"{self._where} is not {self._encoding} at byte {offset} (0x{error.object[error.start]:02x}); "
                f"{self._advice(error)}"
            ) from error
        except UnicodeError as error:  # of codecs that name no place: punycode, undefined
            raise TextError(f"{self._where} is not {self._encoding}: {error}") from error
        self.ill_formed += _tally.count
        if self._name in _GIVES_SURROGATES:
            text, halves = without_halves(text, self._errors)
            self.ill_formed += halves
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        return text

    def _advice(self, error: UnicodeDecodeError) -> str:
        marked = next((name for mark, name in _MARKS if self._head.startswith(mark)), None)
        if marked is not None and not self._name.startswith(marked):
            return f"it begins with the byte order mark of {marked}: say --encoding {marked}"
        guess = guess_encoding(around(error.object, error.start))
        if guess is not None and codecs.lookup(guess).name != self._name:
            return f"it looks like {guess}: say --encoding {guess}"
        return "say --encoding, or --errors replace, or convert it to UTF-8 first"

    def _width_and_order(self) -> str:
        """The codec that leaves the byte order mark to us, one and no more; without a mark, little-endian."""
        if self._name in {"utf-16", "utf-32"}:
            mark = codecs.BOM_UTF16_BE if self._name == "utf-16" else codecs.BOM_UTF32_BE
            return f"{self._name}-be" if self._head.startswith(mark) else f"{self._name}-le"
        return "utf-8" if self._name == "utf-8-sig" else self._name


def without_halves(text: str, errors: str) -> tuple[str, int]:
    """`text` with each lone surrogate, which no UTF-8 can hold, as U+FFFD, or with `ignore` left out; and their number.

    Args:
        text: what a codec or JSON gave.
        errors: as of `TextDecoder`; `strict` refuses bytes, and these are none.
    """
    return (text, 0) if text.isascii() else _SURROGATE.subn("" if errors == "ignore" else "\ufffd", text)


def _replace(error: UnicodeError) -> tuple[str, int]:
    return _count(error, "\ufffd")


def _ignore(error: UnicodeError) -> tuple[str, int]:
    return _count(error, "")


def _count(error: UnicodeError, instead: str) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _tally.count += 1
    return instead, error.end


codecs.register_error("seqgen-replace", _replace)
codecs.register_error("seqgen-ignore", _ignore)


def open_file(path: str | Path) -> BinaryIO:
    """Open a file to be read.

    Raises:
        TextError: there is no such file, or it is none that can be read to its end.
    """
    try:
        if _URL.match(str(path)):
            raise TextError(
                f"{path} is a URL; download it first (curl -LO {shlex.quote(str(path))}), then name the file"
            )
        path = Path(path)
        if path.is_char_device() or path.is_block_device():
            raise TextError(f"{path} is a device, which need not end; name a text file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise TextError(f"{path}: there is no such file; check the name and the folder") from error
    except ValueError as error:  # a name with a NUL in it
        raise TextError(f"{str(path)!r} is no name of a file") from error
    except IsADirectoryError as error:
        raise TextError(f"{path} is a directory; name a text file") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of the file at `path`, all of it; with `bytes`, its bytes as they are.

    Raises:
        TextError: there is no such file, or its bytes are not text in `encoding` (with the byte offset).
        ConfigError: there is no such encoding.
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
    """`content` as text; `where` names its origin in the error. Lone surrogates, which utf-7 can hold, become U+FFFD.

    Raises:
        TextError: the bytes are not text in `encoding`.
        ConfigError: there is no such encoding.
    """
    return (
        content.decode("latin-1")
        if encoding == BYTES
        else TextDecoder(encoding, "strict", where).push(content, final=True)
    )

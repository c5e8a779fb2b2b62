"""Files to text: one place that opens them, so that every command reads the same bytes the same way.

The encoding is explicit, one leading byte order mark is dropped, newlines stay as they are.
"""

from __future__ import annotations

from pathlib import Path

from seqgen.errors import ConfigError, TextError


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of the file at `path`.

    Raises:
        TextError: there is no such file, it is empty, or its bytes are not text in `encoding` (with the byte offset).
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    try:
        if path.is_char_device() or path.is_block_device():
            raise TextError(f"{path} is a device, which need not end; name a text file")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise TextError(f"{path}: there is no such file; check the name and the folder") from error
    except ValueError as error:  # a name with a NUL in it
        raise TextError(f"{str(path)!r} is no name of a file") from error
    except IsADirectoryError as error:
        raise TextError(f"{path} is a directory; name a text file") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
    text = decode_text(content, encoding, str(path))
    if not text:
        raise TextError(f"{path} is empty; give a text to work with")
    return text


def decode_text(content: bytes, encoding: str, where: str) -> str:
    """`content` as text; `where` names its origin in the error. Lone surrogates, which utf-7 can hold, become U+FFFD.

    Raises:
        TextError: the bytes are not text in `encoding`.
        ConfigError: there is no such encoding.
    """
    from seqgen.tokenizers.base import without_surrogates

    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(
            f"{where} is not {encoding} at byte {error.start} (0x{content[error.start]:02x}); say --encoding, or "
            "convert the file to UTF-8 first"
        ) from error
    except UnicodeError as error:  # of codecs that name no place: punycode, undefined
        raise TextError(f"{where} is not {encoding}: {error}") from error
    except (LookupError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise ConfigError(f"encoding: there is no encoding called {encoding!r}; try utf-8, cp949, utf-16") from error
    return without_surrogates(text.removeprefix("\ufeff"))

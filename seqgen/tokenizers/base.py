"""What every tokenizer is: text <-> ids, with id 0 the document boundary.

A tokenizer is a table from id to bytes (`pieces`) and a way to cut a text into ids. Decoding is the same for all: the
pieces' bytes, joined and read as UTF-8. That makes the streaming decoder exact on any ids, broken UTF-8 included.
On disk it is a few named files; its fingerprint is their hash, so it can be checked before anything is parsed.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from seqgen.errors import ConfigError, SaveError, TokenizerError
from seqgen.files import make_directory, write_atomically
from seqgen.settings import Settings
from seqgen.tokenizers.config import TokenizerConfig, TokenizerKind

Ids: TypeAlias = npt.NDArray[np.int32]

BOUNDARY = 0
"""The id that starts every document. No text encodes to it."""

REPLACEMENT = "\ufffd"
UNICODE_SCALARS = 0x110000 - 0x800
"""How many code points a text can hold: all of Unicode less the surrogates."""

TOKENIZER_FILE = "tokenizer.json"
MODEL_FILE = "sentencepiece.model"
FILES = (TOKENIZER_FILE, MODEL_FILE)
"""Every file that a tokenizer may consist of; the first is always there."""
FORMAT_VERSION = 1

_SURROGATE = re.compile("[\ud800-\udfff]")


class StreamDecoder:
    """Turns ids into text one at a time; what it gives in all is what `decode` gives in one call."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that `token` completes; a character split across tokens is held back until it is whole.

        Raises:
            TokenizerError: the vocabulary has no such id.
        """
        if not 0 <= token < len(self._pieces):
            _refuse_id(token, len(self._pieces))
        return self._utf8.decode(self._pieces[token])

    def flush(self) -> str:
        """What was still held back: an incomplete character becomes U+FFFD."""
        return self._utf8.decode(b"", final=True)


class Tokenizer(ABC):
    """Text <-> ids. Immutable once made."""

    kind: ClassVar[TokenizerKind]
    pieces: Sequence[bytes]
    """From id to the UTF-8 bytes that it stands for; the boundary stands for none."""
    unknown_id: int | None = None
    """The id of what the vocabulary does not hold, where there is such an id."""

    @classmethod
    @abstractmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        """Build the vocabulary from texts.

        Raises:
            ConfigError: `config` asks for what this kind does not have.
            TokenizerError: the texts cannot give such a vocabulary.
        """

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Text to ids, [N] int32. Lone surrogates count as U+FFFD; no text gives the boundary."""

    def decode(self, ids: Iterable[int]) -> str:
        """Ids, in an array, a tensor or any iterable, to text; bytes that are no UTF-8 become U+FFFD.

        Raises:
            TokenizerError: the vocabulary has no such id.
        """
        to_list = getattr(ids, "tolist", None)  # Python's own integers index a sequence ten times faster than numpy's
        tokens: list[int] = to_list() if to_list else list(ids)
        for extreme in (min(tokens), max(tokens)) if tokens else ():
            if not 0 <= extreme < self.vocab_size:
                _refuse_id(extreme, self.vocab_size)
        pieces = self.pieces
        return b"".join([pieces[token] for token in tokens]).decode("utf-8", "replace")

    def stream_decoder(self) -> StreamDecoder:
        """A decoder to be fed one id at a time."""
        return StreamDecoder(self.pieces)

    def unknown(self, text: str) -> Counter[str]:
        """What in `text` the vocabulary does not hold, with counts: characters for char, words for word."""
        del text
        return Counter()

    def spelling_nats(self, piece: str) -> float:
        """What it costs to say which unknown this is: the lossless code length beside the `<unk>` itself."""
        raise TokenizerError(f"a {self.kind} tokenizer has no unknown pieces, so {piece!r} has no spelling")

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the boundary included."""
        return len(self.pieces)

    @property
    def fingerprint(self) -> str:
        """A SHA-256 of everything that changes an id."""
        return fingerprint_of(self.to_files())

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """The tokenizer as file names (of `FILES`) and contents."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of `to_files`; `files` has passed the fingerprint check, if there was one to pass.

        Raises:
            TokenizerError: the files are not those of a tokenizer of this kind.
        """

    def save(self, directory: Path) -> None:
        """Write the tokenizer, whole, into `directory`, which is made if it is not there.

        Raises:
            SaveError: something could not be written.
        """
        files = self.to_files()
        try:
            if not directory.is_dir():
                make_directory(directory)
            for name in set(FILES) - set(files):  # of another kind that was saved here before
                (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise SaveError(f"{directory}: the tokenizer could not be written: {error.strerror or error}") from error
        for name, content in files.items():
            write_atomically(directory / name, content)


class TokenizerFile(Settings):
    """What `tokenizer.json` holds for every kind; each kind adds its own fields."""

    format_version: Literal[1]  # FORMAT_VERSION


class _KindFile(TokenizerFile):
    model_config = ConfigDict(extra="ignore")

    kind: TokenizerKind


F = TypeVar("F", bound=TokenizerFile)


def to_json(kind: str, **fields: Any) -> bytes:
    """The bytes of `tokenizer.json`: readable, and the same for the same content on every machine."""
    content = {"format_version": FORMAT_VERSION, "kind": kind, **fields}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def read_json(files: Mapping[str, bytes], schema: type[F], *others: str) -> F:
    """`tokenizer.json` as `schema` says it must be, from `files` that are it and `others`, no less and no more.

    Raises:
        TokenizerError: a file is missing or one too many, or the JSON is malformed, foreign or of another version.
    """
    for name in (TOKENIZER_FILE, *others):
        if name not in files:
            raise TokenizerError(f"{name} is missing")
    for name in files:
        if name not in (TOKENIZER_FILE, *others):
            raise TokenizerError(f"{name} is no part of this kind of tokenizer")
    try:
        return schema.from_json(files[TOKENIZER_FILE], TOKENIZER_FILE)
    except ConfigError as error:
        raise TokenizerError(str(error)) from error


def kind_of(files: Mapping[str, bytes]) -> TokenizerKind:
    """Which kind of tokenizer `files` are; the kind itself then checks the rest.

    Raises:
        TokenizerError: `tokenizer.json` is missing, malformed, or names no kind that there is.
    """
    return read_json(files, _KindFile, *(name for name in files if name != TOKENIZER_FILE)).kind


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """A SHA-256 over names and contents, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}:{len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()


def without_surrogates(text: str) -> str:
    """`text` with each lone surrogate, which no UTF-8 can hold, as U+FFFD."""
    return _SURROGATE.sub(REPLACEMENT, text)


def not_empty(documents: Iterable[str]) -> Iterator[str]:
    """The documents that hold anything, lone surrogates replaced, one by one.

    Raises:
        TokenizerError: at their end, if there were none.
    """
    empty = True
    for document in documents:
        if document:
            empty = False
            yield without_surrogates(document)
    if empty:
        raise TokenizerError("the text is empty: a tokenizer needs at least one character to be built from")


def _refuse_id(token: int, vocab_size: int) -> NoReturn:
    raise TokenizerError(f"there is no id {token} in a vocabulary of {vocab_size} (0 to {vocab_size - 1})")

"""What every tokenizer is: text <-> ids, with id 0 the document boundary.

A tokenizer is a Unicode form that a text is brought into (`normalization`), a table (`id_to_bytes`) and a way to cut a
text into ids. Decoding is the same for all: the pieces' bytes, joined and read as UTF-8, in NFC where the tokenizer
normalizes. That makes the streaming decoder exact on any ids, broken UTF-8 included.
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

from seqgen.config import Config
from seqgen.errors import ConfigError, SaveError, TokenizerError
from seqgen.tokenizers.config import Normalization, TokenizerConfig, TokenizerKind
from seqgen.tokenizers.normalization import Composer, changed_characters, last_boundary, normalize
from seqgen.utils.files import make_directory, write_atomically

Ids: TypeAlias = npt.NDArray[np.int32]

TextEncoding: TypeAlias = Literal["utf-8", "latin-1"]

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

    def __init__(
        self, pieces: Sequence[bytes], normalization: Normalization = "none", encoding: TextEncoding = "utf-8"
    ) -> None:
        self._pieces = pieces
        self._bytes = codecs.getincrementaldecoder(encoding)("replace")
        self._composer = None if normalization == "none" else Composer()

    def push(self, token: int) -> str:
        """The text that `token` completes.

        A character split across tokens is held back until it is whole, and where the tokenizer normalizes, until
        nothing that follows can compose with it.

        Raises:
            TokenizerError: the vocabulary has no such id.
        """
        if not 0 <= token < len(self._pieces):
            _refuse_id(token, len(self._pieces))
        text = self._bytes.decode(self._pieces[token])
        return text if self._composer is None else self._composer.push(text)

    def flush(self) -> str:
        """What was still held back: an incomplete character becomes U+FFFD."""
        text = self._bytes.decode(b"", final=True)
        return text if self._composer is None else self._composer.push(text) + self._composer.flush()


class Tokenizer(ABC):
    """Text <-> ids. Immutable once made."""

    kind: ClassVar[TokenizerKind]
    id_to_bytes: Sequence[bytes]
    """From id to the UTF-8 bytes that it stands for; the boundary stands for none."""
    unknown_id: int | None = None
    """The id of what the vocabulary does not hold, where there is such an id."""
    text_encoding: TextEncoding = "utf-8"
    """How the pieces' bytes are text: latin-1 where a character is a byte of a file, as `--encoding bytes` reads it."""

    def __init__(self, normalization: Normalization = "none") -> None:
        self.normalization: Normalization = normalization
        """The Unicode form that texts are brought into."""
        self._written_form: Normalization = "none" if normalization == "none" else "nfc"

    @classmethod
    @abstractmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        """Build the vocabulary from texts.

        Raises:
            ConfigError: `config` asks for what this kind does not have.
            TokenizerError: the texts cannot give such a vocabulary.
        """

    def encode(self, text: str) -> Ids:
        """Text to ids, [N] int32. Lone surrogates count as U+FFFD; no text gives the boundary."""
        return self._encode(normalize(text, self.normalization))

    @abstractmethod
    def _encode(self, text: str) -> Ids:
        """`encode` of a text that is normalized already."""

    def spelled(self, text: str) -> list[str]:
        """What of `text`, normalized, each of its ids stands for; a character of several ids stands with the last."""
        return self._spell(normalize(without_surrogates(text), self.normalization))

    def _spell(self, text: str) -> list[str]:
        """`spelled` of a text that is normalized already and has no lone surrogates."""
        decoder = codecs.getincrementaldecoder(self.text_encoding)()
        return [decoder.decode(self.id_to_bytes[token]) for token in self._encode(text).tolist()]

    def split_point(self, text: str) -> int:
        """Where a text of which `text` is the beginning can be cut: the ids of both sides are those of the whole.

        As far on as is known; 0 where no place is. So a text of any length is encoded a megabyte at a time.
        """
        return line_split_point(text)

    def _character_cut(self, text: str) -> int:
        """`cut` where an id never depends on more than one character, but for those that normalization composes."""
        return len(text) if self.normalization == "none" else last_boundary(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids, in an array, a tensor or any iterable, to text, in NFC where the tokenizer normalizes.

        Bytes that are no UTF-8 become U+FFFD.

        Raises:
            TokenizerError: the vocabulary has no such id.
        """
        to_list = getattr(ids, "tolist", None)  # Python's own integers index a sequence ten times faster than numpy's
        tokens: list[int] = to_list() if to_list else list(ids)
        for extreme in (min(tokens), max(tokens)) if tokens else ():
            if not 0 <= extreme < self.vocab_size:
                _refuse_id(extreme, self.vocab_size)
        pieces = self.id_to_bytes
        content = b"".join([pieces[token] for token in tokens])
        return normalize(content.decode(self.text_encoding, "replace"), self._written_form)

    def written(self, text: str) -> str:
        """`text` as `decode` would write it: in NFC where the tokenizer normalizes, without lone surrogates."""
        return normalize(without_surrogates(text), self._written_form)

    def changed_characters(self, text: str) -> int:
        """How many characters of `text` do not come back as they were because of the normalization."""
        return 0 if self.normalization == "none" else changed_characters(text)

    def stream_decoder(self) -> StreamDecoder:
        """A decoder to be fed one id at a time."""
        return StreamDecoder(self.id_to_bytes, self.normalization, self.text_encoding)

    def byte_length(self, text: str) -> int:
        """How many bytes a text without lone surrogates has in the file that it was read from, as UTF-8 or raw."""
        return len(text.encode(self.text_encoding))

    def unknown(self, text: str) -> Counter[str]:
        """What in `text`, normalized, the vocabulary does not hold, with counts: characters or words."""
        return self._find_unknown(normalize(without_surrogates(text), self.normalization))

    def _find_unknown(self, text: str) -> Counter[str]:
        """`unknown` of a text that is normalized already and has no lone surrogates."""
        del text
        return Counter()

    def unk_cost(self, piece: str) -> float:
        """What it costs to say which unknown this is: the lossless code length beside the `<unk>` itself."""
        raise TokenizerError(f"a {self.kind} tokenizer has no unknown pieces, so {piece!r} has no spelling")

    @property
    def vocab_size(self) -> int:
        """How many ids there are, the boundary included."""
        return len(self.id_to_bytes)

    @property
    def fingerprint(self) -> str:
        """A SHA-256 of everything that changes an id."""
        return fingerprint_of(self.to_files())

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """The tokenizer as file names (of `FILES`) and contents."""

    def _to_json(self, **fields: Any) -> bytes:
        """`tokenizer.json` with the `fields` of the kind. What was not normalized never named a normalization."""
        named = {} if self.normalization == "none" else {"normalization": self.normalization}
        return to_json(self.kind, **named, **fields)

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


class TokenizerFile(Config):
    """What `tokenizer.json` holds for every kind; each kind adds its own fields."""

    format_version: Literal[1]  # FORMAT_VERSION
    normalization: Normalization = "none"


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
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def line_split_point(text: str) -> int:
    """The last place in `text` after a newline and before what is no white space; 0 where there is none.

    To cut a text there changes no id of any kind: no piece reaches across, and no character there combines.
    """
    newline = text.rfind("\n", 0, -1)
    while newline >= 0 and text[newline + 1].isspace():
        newline = text.rfind("\n", 0, newline)
    return newline + 1


def not_empty(documents: Iterable[str], normalization: Normalization = "none") -> Iterator[str]:
    """The documents that hold anything, normalized, lone surrogates replaced, one by one.

    Raises:
        TokenizerError: at their end, if there were none.
    """
    empty = True
    for document in documents:
        if document:
            empty = False
            yield normalize(without_surrogates(document), normalization)
    if empty:
        raise TokenizerError("the text is empty: a tokenizer needs at least one character to be built from")


def _refuse_id(token: int, vocab_size: int) -> NoReturn:
    raise TokenizerError(f"there is no id {token} in a vocabulary of {vocab_size} (0 to {vocab_size - 1})")

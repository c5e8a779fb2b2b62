"""The contract of every tokenizer: text <-> ids, with id 0 the document boundary.

A tokenizer has a Unicode form that a text is brought into (`normalization`), a table (`id_to_bytes`) and a way to
encode a text. Decoding is the same for all: the bytes of the ids, joined and read as UTF-8, in NFC where the tokenizer
normalizes. So the streaming decoder is exact on any ids, also where they are not valid UTF-8.
On disk it is a few named files. Its fingerprint is their hash, so it can be checked before anything is parsed.
"""

from __future__ import annotations

import codecs
import hashlib
import json
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
from seqgen.tokenizers.normalization import (
    StreamComposer,
    count_changed_characters,
    last_normalization_boundary,
    normalize,
)
from seqgen.utils.files import make_directory, write_atomically
from seqgen.utils.text import without_surrogates

Ids: TypeAlias = npt.NDArray[np.int32]

TextEncoding: TypeAlias = Literal["utf-8", "latin-1"]

BOUNDARY = 0
"""The id that starts every document. No text encodes to it, and nothing reaches across it.

data/batches.py, evaluation/scoring.py and generation/engine.py put it before each document, and every model forgets
there what came before. Where documents have ends it is also the target after their last token, and sampled; else never.
"""
UNKNOWN_ID = 1
FIRST_ID = 2
"""The ids of `<unk>` and of the first piece, in a tokenizer that has an `<unk>`."""
END_NAME, UNKNOWN_NAME = "<end>", "<unk>"
"""What the end of a document and a token that is not in the vocabulary are called."""

UNICODE_SCALARS = 0x110000 - 0x800
"""How many code points a text can contain: all of Unicode without the surrogates."""

TOKENIZER_FILE = "tokenizer.json"
MODEL_FILE = "sentencepiece.model"
FILES = (TOKENIZER_FILE, MODEL_FILE)
"""Every file that a tokenizer may consist of; the first is always there."""
FORMAT_VERSION = 1


class StreamDecoder:
    """Turn ids into text one at a time; all that it returns, joined, is what `decode` returns in one call."""

    def __init__(
        self, pieces: Sequence[bytes], normalization: Normalization = "none", encoding: TextEncoding = "utf-8"
    ) -> None:
        self._pieces = pieces
        self._bytes = codecs.getincrementaldecoder(encoding)("replace")
        self._composer = None if normalization == "none" else StreamComposer()

    def push(self, token: int) -> str:
        """Return the text that `token` completes.

        A character split across tokens is held back until it is complete, and where the tokenizer normalizes, until
        nothing that follows can compose with it.

        Raises:
            TokenizerError: the vocabulary has no such id.
        """
        if not 0 <= token < len(self._pieces):
            _refuse_id(token, len(self._pieces))
        text = self._bytes.decode(self._pieces[token])
        return text if self._composer is None else self._composer.push(text)

    def flush(self) -> str:
        """Return what was still held back: an incomplete character becomes U+FFFD."""
        text = self._bytes.decode(b"", final=True)
        return text if self._composer is None else self._composer.push(text) + self._composer.flush()


class Tokenizer(ABC):
    """Text <-> ids. Immutable once made."""

    kind: ClassVar[TokenizerKind]
    id_to_bytes: Sequence[bytes]
    """From id to its UTF-8 bytes; the boundary has none."""
    unknown_id: int | None = None
    """The id of all that is not in the vocabulary, where there is such an id."""
    text_encoding: TextEncoding = "utf-8"
    """How the bytes of ids are read: latin-1 where a character is a byte of a file, as with `--encoding bytes`."""

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
        """Return the ids of a text, int32 [N], never the boundary. Lone surrogates count as U+FFFD."""
        return self._encode(normalize(text, self.normalization))

    @abstractmethod
    def _encode(self, text: str) -> Ids:
        """Encode a text that is normalized already."""

    def token_texts(self, text: str) -> list[str]:
        """Return the text that each id of `text`, normalized, encodes; a character of several ids is at the last."""
        return self._token_texts(normalize(without_surrogates(text), self.normalization))

    def _token_texts(self, text: str) -> list[str]:
        """Return the `token_texts` of a text that is normalized already and has no lone surrogates."""
        decoder = codecs.getincrementaldecoder(self.text_encoding)()
        return [decoder.decode(self.id_to_bytes[token]) for token in self._encode(text).tolist()]

    def token_name(self, token: int) -> str:
        """Return an id as text, with bytes that are no whole character as escapes."""
        if token == BOUNDARY:
            return END_NAME
        if token == self.unknown_id:
            return UNKNOWN_NAME
        return self.id_to_bytes[token].decode(self.text_encoding, "backslashreplace")

    def split_point(self, text: str) -> int:
        """Return the last place at which a text that begins with `text` can be cut, or 0 if there is none.

        The ids of both sides are those of the whole. So a text of any length is encoded a megabyte at a time.
        """
        return line_split_point(text)

    def _character_split_point(self, text: str) -> int:
        """Return the `split_point` if an id depends only on one character, and those that compose with it."""
        return len(text) if self.normalization == "none" else last_normalization_boundary(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids in an array, a tensor or any iterable; in NFC where the tokenizer normalizes.

        Bytes that are not valid UTF-8 become U+FFFD.

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
        """Return `text` as `decode` would write it: in NFC where the tokenizer normalizes, without lone surrogates."""
        return normalize(without_surrogates(text), self._written_form)

    def changed_characters(self, text: str) -> int:
        """Return how many characters of `text` do not come back as they were because of the normalization."""
        return 0 if self.normalization == "none" else count_changed_characters(text)

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder that takes one id at a time."""
        return StreamDecoder(self.id_to_bytes, self.normalization, self.text_encoding)

    def byte_length(self, text: str) -> int:
        """Return the bytes of a text without lone surrogates in the file that it was read from, as UTF-8 or raw."""
        return len(text.encode(self.text_encoding))

    def unknown(self, text: str) -> Counter[str]:
        """Return the characters or words of `text`, normalized, that are not in the vocabulary, with counts."""
        return self._find_unknown(normalize(without_surrogates(text), self.normalization))

    def _find_unknown(self, text: str) -> Counter[str]:
        """Return the `unknown` of a text that is normalized already and has no lone surrogates."""
        del text
        return Counter()

    def unk_cost(self, piece: str) -> float:
        """Return the nats that it takes to say which unknown piece this is, in addition to the `<unk>` itself."""
        raise TokenizerError(f"a {self.kind} tokenizer has no unknown pieces, so {piece!r} has no spelling")

    @property
    def vocab_size(self) -> int:
        """How many ids there are, including the boundary."""
        return len(self.id_to_bytes)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of everything that changes an id."""
        return fingerprint_of(self.to_files())

    @abstractmethod
    def to_files(self) -> dict[str, bytes]:
        """Return the tokenizer as file names (of `FILES`) and contents."""

    def _to_json(self, **fields: Any) -> bytes:
        """Return `tokenizer.json` with the `fields` of the kind."""
        return to_json(self.kind, normalization=self.normalization, **fields)

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Return the tokenizer of what `to_files` gave; the fingerprint has been checked, if one is known.

        Raises:
            TokenizerError: the files are not those of a tokenizer of this kind.
        """

    def save(self, directory: Path) -> None:
        """Write the tokenizer into `directory`, which is made if it does not exist.

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
    """The content of `tokenizer.json` for every kind; each kind adds its own fields."""

    format_version: Literal[1]  # FORMAT_VERSION
    normalization: Normalization = "none"


class _KindFile(TokenizerFile):
    model_config = ConfigDict(extra="ignore")

    kind: TokenizerKind


F = TypeVar("F", bound=TokenizerFile)


def to_json(kind: str, **fields: Any) -> bytes:
    """Return the bytes of `tokenizer.json`: readable, and the same for the same content on every machine."""
    content = {"format_version": FORMAT_VERSION, "kind": kind, **fields}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def read_json(files: Mapping[str, bytes], schema: type[F], *others: str) -> F:
    """Parse `tokenizer.json` with `schema`; `files` must be exactly that file and `others`.

    Raises:
        TokenizerError: a file is missing or unexpected, or the JSON is malformed, or of another kind or version.
    """
    for name in (TOKENIZER_FILE, *others):
        if name not in files:
            raise TokenizerError(f"{name} is missing")
    for name in files:
        if name not in (TOKENIZER_FILE, *others):
            raise TokenizerError(f"{name} is not part of this kind of tokenizer")
    try:
        return schema.from_json(files[TOKENIZER_FILE], TOKENIZER_FILE)
    except ConfigError as error:
        raise TokenizerError(str(error)) from error


def kind_of(files: Mapping[str, bytes]) -> TokenizerKind:
    """Return the kind of tokenizer that `files` are; its class then checks the rest.

    Raises:
        TokenizerError: `tokenizer.json` is missing, malformed, or names an unknown kind.
    """
    return read_json(files, _KindFile, *(name for name in files if name != TOKENIZER_FILE)).kind


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of names and contents, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}:{len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()


def line_split_point(text: str) -> int:
    """Return the last place in `text` after a newline and before a character that is not white space, or 0.

    To cut a text there changes no id of any kind: no piece reaches across, and no character combines across it.
    """
    newline = text.rfind("\n", 0, -1)
    while newline >= 0 and text[newline + 1].isspace():
        newline = text.rfind("\n", 0, newline)
    return newline + 1


def not_empty(documents: Iterable[str], normalization: Normalization = "none") -> Iterator[str]:
    """Yield the documents that are not empty, normalized, with lone surrogates replaced.

    Raises:
        TokenizerError: at the end, if all were empty.
    """
    empty = True
    for document in documents:
        if document:
            empty = False
            yield normalize(without_surrogates(document), normalization)
    if empty:
        raise TokenizerError("the text is empty: a tokenizer needs at least one character to be built from")


def _refuse_id(token: int, vocab_size: int) -> NoReturn:
    raise TokenizerError(f"id {token} is not in a vocabulary of {vocab_size} (0 to {vocab_size - 1})")

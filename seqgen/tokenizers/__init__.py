"""Text <-> ids: char, byte, word, unigram, bpe, behind one contract (`base.Tokenizer`).

`KINDS` names them all; `build` trains one on texts, `load` reads one from a directory.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen.errors import TokenizerError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.files import read_at_most

if TYPE_CHECKING:
    from seqgen.tokenizers.base import Tokenizer

KINDS: dict[str, tuple[str, str]] = {
    "char": ("seqgen.tokenizers.char", "CharTokenizer"),
    "byte": ("seqgen.tokenizers.byte", "ByteTokenizer"),
    "word": ("seqgen.tokenizers.word", "WordTokenizer"),
    "unigram": ("seqgen.tokenizers.subword", "UnigramTokenizer"),
    "bpe": ("seqgen.tokenizers.subword", "BpeTokenizer"),
}
"""From the kind's name to where its class is."""

MAX_BYTES = 256 << 20
"""Bytes of a tokenizer's files, at most: a hostile directory cannot exhaust the memory."""


def build(documents: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Return the tokenizer that `config` describes, trained on texts, which are read once.

    Raises:
        ConfigError: `config` asks for what its kind does not have, or for less than these texts need.
        TokenizerError: the texts are empty or cannot give such a vocabulary.
    """
    return _class_of(config.kind).train(documents, config)


def load(directory: Path, fingerprint: str | None = None) -> Tokenizer:
    """Return the tokenizer that was saved in `directory`; with a `fingerprint`, only if it is exactly that one.

    Raises:
        TokenizerError: a file is missing, too large, damaged or not of a tokenizer, or the fingerprint differs.
    """
    from seqgen.tokenizers.base import TOKENIZER_FILE, fingerprint_of, kind_of

    try:
        files = _read_files(directory)
        if TOKENIZER_FILE not in files:
            raise TokenizerError(f"{TOKENIZER_FILE} is missing: not all of the tokenizer was copied")
        if fingerprint is not None and (found := fingerprint_of(files)) != fingerprint:
            raise TokenizerError(
                f"this is not the tokenizer that belongs here: its fingerprint is {found[:12]}..., "
                f"and {fingerprint[:12]}... is expected; restore the file that was changed"
            )
        return _class_of(kind_of(files)).from_files(files)
    except TokenizerError as error:
        raise TokenizerError(f"{directory}: {error}") from error


def _class_of(kind: str) -> type[Tokenizer]:
    module, name = KINDS[kind]
    found: type[Tokenizer] = getattr(import_module(module), name)
    return found


def _read_files(directory: Path) -> dict[str, bytes]:
    """Return those of a tokenizer's files that exist, by name."""
    from seqgen.tokenizers.base import FILES

    files: dict[str, bytes] = {}
    left = MAX_BYTES
    try:
        if not directory.is_dir():
            raise TokenizerError("the directory is missing")
        for path in (directory / name for name in FILES):
            if path.is_file():
                if path.stat().st_size > left:
                    raise TokenizerError(f"{path.name} is too large: a tokenizer has at most {MAX_BYTES >> 20} MB")
                files[path.name] = read_at_most(path, left)
                left -= len(files[path.name])
    except OSError as error:
        raise TokenizerError(f"the tokenizer cannot be read: {error.strerror}") from error
    return files

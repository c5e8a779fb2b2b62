r"""Subwords by sentencepiece, unigram or bpe, made lossless on any text.

sentencepiece trains the pieces and cuts text into them. Where it would lose something, seqgen does the work:
- the table from id to bytes is ours (`_id_to_bytes`), so decoding is the same as for every other kind;
- U+2581, its own sign for a space, is encoded in byte pieces here when it occurs in a text;
- the space is always a piece: where a text has none, or so few that the character coverage leaves it out, sentencepiece
  would encode it in the bytes of U+2581, and decode it as that;
- text is cut after each newline, and within a line after every `line_cap` characters. So long lines cost no more than
  short ones, and a text encoded in parts, cut after newlines, gives the ids of the whole.
"""

from __future__ import annotations

import hashlib
import io
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from random import Random
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers.base import (
    BOUNDARY,
    MODEL_FILE,
    TOKENIZER_FILE,
    Ids,
    Tokenizer,
    TokenizerFile,
    not_empty,
    read_json,
)
from seqgen.tokenizers.config import MIN_EXAMPLES, RARE_SHARE, Normalization, TokenizerConfig, auto_size
from seqgen.tokenizers.normalization import last_boundary_at_multiple
from seqgen.utils.text import plural, without_surrogates

DEFAULT_VOCAB_SIZE = 2_000
LINE_CAP = 1_024
"""Characters of a line before it is cut. At 4 bytes each they are below 4,192 bytes, above which sentencepiece skips a
line in training."""
CALL_LINES = 256
"""Text for one call of sentencepiece has at most this many times `line_cap` characters, which keeps memory flat."""
TRAINING_CHARACTERS = 1 << 23
"""Characters to train on, at most, for the memory that it takes: twice as many took unigram 480 MB."""
TRAINING_THREADS = 4
"""Fixed, because the number of threads changes the order of unigram's sums and so the pieces."""

MIN_AUTO_CHARACTERS = 128
"""Characters that have pieces in an `auto` vocabulary even of a short text, in which all are rare."""
_FIRST_PIECE = 258
"""The first id after the boundary, the newline and 256 bytes."""

SPACE = "\u2581"
# sentencepiece skips every training line that holds the second of these, its own sign for an unknown character.
_TRAINING_LINE = re.compile(rf"[^\n\u2581\u2585]{{1,{LINE_CAP}}}")
_NOTHING_TO_TRAIN_ON = re.compile(r"sentences_\.empty|all_chars_count|seed_sentencepieces\.empty")
"""What sentencepiece says of no lines, and of lines with only newlines, carriage returns, NUL or `<0x41>`."""
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_PROBE = "  \ufb01\uff21 e\u0301\u212b\t\x00\r\n\u1112\u1161 <unk>  "
"""What a model with another normalization would change."""
# A malformed model makes sentencepiece raise any of these (ValueError: its message is not valid UTF-8).
_SENTENCEPIECE_ERRORS = (RuntimeError, OSError, ValueError, IndexError)


class SubwordFile(TokenizerFile):
    """`tokenizer.json` of a unigram or bpe tokenizer, next to sentencepiece's own file."""

    kind: Literal["unigram", "bpe"]
    line_cap: int = Field(ge=1, le=1 << 20)
    model_sha256: str


class SubwordTokenizer(Tokenizer):
    """The boundary, the newline, 256 byte pieces, and the trained pieces in sentencepiece's order."""

    kind: ClassVar[Literal["unigram", "bpe"]]

    def __init__(self, model: bytes, line_cap: int = LINE_CAP, normalization: Normalization = "none") -> None:
        super().__init__(normalization)
        self._model = model
        self._line_cap = line_cap
        self._line = re.compile(rf"[^\n{SPACE}]{{1,{line_cap}}}\n?|\n|{SPACE}")
        self._processor, self.id_to_bytes = _read_model(model)
        self._space_ids = [self.id_to_bytes.index(bytes([byte])) for byte in SPACE.encode()]

    @classmethod
    def train(cls, documents: Iterable[str], config: TokenizerConfig) -> Self:
        """Train the pieces, `config.vocab_size` in all or as many as the text has.

        Raises:
            ConfigError: `vocab_size` is below the smallest possible, which the message names.
            TokenizerError: the texts are empty.
        """
        lines, characters = _training_lines(not_empty(documents, config.normalization))
        if config.vocab_size == "auto":
            model = _train_auto(lines, characters, cls.kind, config.character_coverage)
            return cls(model, normalization=config.normalization)
        size = config.vocab_size or DEFAULT_VOCAB_SIZE
        try:
            model = _train(lines, cls.kind, size, config.character_coverage)
        except _TooSmallError as error:
            if config.vocab_size is not None and not config.grow:
                raise ConfigError(
                    f"vocab_size: {size} is too small for {cls.kind}: this text needs at least {error.smallest} (the "
                    f"boundary, the newline, 256 bytes and {plural(error.smallest - _FIRST_PIECE, 'character')}, "
                    "including the space; a lower --character-coverage takes fewer)"
                ) from error
            model = _train(lines, cls.kind, 2 * error.smallest, config.character_coverage)
        return cls(model, normalization=config.normalization)

    def _encode(self, text: str) -> Ids:
        parts = [self._encode_lines(lines) for lines in self._line_groups(without_surrogates(text))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)

    def split_point(self, text: str) -> int:
        """Return the last place where a line begins, or has a multiple of `line_cap` characters, normalized."""
        start = max(text.rfind("\n"), text.rfind(SPACE)) + 1
        return start + last_boundary_at_multiple(text[start:], self._line_cap, self.normalization)

    def _line_groups(self, text: str) -> Iterator[list[str]]:
        """Yield the lines of `text` for one call each; where a group ends changes no line."""
        start, longest = 0, CALL_LINES * self._line_cap
        while start < len(text):
            end = start + longest  # a multiple of the cap, which is where a line without an end is cut
            if end < len(text):
                end = max(text.rfind("\n", start, end), text.rfind(SPACE, start, end)) + 1 or end
            yield self._line.findall(text, start, end)
            start = end

    def _encode_lines(self, lines: list[str]) -> Ids:
        encoded = self._processor.encode(lines, out_type=int, num_threads=1)  # more threads gain nothing, processes do
        if SPACE in lines:
            encoded = [self._space_ids if line == SPACE else ids for line, ids in zip(lines, encoded, strict=True)]
        return np.fromiter(chain.from_iterable(encoded), dtype=np.int32)

    def to_files(self) -> dict[str, bytes]:
        digest = hashlib.sha256(self._model).hexdigest()
        return {
            TOKENIZER_FILE: self._to_json(line_cap=self._line_cap, model_sha256=digest),
            MODEL_FILE: self._model,
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        file = read_json(files, SubwordFile, MODEL_FILE)
        if file.kind != cls.kind:
            raise TokenizerError(f"{TOKENIZER_FILE}: kind: should be {cls.kind}, not {file.kind}")
        model = files[MODEL_FILE]
        if hashlib.sha256(model).hexdigest() != file.model_sha256:  # sentencepiece never reads a damaged model
            raise TokenizerError(f"{MODEL_FILE} is damaged: its SHA-256 is not the one in {TOKENIZER_FILE}")
        tokenizer = cls(model, file.line_cap, file.normalization)
        ids = tokenizer._encode(_PROBE)
        if b"".join([tokenizer.id_to_bytes[token] for token in ids.tolist()]) != _PROBE.encode() or BOUNDARY in ids:
            raise TokenizerError(f"{MODEL_FILE} changes the text that it encodes: it was not made by seqgen")
        return tokenizer


class UnigramTokenizer(SubwordTokenizer):
    """Pieces of the unigram language model (Kudo 2018): the most likely segmentation of each line."""

    kind = "unigram"


class BpeTokenizer(SubwordTokenizer):
    """Pieces of byte pair encoding (Sennrich et al. 2016): the trained merges, in their order."""

    kind = "bpe"


class _TooSmallError(Exception):
    """sentencepiece needs at least `smallest` ids."""

    def __init__(self, smallest: int) -> None:
        super().__init__(smallest)
        self.smallest = smallest


def _training_lines(documents: Iterable[str]) -> tuple[list[str], int]:
    """Return the lines to train on, in their order, and the number of characters of the text.

    Of a text with more than `TRAINING_CHARACTERS` they are a sample in which every line is equally likely, always drawn
    by the same seed. sentencepiece's own `input_sentence_size` holds each line that it draws twice, and without
    `shuffle_input_sentence` it takes the first lines of the text.
    """
    draw = Random(0).random  # noqa: S311 (not secret: the same every time)
    kept: list[str] = []
    draws, limit = array("d"), 1.0
    size = total = 0
    for line in chain.from_iterable(map(_TRAINING_LINE.findall, documents)):
        total += len(line)
        drawn = draw()
        if drawn >= limit:
            continue
        kept.append(line)
        draws.append(drawn)
        size += len(line)
        while size > TRAINING_CHARACTERS and len(kept) > 1:
            limit /= 2
            kept = [line for line, drawn in zip(kept, draws, strict=True) if drawn < limit]
            draws = array("d", (drawn for drawn in draws if drawn < limit))
            size = sum(map(len, kept))
    return kept, total


def _train_auto(lines: list[str], characters: int, kind: str, character_coverage: float) -> bytes:
    """Return the sentencepiece model of `lines`, from a text of `characters`, with the vocabulary of `auto_size`.

    Characters that the text contains less than `MIN_EXAMPLES` times are spelled in bytes: Korean and Chinese have
    thousands. The size is found by bpe, which takes seconds where unigram takes a minute; it fits both.
    """
    share = sum(map(len, lines)) / max(characters, 1)
    counts = Counter(chain.from_iterable(lines))
    kept = {character for character, count in counts.items() if count >= MIN_EXAMPLES * share}
    kept |= {character for character, _ in counts.most_common(MIN_AUTO_CHARACTERS)}
    rare = re.compile(f"[{re.escape(''.join(counts.keys() - kept))}]+") if counts.keys() - kept else None
    if rare is not None:
        lines = [part for line in lines for part in rare.split(line) if part]

    def rarest(size: int) -> float:
        processor, _ = _read_model(_train(lines, "bpe", size, character_coverage))
        ids = chain.from_iterable(processor.encode(lines, out_type=int, num_threads=1))
        learned = np.bincount(np.fromiter(ids, dtype=np.int32), minlength=processor.get_piece_size())[_FIRST_PIECE:]
        return float(np.quantile(learned, RARE_SHARE)) / share if share else 0.0

    return _train(lines, kind, auto_size(characters, _FIRST_PIECE + 1 + len(kept), rarest), character_coverage)


def _train(lines: list[str], kind: str, vocab_size: int, character_coverage: float) -> bytes:
    """Return the sentencepiece model of `lines`, with at most `vocab_size` pieces.

    If the lines are empty, the space is the only piece that is not a byte.
    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            hard_vocab_limit=False,  # fewer pieces where the text has no more
            character_coverage=character_coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            user_defined_symbols=["\n"],
            required_chars=SPACE,
            # The unknown piece, unreachable as every byte has its own, is our boundary. Named as usual it would keep a
            # literal <unk>, of which PTB and WikiText are full, from being a piece; no line can contain this name.
            unk_id=BOUNDARY,
            unk_piece="\n<boundary>",
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=TRAINING_THREADS,
            minloglevel=2,  # errors only, which are raised; otherwise it writes to stderr
        )
    except _SENTENCEPIECE_ERRORS as error:
        if too_small := _TOO_SMALL.search(str(error)):
            raise _TooSmallError(int(too_small[1])) from error
        if _NOTHING_TO_TRAIN_ON.search(str(error)) and lines != [" "]:
            return _train([" "], kind, vocab_size, character_coverage)
        raise TokenizerError(f"sentencepiece cannot train {kind} pieces: {error}; use char or byte instead") from error
    return model.getvalue()


def _read_model(model: bytes) -> tuple[SentencePieceProcessor, tuple[bytes, ...]]:
    try:
        processor = SentencePieceProcessor(model_proto=model)
        return processor, _id_to_bytes(processor)
    except _SENTENCEPIECE_ERRORS as error:
        raise TokenizerError(f"{MODEL_FILE} cannot be read: {error}") from error


def _id_to_bytes(processor: SentencePieceProcessor) -> tuple[bytes, ...]:
    """Return the table from id to bytes: none for the boundary, one for `<0x41>`, U+2581 as a space."""
    pieces = []
    for token in range(processor.get_piece_size()):
        name: str = processor.id_to_piece(token)
        if processor.is_byte(token):
            pieces.append(bytes([int(name[3:5], 16)]))
        elif token == BOUNDARY:
            pieces.append(b"")
        else:
            pieces.append(name.replace(SPACE, " ").encode())
    if not processor.is_unknown(BOUNDARY) or not {bytes([byte]) for byte in range(256)} <= set(pieces):
        raise TokenizerError(f"{MODEL_FILE} lacks the boundary or a byte: it was not made by seqgen")
    return tuple(pieces)

r"""Subwords by sentencepiece, unigram or bpe, made lossless on any text.

sentencepiece learns the pieces and cuts text into them. What it would lose is kept out of its hands:
- its table from id to bytes is ours (`_pieces_of`), so decoding is the same as for every other kind;
- U+2581, its own sign for a space, is spelled in byte pieces on our side when it stands in a text;
- the space is always a piece: where a text has none, or so few that the character coverage leaves it out, sentencepiece
  would spell it in the bytes of U+2581, and decode it as that;
- text is cut after each newline, and within a line after every `line_cap` characters, so that long lines cost no
  more than short ones and a text encoded in parts, cut after newlines, gives the ids of the whole.
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
    without_surrogates,
)
from seqgen.tokenizers.config import ENOUGH, RARE_SHARE, Normalization, TokenizerConfig, auto_size
from seqgen.tokenizers.normalization import last_multiple
from seqgen.utils.text import plural

DEFAULT_VOCAB_SIZE = 2_000
LINE_CAP = 1_024
"""Characters a line may have before it is cut. At 4 bytes each they stay below 4,192, beyond which sentencepiece skips
a line when it learns."""
BLOCK_LINES = 256
"""A block to be encoded at once has at most so many times `line_cap` characters, which keeps memory flat."""
TRAINING_CHARACTERS = 1 << 23
"""What the pieces are learnt from at most, for the memory that it takes: the double took unigram 480 MB."""
TRAINING_THREADS = 4
"""Fixed, because the number of threads changes the order of unigram's sums and thereby the pieces."""

FEWEST_CHARACTERS = 128
"""Of a short text, whose characters are all rare, so many get pieces of their own with an `auto` vocabulary."""
_FIXED = 258
"""Ids that every vocabulary begins with: the boundary, the newline, 256 bytes."""

SPACE = "\u2581"
# sentencepiece skips every training line that holds the second of these, its own sign for an unknown character.
_TRAINING_LINE = re.compile(rf"[^\n\u2581\u2585]{{1,{LINE_CAP}}}")
_NOTHING_TO_LEARN = re.compile(r"sentences_\.empty|all_chars_count|seed_sentencepieces\.empty")
"""What sentencepiece says of no lines, and of those that hold newlines, carriage returns, NUL or `<0x41>` alone."""
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_PROBE = "  \ufb01\uff21 e\u0301\u212b\t\x00\r\n\u1112\u1161 <unk>  "
"""Every kind of thing that a model with another normalization would change."""
# A malformed model makes sentencepiece raise any of these (ValueError: a message that is no UTF-8 itself).
_SENTENCEPIECE_ERRORS = (RuntimeError, OSError, ValueError, IndexError)


class SubwordFile(TokenizerFile):
    """`tokenizer.json` of a unigram or bpe tokenizer, beside sentencepiece's own file."""

    kind: Literal["unigram", "bpe"]
    line_cap: int = Field(ge=1, le=1 << 20)
    model_sha256: str


class SubwordTokenizer(Tokenizer):
    """The boundary, the newline, 256 byte pieces, and the learnt pieces in sentencepiece's order."""

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
        """Learn the pieces, `config.vocab_size` in all or as many as the text has.

        Raises:
            ConfigError: `vocab_size` is below the smallest possible, which the message tells.
            TokenizerError: the texts are empty.
        """
        lines, characters = _training_lines(not_empty(documents, config.normalization))
        if config.vocab_size == "auto":
            model = _learn_auto(lines, characters, cls.kind, config.character_coverage)
            return cls(model, normalization=config.normalization)
        size = config.vocab_size or DEFAULT_VOCAB_SIZE
        try:
            model = _learn(lines, cls.kind, size, config.character_coverage)
        except _TooSmallError as error:
            if config.vocab_size is not None:
                raise ConfigError(
                    f"vocab_size: {size} is too small for {cls.kind}: this text needs at least {error.smallest} (the "
                    f"boundary, the newline, 256 bytes and {plural(error.smallest - _FIXED, 'character')}, the space "
                    "included, of which a lower --character-coverage takes fewer)"
                ) from error
            model = _learn(lines, cls.kind, 2 * error.smallest, config.character_coverage)
        return cls(model, normalization=config.normalization)

    def _encode(self, text: str) -> Ids:
        parts = [self._encode_lines(lines) for lines in self._blocks(without_surrogates(text))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)

    def split_point(self, text: str) -> int:
        """Where a line begins, or has had so many times `line_cap` characters in the form that it is encoded in."""
        start = max(text.rfind("\n"), text.rfind(SPACE)) + 1
        return start + last_multiple(text[start:], self._line_cap, self.normalization)

    def _blocks(self, text: str) -> Iterator[list[str]]:
        """The text in lines, a block at a time; where a block ends changes no line, but for a newline of its own."""
        start, longest = 0, BLOCK_LINES * self._line_cap
        while start < len(text):
            end = start + longest  # a multiple of the cap, which is where a line without an end is cut
            if end < len(text):
                end = max(text.rfind("\n", start, end), text.rfind(SPACE, start, end)) + 1 or end
            yield self._line.findall(text, start, end)
            start = end

    def _encode_lines(self, lines: list[str]) -> Ids:
        encoded = self._processor.encode(lines, out_type=int, num_threads=1)  # more gain nothing: processes do
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
        described = read_json(files, SubwordFile, MODEL_FILE)
        if described.kind != cls.kind:
            raise TokenizerError(f"{TOKENIZER_FILE}: kind: should be {cls.kind}, not {described.kind}")
        model = files[MODEL_FILE]
        if hashlib.sha256(model).hexdigest() != described.model_sha256:  # sentencepiece never reads a damaged model
            raise TokenizerError(f"{MODEL_FILE} is damaged: its SHA-256 is not the one in {TOKENIZER_FILE}")
        tokenizer = cls(model, described.line_cap, described.normalization)
        ids = tokenizer._encode(_PROBE)
        if b"".join([tokenizer.id_to_bytes[token] for token in ids.tolist()]) != _PROBE.encode() or BOUNDARY in ids:
            raise TokenizerError(f"{MODEL_FILE} changes the text that it encodes: it was not made by seqgen")
        return tokenizer


class UnigramTokenizer(SubwordTokenizer):
    """Pieces by the unigram language model (Kudo 2018): the likeliest segmentation of each line."""

    kind = "unigram"


class BpeTokenizer(SubwordTokenizer):
    """Pieces by byte pair encoding (Sennrich et al. 2016): the learnt merges, in their order."""

    kind = "bpe"


class _TooSmallError(Exception):
    """sentencepiece wants at least `smallest` ids."""

    def __init__(self, smallest: int) -> None:
        super().__init__(smallest)
        self.smallest = smallest


def _training_lines(documents: Iterable[str]) -> tuple[list[str], int]:
    """The lines to learn from, in their order, and the characters of all: of a text beyond `TRAINING_CHARACTERS` a
    sample in which every line is as likely. It is always drawn by the same seed.

    We sample, and not sentencepiece by its `input_sentence_size`: that one holds each line that it draws twice, and
    without `shuffle_input_sentence` it takes the first lines of the text.
    """
    draw = Random(0).random  # noqa: S311 (not to be secret, but the same again)
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


def _learn_auto(lines: list[str], characters: int, kind: str, character_coverage: float) -> bytes:
    """The sentencepiece model of `lines`, from a text of so many `characters`, with the vocabulary of `auto_size`.

    Characters that the text shows less than `ENOUGH` times are spelled in bytes: of Korean or Chinese there are
    thousands. The size is found by bpe, which learns in seconds what takes unigram a minute, and fits both.
    """
    share = sum(map(len, lines)) / max(characters, 1)
    counts = Counter(chain.from_iterable(lines))
    kept = {character for character, count in counts.items() if count >= ENOUGH * share}
    kept |= {character for character, _ in counts.most_common(FEWEST_CHARACTERS)}
    rare = re.compile(f"[{re.escape(''.join(counts.keys() - kept))}]+") if counts.keys() - kept else None
    if rare is not None:
        lines = [part for line in lines for part in rare.split(line) if part]

    def rarest(size: int) -> float:
        processor, _ = _read_model(_learn(lines, "bpe", size, character_coverage))
        ids = chain.from_iterable(processor.encode(lines, out_type=int, num_threads=1))
        learned = np.bincount(np.fromiter(ids, dtype=np.int32), minlength=processor.get_piece_size())[_FIXED:]
        return float(np.quantile(learned, RARE_SHARE)) / share if share else 0.0

    return _learn(lines, kind, auto_size(characters, _FIXED + 1 + len(kept), rarest), character_coverage)


def _learn(lines: list[str], kind: str, vocab_size: int, character_coverage: float) -> bytes:
    """The sentencepiece model of `lines`, with at most `vocab_size` pieces; of lines that hold nothing, with the space
    as the one piece that is not a byte.
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
            # literal <unk>, of which PTB and WikiText are full, from being learnt; no line can hold this name.
            unk_id=BOUNDARY,
            unk_piece="\n<boundary>",
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=TRAINING_THREADS,
            minloglevel=2,  # errors only, which come as exceptions; otherwise it writes to stderr
        )
    except _SENTENCEPIECE_ERRORS as error:
        if too_small := _TOO_SMALL.search(str(error)):
            raise _TooSmallError(int(too_small[1])) from error
        if _NOTHING_TO_LEARN.search(str(error)) and lines != [" "]:
            return _learn([" "], kind, vocab_size, character_coverage)
        raise TokenizerError(f"sentencepiece cannot learn {kind} pieces: {error}; use char or byte instead") from error
    return model.getvalue()


def _read_model(model: bytes) -> tuple[SentencePieceProcessor, tuple[bytes, ...]]:
    try:
        processor = SentencePieceProcessor(model_proto=model)
        return processor, _pieces_of(processor)
    except _SENTENCEPIECE_ERRORS as error:
        raise TokenizerError(f"{MODEL_FILE} cannot be read: {error}") from error


def _pieces_of(processor: SentencePieceProcessor) -> tuple[bytes, ...]:
    """From id to bytes: none for the boundary, one for a byte piece (`<0x41>`), U+2581 as the space it stands for."""
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

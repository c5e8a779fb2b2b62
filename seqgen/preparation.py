"""From a request to what training works on: text -> parts -> tokenizer -> ids -> model -> learner.

Nothing here writes to disk or takes a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from seqgen import models, tokenizers
from seqgen.data.batches import BatchStream, Contiguous, Windows
from seqgen.data.catalogue import read_source
from seqgen.data.config import DataConfig
from seqgen.data.split import Split, split_text
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.report import TextSize
from seqgen.models.config import RecurrentConfig, TransformerConfig
from seqgen.models.language_model import parameter_count
from seqgen.run import RunConfig, RunDirectory, TextRecord
from seqgen.runtime import RandomState, memory_of, select_device, select_precision
from seqgen.tokenizers.base import Ids, Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.checkpoint import Checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.loop import Validation

if TYPE_CHECKING:
    from filelock import BaseFileLock

Report = Callable[[str], None]
"""Is told in a few words what is being prepared."""


@dataclass(frozen=True)
class Texts:
    """The parts of a text, and the hashes by which it is known again."""

    split: Split
    sha256: str
    valid_sha256: str | None


@dataclass(frozen=True)
class Corpus:
    """A text as a tokenizer sees it."""

    tokenizer: Tokenizer
    train: tuple[Ids, ...]
    validation: Validation | None
    record: TextRecord
    characters_per_token: float


@dataclass(frozen=True)
class Prepared:
    """All that a run trains with, its lock held."""

    directory: RunDirectory
    config: RunConfig
    corpus: Corpus
    learner: Learner
    checkpoint: Checkpoint
    """From which it goes on: that of step 0 for a new run."""
    lock: BaseFileLock
    notices: list[str]
    """What the user should know before the first step, a sentence each."""


def read_texts(data: DataConfig) -> Texts:
    """Read and split the text that `data` names.

    Raises:
        TextError: it cannot be read, or is too short.
    """
    text = read_source(data.text, data.encoding)
    if len(text) < 2:
        raise TextError(f"{data.text} has {len(text)} character; there is nothing to predict, give a longer text")
    try:
        split = split_text(text, data)
    except TextError as error:
        raise TextError(f"{data.text}: {error}") from error
    if data.valid is None:
        return Texts(split, _sha256(text), None)
    valid = read_source(data.valid, data.encoding)
    return Texts(Split(split.train, (valid,)), _sha256(text), _sha256(valid))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def encode_corpus(texts: Texts, tokenizer: Tokenizer | TokenizerConfig) -> Corpus:
    """Ids of both parts, by a tokenizer that is given, or built from the training part alone."""
    split = texts.split
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = tokenizers.build(split.train, tokenizer)
    train = tuple(tokenizer.encode(part) for part in split.train)
    valid = tuple(tokenizer.encode(part) for part in split.valid)
    characters, train_tokens = sum(map(len, split.train)), sum(map(len, train))
    validation = None
    if valid:
        validation = Validation(valid, TextSize.total(split.valid, tokenizer))
    record = TextRecord(
        sha256=texts.sha256,
        characters=characters + sum(map(len, split.valid)),
        train_tokens=train_tokens,
        valid_tokens=sum(map(len, valid)),
        valid_sha256=texts.valid_sha256,
    )
    return Corpus(tokenizer, train, validation, record, characters / train_tokens)


def check_same_text(texts: Texts, record: TextRecord, data: DataConfig) -> None:
    """Refuse a text that is not the one a run was started on.

    Raises:
        RunError: the text or the validation text was changed.
    """
    pairs = [(data.text, texts.sha256, record.sha256), (data.valid, texts.valid_sha256, record.valid_sha256)]
    for name, found, expected in pairs:
        if found != expected:
            raise RunError(
                f"{name} is not the text that this run was started on (SHA-256 {str(found)[:12]}..., then "
                f"{str(expected)[:12]}...); restore it, or start a new run with --init-from"
            )


def build_learner(model_config: RecurrentConfig | TransformerConfig, config: TrainingConfig, corpus: Corpus) -> Learner:
    """A learner before its first step: fresh weights drawn from the seed, on the device and in the precision chosen."""
    device = select_device(config.device)
    _check_memory(model_config, corpus.tokenizer.vocab_size, device)
    with RandomState(config.seed, torch.device("cpu")):
        model = models.build(model_config, corpus.tokenizer.vocab_size).to(device).eval()
    stream: BatchStream
    if isinstance(model_config, TransformerConfig):
        stream = Windows(corpus.train, config.batch_size, model_config.block_size, config.seed)
    else:
        stream = Contiguous(corpus.train, config.batch_size, config.bptt or 64, config.seed)
    return Learner(model, stream, config, select_precision(config.precision, device))


def _check_memory(config: RecurrentConfig | TransformerConfig, vocab_size: int, device: torch.device) -> None:
    """Refuse a model that cannot fit: weights, gradients and two moments, in fp32 each."""
    parameters = parameter_count(models.skeleton(config, vocab_size))
    needed, there = 16 * parameters, memory_of(device)
    if there is not None and needed > there:
        raise ConfigError(
            f"hidden_size: {config.layers} layers of {config.hidden_size} are {parameters:,} parameters, which take "
            f"{needed / 2**30:,.0f} GiB to train; this machine has {there / 2**30:,.0f} GiB, so choose a smaller size"
        )

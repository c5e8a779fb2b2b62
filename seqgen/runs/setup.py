"""Set up a run: texts -> tokenizer -> ids -> model -> learner.

Nothing here takes a step, or writes anything except to the text cache.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import torch

from seqgen import models, tokenizers
from seqgen.data.batches import BatchStream, ContiguousBatches, WindowBatches
from seqgen.data.cache.cache import check_hash
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.config import DataConfig
from seqgen.data.documents import Documents
from seqgen.data.labels import label_texts
from seqgen.data.leakage import Leakage, PairLeakage
from seqgen.data.pairs import PairBatches, Pairs
from seqgen.data.pipeline import Texts, read_texts
from seqgen.device import RandomState, select_device, select_precision, total_memory
from seqgen.errors import ConfigError, RunError
from seqgen.evaluation.report import TextSize
from seqgen.models.base import LanguageModel, NeuralModel, parameter_count
from seqgen.models.config import BlockConfig, FamilyConfig, PairConfig
from seqgen.models.memory import activation_bytes
from seqgen.models.registry import FAMILIES
from seqgen.models.skeleton import skeleton
from seqgen.runs.config import RunConfig, TextRecord
from seqgen.runs.directory import RunDirectory
from seqgen.sources.config import LABELING_TASKS
from seqgen.sources.decoding import CHUNK_BYTES
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.checkpoint import Checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.events import Event
from seqgen.training.learner import Learner
from seqgen.training.metrics import MetricsLog
from seqgen.training.plan import Plan
from seqgen.training.samples import generate_sample, sample_labels, sample_pairs
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import (
    DocumentValidation,
    LabelValidation,
    PairValidation,
    Trainer,
    TrainingSetup,
    Validation,
)
from seqgen.utils.progress import Report, silent

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LINE_END = re.compile(r"[^\r\n](?>\r\n?|\n)(?=.)", re.DOTALL)
"""A character and the line end after it, if text follows."""


@dataclass(frozen=True)
class EncodedCorpus:
    """The texts of a run as ids."""

    tokenizer: Tokenizer
    train: Documents
    """Of pairs, sources and targets in turn."""
    pairs: Pairs | None
    """The pairs of the training part, where the task learns from pairs."""
    sampled: Pairs | None
    """The pairs whose sources samples have: those of validation, or of training without it."""
    validation: Validation | None
    record: TextRecord
    characters_per_token: float
    unknown: int
    """Tokens of the training part outside the vocabulary."""
    changed: int
    """Characters of both parts that the tokenizer's normalization changes."""
    notices: list[str]
    """What the user should know about the text, a sentence each."""
    leakage: Leakage | PairLeakage | None = None
    """How much of the validation part the training part contains; None without a validation part."""
    labels: tuple[str, ...] = ()
    """Of the training part, sorted, where the task is to choose labels."""

    def write_sample(self, model: LanguageModel, seed: int) -> str:
        """Return a short sample: a text, or of pairs what the model makes of some sources."""
        if self.sampled is None:
            return generate_sample(model, self.tokenizer, seed, self.record.line_end, ends=self.record.ends)
        write = sample_labels if self.labels else sample_pairs
        return write(model, self.tokenizer, self.sampled)


@dataclass(frozen=True)
class RunRequest:
    """What `seqgen.train` was asked for."""

    out: str | Path | None
    """The run's directory."""
    init_from: str | Path | None
    """The run to take the first weights from."""
    plan_from: str | Path | None
    """The run whose plan to follow."""
    settings: dict[str, Any]
    """Flat settings, named as the flags are."""
    report: Report
    """Receives what is being prepared, and how far it is."""
    started: float
    """The clock's value when the run's time started."""
    clock: Clock
    memory: int | None = None
    """The bytes that a fit may take; None is all of the machine."""
    init_embeddings: str | Path | None = None
    """The run or the file to take the first embedding from."""


class Session(Protocol):
    """A run that is prepared, with its lock: trained by gradients, fitted, or a mixture of such runs."""

    directory: RunDirectory
    config: RunConfig
    lock: BaseFileLock
    notices: list[str]
    """What the user should know before the first step, a sentence each."""

    @property
    def model(self) -> LanguageModel | None:
        """The model that is trained or was fitted; None for a mixture."""

    @property
    def plan(self) -> Plan | None:
        """The plan of its steps; None where there are none."""

    @property
    def first_step(self) -> int:
        """Steps that were taken in earlier sessions."""

    @property
    def member(self) -> Session | None:
        """The member of a mixture that is being trained."""

    def events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        """Do the work, and yield the events."""


@dataclass
class RunSetup:
    """Everything that a run trains with. Its lock is held."""

    directory: RunDirectory
    config: RunConfig
    corpus: EncodedCorpus
    learner: Learner
    checkpoint: Checkpoint
    """Where training starts; of step 0 for a new run."""
    lock: BaseFileLock
    notices: list[str]
    member: Session | None = None

    @property
    def model(self) -> LanguageModel:
        return self.learner.model

    @property
    def plan(self) -> Plan:
        return self.learner.plan

    @property
    def first_step(self) -> int:
        return self.checkpoint.progress.step

    def events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        """Train, and yield the events; errors as of `TrainingRun`."""
        directory, corpus, checkpoint = self.directory, self.corpus, self.checkpoint
        training = TrainingSetup(
            validation=corpus.validation,
            characters_per_token=None if corpus.labels else corpus.characters_per_token,
            write_sample=corpus.write_sample,
            config=self.config.to_json(),
            identity=self.config.identity,
            weights=directory.weights,
            checkpoints=directory.checkpoints,
        )
        with MetricsLog(directory.metrics, checkpoint.progress.metrics_bytes) as log:
            yield from Trainer(self.learner, training, checkpoint, log, clock).train(stop)


def encode_corpus(
    texts: Texts,
    tokenizer: Tokenizer | TokenizerConfig,
    report: Report = silent,
    labels: tuple[str, ...] | None = None,
) -> EncodedCorpus:
    """Encode both parts, with an existing tokenizer or one built from the training part.

    `labels` are the labels of an existing model. Without them, the labels of the training part are used.
    """
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = texts.tokenizer(tokenizer, report)
    stored = texts.ids(tokenizer, report)
    train, valid, leakage = stored.manifest.train, stored.manifest.valid, stored.manifest.leakage
    notices = [*texts.notices, *([str(leakage)] if leakage is not None and leakage.is_notable else [])]
    if texts.data.task in LABELING_TASKS:
        report("reading labels")
    parts = _parts(texts, stored, tokenizer, labels)
    notices += parts.notices
    pairs, validation = parts.pairs, parts.validation
    record = TextRecord(
        sha256=texts.text.manifest.sha256,
        characters=texts.text.manifest.characters + texts.text.manifest.end_bytes,
        train_tokens=stored.train.tokens,
        valid_tokens=stored.valid.tokens,
        valid_sha256=None if texts.valid is None else texts.valid.manifest.sha256,
        line_end=_line_end(texts, tokenizer),
        ends=texts.split.has_ends,
        split=texts.split.rule,
        train_pairs=None if pairs is None else len(pairs),
        longest_source=None if pairs is None else int(pairs.sources.lengths.max(initial=0)),
        longest_target=None if pairs is None else int(pairs.targets.lengths.max(initial=0)),
        valid_pairs=None if pairs is None else len(parts.withheld or ()),
    )
    return EncodedCorpus(
        tokenizer=tokenizer,
        train=stored.train,
        pairs=pairs,
        sampled=parts.withheld or pairs,
        validation=validation,
        record=record,
        characters_per_token=train.characters / stored.train.tokens,
        unknown=train.unknown,
        changed=train.changed + valid.changed,
        notices=notices,
        leakage=leakage,
        labels=parts.labels,
    )


class _Parts(NamedTuple):
    """What the parts of a corpus are learned from and validated by."""

    pairs: Pairs | None
    validation: Validation | None
    withheld: Pairs | None = None
    labels: tuple[str, ...] = ()
    notices: Sequence[str] = ()


def _parts(texts: Texts, ids: CachedIds, tokenizer: Tokenizer, labels: tuple[str, ...] | None) -> _Parts:
    """Return the parts of a corpus by its task; `labels` as of `encode_corpus`."""
    valid = ids.manifest.valid
    if texts.data.task in LABELING_TASKS:
        labeled = label_texts(texts, ids, tokenizer, labels)
        size, withheld = TextSize.sum([valid]), labeled.valid
        validation = None if withheld is None else LabelValidation(withheld, size)
        return _Parts(labeled.train, validation, withheld, labeled.labels, labeled.notices)
    if texts.data.has_pairs:
        pairs, withheld = Pairs.of(ids.train), Pairs.of(ids.valid)
        if not valid.tokens:
            return _Parts(pairs, None)
        targets = texts.split.valid.every(2, 1).documents()
        return _Parts(pairs, PairValidation(withheld, TextSize.total(targets, tokenizer)), withheld)
    return _Parts(None, DocumentValidation(ids.valid, TextSize.sum([valid])) if valid.tokens else None)


def _line_end(texts: Texts, tokenizer: Tokenizer) -> str:
    """Return the most frequent line end of a single text, with the character before it, by its first megabyte.

    Empty for several documents: there id 0 precedes each. The character is included because a model has hardly seen a
    line end right after 0: of 200 samples of three models, 79 to 88% began as a line does after 0 and a newline, 95 to
    98% with the character before it.
    """
    if texts.split.has_ends or texts.data.is_raw:
        return ""
    counts: Counter[str] = Counter()
    characters = 0
    for _, chunk in texts.split.train.chunks():
        counts.update(_LINE_END.findall(chunk))
        characters += len(chunk)
        if characters >= CHUNK_BYTES:
            break
    for ending, _ in counts.most_common(1):
        return next((known for known in (ending, ending[1:]) if not tokenizer.unknown(known)), "")
    return ""


def read_same_corpus(directory: RunDirectory, config: RunConfig, report: Report = silent) -> EncodedCorpus:
    """Read and encode the texts of a run again, with its tokenizer.

    Raises:
        RunError: a text, its split or its encoding has changed.
        TokenizerError: the tokenizer is missing, or not that of the run.
    """
    texts = read_texts(config.data, report, config.text)
    check_same_text(texts, config.text, config.data)
    tokenizer = tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint)
    corpus = encode_corpus(texts, tokenizer, report, config.labels)
    check_same_sizes(corpus, config.text, config.data)
    return corpus


def check_same_text(texts: Texts, record: TextRecord, data: DataConfig) -> None:
    """Refuse a text that is not the one that the run was started on.

    Raises:
        RunError: the text, the validation text or the split has changed.
    """
    valid = None if texts.valid is None else texts.valid.manifest.sha256
    check_hash(data.name, texts.text.manifest.sha256, record.sha256)
    check_hash(str(data.valid), valid, record.valid_sha256)
    if (texts.split.rule, texts.split.has_ends) != (record.split, record.ends):
        raise RunError(
            f"{data.name} is split by {texts.split.rule} now, and was split by {record.split}; use the version of "
            "seqgen that started this run, or start a new run"
        )


def check_same_sizes(corpus: EncodedCorpus, record: TextRecord, data: DataConfig) -> None:
    """Refuse a corpus that does not have the sizes that the run was started with.

    Raises:
        RunError: the split or the encoding gives other numbers of tokens.
    """
    for name in ("train_tokens", "valid_tokens"):
        now, then = getattr(corpus.record, name), getattr(record, name)
        if now != then:
            raise RunError(
                f"{data.name} gives {now:,} {name.replace('_', ' ')} now, and gave {then:,}: it is split or encoded in "
                "another way; use the version of seqgen that started this run, or start a new run"
            )


def build_stream(
    model_config: FamilyConfig, config: TrainingConfig, documents: Documents, pairs: Pairs | None = None
) -> BatchStream:
    """Build the batches that a family trains on: of documents, or where its task has pairs, of pairs."""
    if pairs is not None:
        pairs = pairs.cut_sources(cast("PairConfig", model_config).source_limit)
        return PairBatches(pairs, config.batch_size, config.seed)
    if FAMILIES[model_config.cell].batches == "windows":
        return WindowBatches(documents, config.batch_size, cast("BlockConfig", model_config).block_size, config.seed)
    return ContiguousBatches(documents, config.batch_size, config.bptt, config.seed)


def build_learner(
    model_config: FamilyConfig,
    config: TrainingConfig,
    corpus: EncodedCorpus,
    initialize: Callable[[LanguageModel], object] = lambda _: None,
) -> Learner:
    """Build a learner on the chosen device and in the chosen precision.

    Its weights are drawn from the seed; `initialize` may then change them.
    """
    device = select_device(config.device)
    precision = select_precision(config.precision, device)
    stream = build_stream(model_config, config, corpus.train, corpus.pairs)
    check_memory(model_config, config, corpus)
    with RandomState(config.seed, torch.device("cpu")):
        model = models.build(model_config, corpus.tokenizer.vocab_size).to(device).eval()
    initialize(model)
    return Learner(cast("NeuralModel", model), stream, config, precision)


def check_memory(model_config: FamilyConfig, config: TrainingConfig, corpus: EncodedCorpus) -> None:
    """Refuse a model or a batch that cannot fit, before any memory is taken.

    It needs at least weights, gradients and a moment in fp32, or before there are gradients a batch's activations.

    Raises:
        ConfigError: it cannot fit, or the device or precision is not available.
    """
    device = select_device(config.device)
    precision = select_precision(config.precision, device)
    available = total_memory(device)
    if available is None:
        return
    model = skeleton(model_config, corpus.tokenizer.vocab_size)
    stream = build_stream(model_config, config, corpus.train, corpus.pairs)
    parameters = parameter_count(model)
    if 12 * parameters > available:
        raise ConfigError(
            f"hidden_size: this model has {parameters:,} parameters and takes {_in_gib(12 * parameters)} or more to "
            f"train; this machine has {_in_gib(available)}, so lower --hidden-size or --layers"
        )
    rows, length = stream.batch_size, stream.longest
    needed = 8 * parameters + activation_bytes(model, rows * length, precision)
    if needed > available:
        other = {
            "contiguous": "--bptt",
            "windows": "--block-size",
            "pairs": "--max-source-length, or cut long targets",
        }[FAMILIES[model_config.cell].batches]
        raise ConfigError(
            f"batch_size: training on a batch of {rows:,} rows of {length:,} tokens takes {_in_gib(needed)} or more; "
            f"this machine has {_in_gib(available)}, so lower --batch-size (and raise --grad-accum) or {other}"
        )


def _in_gib(size: int) -> str:
    return f"{size / 2**30:,.0f} GiB" if size >= 10 << 30 else f"{size / 2**30:.1f} GiB"

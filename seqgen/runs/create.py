"""Start a new run: from settings to a directory with everything that a resume needs, before the first step."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.data.split import share_notice
from seqgen.device import describe_environment
from seqgen.errors import ConfigError, TextError
from seqgen.models.base import LanguageModel
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import RunConfig, RunSettings, TokenizerRecord, cells_of, resolve_settings, training_time
from seqgen.runs.directory import RunDirectory, check_out_is_free, write_run
from seqgen.runs.embeddings.initial import InitialEmbedding
from seqgen.runs.follow import FollowedRun
from seqgen.runs.load import load
from seqgen.runs.run import Run
from seqgen.runs.setup import EncodedCorpus, RunRequest, RunSetup, build_learner, encode_corpus
from seqgen.sources.config import EXAMPLES, GENERATE, LABELING_TASKS, Task, absolute
from seqgen.tokenizers.auto import choose_tokenizer
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.checkpoint import Checkpoint, TrainingProgress, save_checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Clock, Timings, first_plan
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from seqgen.models.labeling.base import Labeler

MAX_UNKNOWN_SHARE = 0.2
"""Largest share of `<unk>` in a training text, for a vocabulary that was not built from it."""
FEW_PAIRS = 20
"""Pairs of a validation part below which a notice says that its figures are rough."""
NOTABLE_PREPARATION_SHARE = 0.5
"""Share of the time limit from which a notice tells how long the preparation took."""


def new_run(request: RunRequest) -> RunSetup:
    """Create a run, from another run's weights if `init_from` names one; errors as in `seqgen.train`."""
    followed = None if request.plan_from is None else FollowedRun.read(request.plan_from)
    vectors = _read_vectors(request)
    parent = None if request.init_from is None else _load_parent(request.init_from)
    asked = request.settings if followed is None else followed.fill_in(request.settings)
    if vectors is not None:
        asked = vectors.fill_in(asked, *cells_of(asked))
    settings = resolve_settings(asked) if parent is None else _settings_from(parent.config, asked)
    if vectors is not None:
        vectors.check_size(settings.model)
    check_out_is_free(request.out)
    chosen = None if followed is None else followed.chosen_tokenizer
    corpus, tokenizer = read_corpus(request, settings, parent, chosen=chosen)
    setup = create_run(request, settings, corpus, tokenizer, parent=parent, vectors=vectors, followed=followed)
    setup.notices = [*corpus_notices(settings, corpus), *setup.notices]
    return setup


def create_run(
    request: RunRequest,
    settings: RunSettings,
    corpus: EncodedCorpus,
    tokenizer: TokenizerRecord,
    *,
    parent: Run | None = None,
    vectors: InitialEmbedding | None = None,
    followed: FollowedRun | None = None,
) -> RunSetup:
    """Create a run on an encoded corpus; its notices are those about training."""
    if corpus.labels:
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"labels": corpus.labels})})
    init_from = None if parent is None else _check_file_name("init_from", absolute(str(parent.path)))
    training = cast("TrainingConfig", settings.training)
    initialize, vector_notices = _initialization(parent, vectors, corpus.tokenizer)
    learner = build_learner(settings.model, training, corpus, initialize)
    request.report("measuring the speed of this machine")
    preparation = request.clock() - request.started
    chosen = {"device": str(learner.model.device), "precision": learner.precision}
    learner.config = training.model_copy(update=chosen)
    learner.plan, timings = _first_plan(learner, corpus, followed, preparation, request.clock)

    config = make_config(
        settings.data,
        corpus,
        tokenizer,
        model=settings.model,
        training=learner.config,
        environment=describe_environment(learner.model.device, learner.precision),
        init_from=init_from,
        init_embeddings=None if vectors is None else _check_file_name("init_embeddings", vectors.source),
    )
    if followed is not None:
        followed.check_same(config)
    progress = TrainingProgress(
        step=0,
        seconds=round(request.clock() - request.started, 3),
        metrics_bytes=0,
        timings=timings,
        followed_plan=None if followed is None else followed.plan,
    )

    def save(directory: RunDirectory) -> Checkpoint:
        """Save before the first step, so that a full disk is noticed before the training."""
        return save_checkpoint(directory.checkpoints, learner, progress, config.to_json(), config.identity)

    directory, lock, checkpoint = write_run(request.out, config, corpus.tokenizer, save)
    notices = [
        *vector_notices,
        *_short_text_notice(training, learner, config.data.task),
        *_preparation_notice(preparation, training.max_time),
    ]
    return RunSetup(directory, config, corpus, learner, checkpoint, lock, notices)


def _load_parent(path: str | Path) -> Run:
    """Load the run of `init_from`; the temperature of a labeler becomes 1, because it was fitted to other texts.

    Raises:
        ConfigError: its model has no weights that gradients can train further.
    """
    parent = load(path, device="cpu")
    if not FAMILIES[parent.config.model.cell].neural:
        raise ConfigError(f"init_from: {path} is {parent.config.model.name}, which is not trained by gradients")
    if parent.config.data.task in LABELING_TASKS:
        cast("Labeler", parent.model).temperature.fill_(1.0)
    return parent


def _read_vectors(request: RunRequest) -> InitialEmbedding | None:
    """Read the vectors of `init_embeddings`, if the request names any.

    Raises:
        ConfigError: the embedding comes from `init_from` already.
    """
    if request.init_embeddings is None:
        return None
    if request.init_from is not None:
        raise ConfigError("init_embeddings: the embedding comes with the weights of --init-from; leave one of them out")
    request.report("reading the vectors")
    return InitialEmbedding.read(request.init_embeddings)


def _initialization(
    parent: Run | None, vectors: InitialEmbedding | None, tokenizer: Tokenizer
) -> tuple[Callable[[LanguageModel], object], list[str]]:
    """Return what changes the new weights of a model, and notices about it.

    Raises:
        ConfigError: no token has a vector.
    """
    if parent is not None:
        weights = parent.model.state_dict()
        return lambda model: model.load_state_dict(weights), []
    if vectors is None:
        return lambda _: None, []
    rows = vectors.match(tokenizer)
    if not rows:
        raise ConfigError(
            f"init_embeddings: none of the {plural(tokenizer.vocab_size, 'token')} of the {tokenizer.kind} tokenizer "
            f"has a vector in {vectors.source}; for vectors of words, use --tokenizer word"
        )
    notice = (
        f"{len(rows):,} of the {plural(tokenizer.vocab_size, 'token')} "
        f"{singular_or_plural(len(rows), 'starts', 'start')} from the vectors of {vectors.source}, the "
        "others from random ones"
    )
    return lambda model: vectors.write(model, rows), [*vectors.notices, notice]


def make_config(data: DataConfig, corpus: EncodedCorpus, tokenizer: TokenizerRecord, **rest: Any) -> RunConfig:
    """Return the config of a run that is created now; `rest` are the other fields."""
    return RunConfig(
        seqgen=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(),
        data=_absolute_paths(data),
        tokenizer=tokenizer,
        text=corpus.record,
        **rest,
    )


def read_corpus(
    request: RunRequest,
    settings: RunSettings,
    parent: Run | None = None,
    *,
    chosen: dict[str, Any] | None = None,
    is_counted: bool = False,
) -> tuple[EncodedCorpus, TokenizerRecord]:
    """Read and encode the texts, with the tokenizer of `parent`, of a directory, or a new one.

    Args:
        request: with the training time, by which `--tokenizer auto` chooses.
        settings: the resolved settings; of a mixture, those of any member.
        parent: the run of `init_from`.
        chosen: what `--tokenizer auto` chooses, if that is known.
        is_counted: whether the model is n-grams alone.
    """
    _absolute_paths(settings.data)  # refuse what no file can be called, before anything is read
    texts = read_texts(settings.data, request.report)
    tokenizer = parent.tokenizer if parent is not None else None
    if settings.tokenizer_from is not None:
        tokenizer = tokenizers.load(Path(settings.tokenizer_from))
    built, seconds = settings.tokenizer, training_time(request.settings)
    if settings.auto:
        chosen = chosen or choose_tokenizer(texts.statistics, seconds, is_counted=is_counted).settings
        built = built.model_copy(update=chosen)
    labels = None if parent is None else parent.config.labels
    corpus = encode_corpus(texts, tokenizer or built, request.report, labels)
    if settings.auto and built.kind != "char":
        corpus = replace(corpus, notices=[_tokenizer_notice(corpus, seconds), *corpus.notices])
    if tokenizer is not None and not settings.data.allow_unknown:
        _check_unknown_share(corpus, settings, request.init_from)
    record = TokenizerRecord(
        kind=corpus.tokenizer.kind,
        vocab_size=corpus.tokenizer.vocab_size,
        fingerprint=corpus.tokenizer.fingerprint,
        normalization=corpus.tokenizer.normalization,
        asked=built if tokenizer is None else None,
        auto=settings.auto,
    )
    return corpus, record


def _first_plan(
    learner: Learner, corpus: EncodedCorpus, followed: FollowedRun | None, spent: float, clock: Clock
) -> tuple[Plan, Timings]:
    """Return the first plan of the run, `spent` seconds after its start, and its first timings."""
    if followed is not None:
        return Plan(stages=followed.plan.stages[:1]), Timings()

    def evaluate() -> None:
        if corpus.validation is not None:
            corpus.validation.evaluate(learner.model, learner.precision)
        corpus.write_sample(learner.model, learner.config.seed)

    return first_plan(learner, evaluate, spent, clock)


def _settings_from(parent: RunConfig, settings: dict[str, Any]) -> RunSettings:
    """Resolve the settings of a run that starts from another run's model and tokenizer."""
    fixed = {*FAMILIES[parent.model.cell].config.model_fields, *TokenizerConfig.model_fields, "tokenizer"}
    named = sorted(fixed & set(settings))
    if named:
        comes = singular_or_plural(len(named), "comes", "come")
        raise ConfigError(f"init_from: {', '.join(named)} {comes} with the weights of the other run; leave that out")
    task = FAMILIES[parent.model.cell].task
    if settings.get("task", task) != task:
        raise ConfigError(f"init_from: the other run was trained with --task {task}, not {settings['task']}")
    named_by = {"cell": parent.model.name, "task": task}
    resolved = resolve_settings({**settings, **named_by}, from_weights=True)
    return resolved.model_copy(update={"model": parent.model})


def _check_unknown_share(corpus: EncodedCorpus, settings: RunSettings, init_from: str | Path | None) -> None:
    """Refuse a text with too many `<unk>` in another text's vocabulary."""
    share = corpus.unknown / corpus.train.tokens
    if share > MAX_UNKNOWN_SHARE:
        flag, name = ("--init-from", init_from) if init_from is not None else ("--tokenizer", settings.tokenizer_from)
        raise TextError(
            f"{settings.data.name}: {share:.0%} of its {plural(corpus.train.tokens, 'token')} are <unk> in the "
            f"vocabulary of {flag} {name} (at most {MAX_UNKNOWN_SHARE:.0%}); leave {flag} out to build a vocabulary "
            "from this text, or train anyway with --allow-unknown"
        )


def _absolute_paths(data: DataConfig) -> DataConfig:
    """Make the paths of texts absolute, so that the run can be resumed from another folder."""
    changes: dict[str, Any] = {"text": tuple(_check_file_name("text", absolute(path)) for path in data.text)}
    for name in ("valid", "cache_dir"):
        path = getattr(data, name)
        changes[name] = None if path is None else _check_file_name(name, absolute(path))
    return data.model_copy(update=changes)


def _check_file_name(setting: str, path: str) -> str:
    """Return `path` if it can be the name of a file (which need not be UTF-8)."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting}: {path!r} cannot be the name of a file here; rename it") from error
    return path


def _short_text_notice(training: TrainingConfig, learner: Learner, task: Task) -> list[str]:
    stream = learner.stream
    if stream.batch_size >= training.batch_size or stream.batches_per_epoch >= 2:
        return []
    if task == GENERATE:
        notice = (
            f"the text is short: {plural(stream.tokens, 'token')} "
            f"{singular_or_plural(stream.tokens, 'fills', 'fill')} {plural(stream.batch_size, 'row')} of "
            f"{stream.length}"
        )
    else:
        notice = f"the training part has {plural(stream.batch_size, EXAMPLES[task])}"
    notice += f", so the batch size is {stream.batch_size} instead of {training.batch_size}"
    return [notice]


def corpus_notices(settings: RunSettings, corpus: EncodedCorpus) -> list[str]:
    """Return what the user should know about the text, its split and its tokens, a sentence each."""
    notices = list(corpus.notices)
    withheld = 0 if corpus.validation is None else corpus.validation.size.characters
    if (notice := share_notice(settings.data, corpus.record.split, withheld, corpus.record.characters)) is not None:
        notices.append(notice)
    if 0 < (pairs := corpus.record.valid_pairs or 0) < FEW_PAIRS:
        notices.append(
            f"the validation part has {plural(pairs, EXAMPLES[settings.data.task])}, so its figures are rough; "
            "withhold more with --valid-share, or name a file with --valid"
        )
    if corpus.unknown:
        notices.append(f"the training part has {plural(corpus.unknown, 'token')} outside the vocabulary, read as <unk>")
    if corpus.changed:
        notices.append(
            f"{plural(corpus.changed, 'character is', 'characters are')} not in NFC, and this tokenizer normalizes "
            "them: bits per byte are those of the normalized text"
        )
    asked = settings.tokenizer.vocab_size
    if isinstance(asked, int) and corpus.tokenizer.vocab_size < asked:
        notices.append(f"the vocabulary of this text has {corpus.tokenizer.vocab_size:,} tokens, not {asked:,}")
    if corpus.validation is None and FAMILIES[settings.model.cell].neural:
        notices.append("there is no validation part: the last weights are kept, even if they are not the best")
    elif corpus.validation is not None and corpus.validation.size.unknown:
        unknown = corpus.validation.size.unknown
        notices.append(
            f"the validation part has {plural(unknown, 'token')} outside the vocabulary, scored as <unk> plus the cost "
            f"of {singular_or_plural(unknown, 'its', 'their')} spelling"
        )
    return notices


def _tokenizer_notice(corpus: EncodedCorpus, seconds: float | None) -> str:
    length = "" if seconds is None else f" and {plural(round(seconds), 'second')}"
    return (
        f"tokenizer: {corpus.tokenizer.kind} with {corpus.tokenizer.vocab_size:,} pieces, for "
        f"{corpus.record.characters / 1e6:.1f} million characters{length} (--tokenizer char for characters)"
    )


def _preparation_notice(preparation: float, max_time: float | None) -> list[str]:
    if max_time is None or preparation <= NOTABLE_PREPARATION_SHARE * max_time:
        return []
    notice = (
        f"loading and preparing took {preparation:.0f} of the {max_time:.0f} seconds; use a longer --max-time (the "
        "prepared text is cached for the next run)"
    )
    return [notice]

"""A run that is begun: from settings to a directory with all that a resume needs, before the first step."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.data.split import share_notice
from seqgen.device import describe_environment
from seqgen.errors import ConfigError, TextError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import Request, RunConfig, TokenizerRecord, compose
from seqgen.runs.directory import RunDirectory, check_free, create_run
from seqgen.runs.follow import PlannedRun
from seqgen.runs.load import load
from seqgen.runs.setup import Corpus, RunSetup, build_learner, encode_corpus
from seqgen.sources.config import absolute
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.checkpoint import Checkpoint, Progress, save_checkpoint
from seqgen.training.learner import Learner
from seqgen.training.plan import Plan
from seqgen.training.time_budget import Clock, Pace, first_plan
from seqgen.training.trainer import sample_text
from seqgen.utils.progress import Report
from seqgen.utils.text import plural, singular_or_plural

LARGEST_UNKNOWN = 0.2
"""The share of a text's pieces that a vocabulary which was not built from it may lack."""

if TYPE_CHECKING:
    from filelock import BaseFileLock


PREPARATION_SHARE = 0.5
"""Of the time of a run: a preparation that takes more is worth a note."""


def new_run(
    out: str | Path | None,
    init_from: str | Path | None,
    plan_from: str | Path | None,
    settings: dict[str, Any],
    report: Report,
    started: float,
    clock: Clock,
) -> RunSetup:
    """Begin a run by `settings`, from another's weights where `init_from` names one; errors as of `seqgen.train`."""
    planned = None if plan_from is None else PlannedRun.read(plan_from)
    if planned is not None:
        settings = planned.settings(settings)
    parent = None if init_from is None else load(init_from, device="cpu")
    request = compose(settings) if parent is None else _compose_from(parent.config, settings)
    check_free(out)
    data = _with_absolute_paths(request.data)
    origin = None if parent is None else _recordable("init_from", absolute(str(parent.path)))
    texts = read_texts(request.data, report)
    tokenizer = parent.tokenizer if parent is not None else None
    if request.tokenizer_from is not None:
        tokenizer = tokenizers.load(Path(request.tokenizer_from))
    corpus = encode_corpus(texts, tokenizer or request.tokenizer, report)
    if tokenizer is not None and not request.data.allow_unknown:
        _check_known(corpus, request, init_from)
    learner = build_learner(request.model, request.training, corpus)
    if parent is not None:
        learner.model.load_state_dict(parent.model.state_dict())
    report("measuring the speed of this machine")
    prepared = clock() - started
    training = request.training.model_copy(update={"device": str(learner.model.device), "precision": learner.precision})
    learner.config = training
    learner.plan, pace = _first_plan(learner, corpus, planned, prepared, clock)
    config = RunConfig(
        seqgen=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(),
        model=request.model,
        tokenizer=TokenizerRecord(
            kind=corpus.tokenizer.kind,
            vocab_size=corpus.tokenizer.vocab_size,
            fingerprint=corpus.tokenizer.fingerprint,
            normalization=corpus.tokenizer.normalization,
            asked=request.tokenizer if tokenizer is None else None,
        ),
        data=data,
        text=corpus.record,
        training=training,
        environment=describe_environment(learner.model.device, learner.precision),
        init_from=origin,
    )
    if planned is not None:
        planned.check_same(config)
    directory: RunDirectory | None = None
    try:
        directory = create_run(out, request.data.text[0], request.model.cell)
        progress = Progress(step=0, seconds=round(clock() - started, 3), metrics_bytes=0, pace=pace)
        if planned is not None:
            progress = progress.model_copy(update={"given_plan": planned.plan})
        lock, checkpoint = _write_founding(directory, config, corpus, learner, progress)
    except BaseException:
        if directory is not None:
            shutil.rmtree(directory.path, ignore_errors=True)  # made a moment ago, and good for nothing
        raise
    notices = _notices(request, learner, corpus)
    if training.max_time is not None and prepared > PREPARATION_SHARE * training.max_time:
        notices.append(
            f"loading and preparing took {prepared:.0f} of the {training.max_time:.0f} seconds: give a longer "
            "--max-time (the text is prepared now, and need not be for the next run)"
        )
    return RunSetup(directory, config, corpus, learner, checkpoint, lock, notices)


def _first_plan(
    learner: Learner, corpus: Corpus, planned: PlannedRun | None, spent: float, clock: Clock
) -> tuple[Plan, Pace]:
    """The plan that the run begins with, `spent` seconds after its time began, and what its evaluations take."""
    if planned is not None:
        return Plan(stretches=planned.plan.stretches[:1]), Pace()

    def evaluate() -> None:
        if corpus.validation is not None:
            corpus.validation.evaluate(learner.model, learner.precision)
        sample_text(learner.model, corpus.tokenizer, learner.config.seed, corpus.record.line_end)

    return first_plan(learner, evaluate, spent, clock)


def _write_founding(
    directory: RunDirectory, config: RunConfig, corpus: Corpus, learner: Learner, progress: Progress
) -> tuple[BaseFileLock, Checkpoint]:
    """Write what a run begins with: all that a resume needs, so that a disk that takes nothing is met before the work.

    config.json is the last: a directory without one is no run.
    """
    lock = directory.hold()
    try:
        corpus.tokenizer.save(directory.tokenizer)
        checkpoint = save_checkpoint(directory.checkpoints, learner, progress, config.to_json(), config.identity)
        directory.write_config(config)
    except BaseException:
        lock.release()
        raise
    return lock, checkpoint


def _compose_from(parent: RunConfig, settings: dict[str, Any]) -> Request:
    """The request of a run that starts from another's weights: model and tokenizer are the other's."""
    fixed = {*FAMILIES[parent.model.cell][0].model_fields, *TokenizerConfig.model_fields, "tokenizer"}
    given = sorted(fixed & set(settings))
    if given:
        comes = singular_or_plural(len(given), "comes", "come")
        raise ConfigError(f"init_from: {', '.join(given)} {comes} with the weights of the other run; leave that out")
    request = compose({**settings, "cell": parent.model.cell}, sized=True)
    return request.model_copy(update={"model": parent.model})


def _check_known(corpus: Corpus, request: Request, init_from: str | Path | None) -> None:
    """Refuse a text of which the vocabulary of another lacks too much: what is learned of it would be `<unk>`."""
    share = corpus.unknown / corpus.train.tokens
    if share > LARGEST_UNKNOWN:
        flag, name = ("--init-from", init_from) if init_from is not None else ("--tokenizer", request.tokenizer_from)
        raise TextError(
            f"{request.data.name}: {share:.0%} of its {plural(corpus.train.tokens, 'piece')} are <unk> in the "
            f"vocabulary of {flag} {name} (at most {LARGEST_UNKNOWN:.0%}); leave {flag} out to build one from this "
            "text, or train all the same by --allow-unknown"
        )


def _with_absolute_paths(data: DataConfig) -> DataConfig:
    """So that the run can be resumed from another folder."""
    changes: dict[str, Any] = {"text": tuple(_recordable("text", absolute(path)) for path in data.text)}
    for name in ("valid", "cache_dir"):
        path = getattr(data, name)
        changes[name] = None if path is None else _recordable(name, absolute(path))
    return data.model_copy(update=changes)


def _recordable(name: str, path: str) -> str:
    """`path`, if it can be the name of a file, which need not be UTF-8."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name}: {path!r} cannot be the name of a file here; rename it") from error
    return path


def _notices(request: Request, learner: Learner, corpus: Corpus) -> list[str]:
    stream = learner.stream
    notices = list(corpus.notices)
    rows = plural(stream.batch_size, "row")
    if stream.batch_size < request.training.batch_size and stream.batches_per_epoch < 2:
        notices.append(
            f"the text is short: {plural(stream.tokens, 'token')} "
            f"{singular_or_plural(stream.tokens, 'fills', 'fill')} {rows} of {stream.length}, so batches "
            f"have {rows} instead of {request.training.batch_size}"
        )
    withheld = 0 if corpus.validation is None else corpus.validation.size.characters
    if (unlike := share_notice(request.data, withheld, corpus.record.characters)) is not None:
        notices.append(unlike)
    if corpus.unknown:
        notices.append(
            f"the training part has {plural(corpus.unknown, 'piece')} that the vocabulary does not hold, "
            "learnt as <unk>"
        )
    if corpus.changed:
        notices.append(
            f"{plural(corpus.changed, 'character is', 'characters are')} not in NFC, as which this tokenizer gives "
            "them back: the bits per byte are what the normalized text costs"
        )
    asked = request.tokenizer.vocab_size
    if isinstance(asked, int) and corpus.tokenizer.vocab_size < asked:
        notices.append(f"the text gives a vocabulary of {corpus.tokenizer.vocab_size:,}, not of {asked:,}")
    if corpus.validation is None:
        notices.append(
            "nothing is withheld to validate on: the last weights are kept, whether or not they are the best"
        )
    elif corpus.validation.size.unknown:
        notices.append(
            f"the validation part has {plural(corpus.validation.size.unknown, 'piece')} that the vocabulary does not "
            "hold, counted as <unk> with what the spelling costs"
        )
    return notices

"""A training run: from settings, or from a checkpoint, to an object that trains when it is iterated over."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.catalogue import PREFIX
from seqgen.data.config import DataConfig
from seqgen.errors import ConfigError, RunError
from seqgen.files import read_at_most, sweep
from seqgen.models.config import FAMILIES
from seqgen.preparation import Corpus, build_learner, check_same_text, encode_corpus, read_texts
from seqgen.run import (
    CONFIG_CAP,
    Request,
    RunConfig,
    RunDirectory,
    TokenizerRecord,
    check_free,
    compose,
    create_run,
    find_run,
)
from seqgen.runtime import describe_environment
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.trained import Run, load
from seqgen.training.budget import EVALUATIONS, steps_for, steps_within
from seqgen.training.checkpoint import Checkpoint, Progress, load_checkpoint, newest_checkpoint, save_checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.events import Event
from seqgen.training.learner import Learner
from seqgen.training.loop import Plan, ended, publish_best, sample_text
from seqgen.training.loop import train as train_events
from seqgen.training.metrics import MetricsLog, check_length
from seqgen.training.schedule import warmup_steps

if TYPE_CHECKING:
    from filelock import BaseFileLock

Report = Callable[[str], None]
"""Is told in a few words what is being prepared."""

CHANGEABLE = ("max_steps", "device", "precision", "save_every", "on_save_error")
"""What may change in a run that goes on."""


def train(
    text: str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    init_from: str | Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Report = lambda _: None,
    **settings: Any,
) -> TrainingRun:
    """Prepare a training run on a text; iterate over the result, or call its `run()`, to train.

    Args:
        text: a path, `corpus:NAME`, or None for the embedded corpus; with `resume`, None.
        out: the run's directory; None is a new one under runs/, with `resume` the newest run.
        resume: go on with a run from its last checkpoint. It takes a larger `max_steps`, the other settings in
            `CHANGEABLE`, and none beside.
        init_from: start from another run's weights, with its model and its tokenizer.
        stop: polled between steps; once true the run saves and ends, to be resumed.
        report: is told what is being prepared.
        settings: named as the command's flags are: `cell="gru"`, `max_time="60s"`, `hidden_size=512`, ...

    Raises:
        ConfigError: a setting is unknown or impossible.
        TextError: the text is missing, undecodable or too short.
        RunError: `out` is there already, or what is to be resumed is not a run that can be, or is being trained.
        SaveError: the directory cannot be written.
    """
    if resume:
        if text is not None or init_from is not None:
            raise ConfigError("resume: a run goes on with its own text and weights; leave the others out")
        return _resume(find_run(out, trained=False), settings, stop, report)
    for name, value in {"text": text, **settings}.items():
        if isinstance(value, Path):
            settings[name] = str(value)
        elif name == "text" and value is not None:
            settings[name] = value
    return _start(out, init_from, settings, stop, report)


class TrainingRun:
    """A run that is ready to train. Iterating takes the steps and gives the events; `run()` does so in silence.

    It holds the run's lock until its events have ended, it is closed, or nothing refers to it any more.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: RunConfig,
        corpus: Corpus,
        learner: Learner,
        checkpoint: Checkpoint,
        lock: BaseFileLock,
        stop: Callable[[], bool],
        notices: list[str],
    ) -> None:
        self.path = directory.path
        self.config = config
        self.model = learner.model
        self.total_steps = learner.total_steps
        self.first_step = checkpoint.progress.step
        """How many steps had been taken before."""
        self.notices = notices
        """What the user should know before the first step, a sentence each."""
        self._directory, self._corpus, self._learner = directory, corpus, learner
        self._checkpoint, self._lock, self._stop = checkpoint, lock, stop
        self._begun = False
        self._running: Generator[Event] | None = None

    def __iter__(self) -> Generator[Event]:
        """The events of the run, which can be gone through once.

        Raises:
            RunError: it has been begun already, or its files have been taken away.
            TrainingError: loss, gradient or weights are no longer numbers.
            SaveError: the last checkpoint cannot be written, or any where `on_save_error` says to stop then.
        """
        if self._begun:
            raise RunError(f"{self.path} has been begun already; go on with it by seqgen.train(resume=True, out=...)")
        self._begun = True
        self._running = self._events()
        return self._running

    def _events(self) -> Generator[Event]:
        plan = Plan(
            tokenizer=self._corpus.tokenizer,
            validation=self._corpus.validation,
            characters_per_token=self._corpus.characters_per_token,
            eval_every=self.config.training.eval_every or self.total_steps,
            config=self.config.to_json(),
            weights=self._directory.weights,
            checkpoints=self._directory.checkpoints,
        )
        try:
            with MetricsLog(self._directory.metrics, self._checkpoint.progress.metrics_bytes) as log:
                yield from train_events(self._learner, plan, self._checkpoint, log, self._stop)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Leave the run to whoever wants to go on with it; what was not saved is lost."""
        self._begun = True
        if self._running is not None:
            self._running.close()
        self._lock.release()

    def run(self) -> Run:
        """Train to the end, and load the best weights."""
        for _ in self:
            pass
        return load(self.path, device=str(self.model.device))


def _start(
    out: str | Path | None,
    init_from: str | Path | None,
    settings: dict[str, Any],
    stop: Callable[[], bool],
    report: Report,
) -> TrainingRun:
    parent = None if init_from is None else load(init_from, device="cpu")
    request = compose(settings) if parent is None else _compose_from(parent.config, settings)
    check_free(out)
    report(f"reading {request.data.text}")
    texts = read_texts(request.data)
    tokenizer = parent.tokenizer if parent is not None else None
    if request.tokenizer_from is not None:
        tokenizer = tokenizers.load(Path(request.tokenizer_from))
    report("encoding" if tokenizer is not None else f"building the {request.tokenizer.kind} vocabulary")
    corpus = encode_corpus(texts, tokenizer or request.tokenizer)
    learner = build_learner(request.model, request.training, corpus)
    if parent is not None:
        learner.model.load_state_dict(parent.model.state_dict())
    report("measuring the speed of this machine")
    training = _fix_length(request.training, learner, corpus)
    learner.set_length(training)
    config = RunConfig(
        seqgen=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(),
        model=request.model,
        tokenizer=TokenizerRecord(
            kind=corpus.tokenizer.kind,
            vocab_size=corpus.tokenizer.vocab_size,
            fingerprint=corpus.tokenizer.fingerprint,
        ),
        data=_with_absolute_paths(request.data),
        text=corpus.record,
        training=training,
        environment=describe_environment(learner.model.device, learner.precision),
        init_from=None if parent is None else str(parent.path.resolve()),
    )
    directory: RunDirectory | None = None
    try:
        directory = create_run(out, request.data.text, request.model.cell)
        lock, checkpoint = _found(directory, config, corpus, learner)
    except BaseException:
        if directory is not None:
            shutil.rmtree(directory.path, ignore_errors=True)  # made a moment ago, and good for nothing
        raise
    return TrainingRun(directory, config, corpus, learner, checkpoint, lock, stop, _notices(request, learner, corpus))


def _found(
    directory: RunDirectory, config: RunConfig, corpus: Corpus, learner: Learner
) -> tuple[BaseFileLock, Checkpoint]:
    """Write what a run begins with: all that a resume needs, so that a disk that takes nothing is met before the work.

    config.json is the last: a directory without one is no run.
    """
    lock = directory.hold()
    try:
        corpus.tokenizer.save(directory.tokenizer)
        progress = Progress(step=0, seconds=0.0, metrics_bytes=0)
        checkpoint = save_checkpoint(directory.checkpoints, learner, progress, config.to_json())
        directory.write_config(config)
    except BaseException:
        lock.release()
        raise
    return lock, checkpoint


def _resume(directory: RunDirectory, settings: dict[str, Any], stop: Callable[[], bool], report: Report) -> TrainingRun:
    others = sorted(set(settings) - set(CHANGEABLE))
    if others:
        raise ConfigError(f"resume: {', '.join(others)} cannot change in a run that goes on; start a new one instead")
    directory.read_config()  # or it is no run, and nothing to be locked
    lock = directory.hold()
    try:
        return _go_on(directory, settings, lock, stop, report)
    except BaseException:
        lock.release()
        raise


def _go_on(
    directory: RunDirectory, settings: dict[str, Any], lock: BaseFileLock, stop: Callable[[], bool], report: Report
) -> TrainingRun:
    recorded = directory.read_config()
    for folder in (directory.path, directory.checkpoints):
        sweep(folder)
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is None:
        raise RunError(f"{directory.path} has no checkpoint to go on from; remove it, and train anew")
    notices = [f"{damage}: going on from {checkpoint.path.name}, before it" for damage in checkpoint.damaged]
    before = _check_same_config(directory, recorded, checkpoint)
    config = _change(recorded, settings, before.training.max_steps or 0, notices)
    if (config.training.max_steps or 0) > (before.training.max_steps or 0):  # patience begins anew too
        checkpoint = checkpoint.with_patience()
    if ended(checkpoint.progress, config.training) is not None:
        raise RunError(
            f"{directory.path} is complete after {checkpoint.progress.step} steps; to train it further say "
            + "; ".join(["--max-steps with a larger number", *_restore_best(directory, checkpoint)])
        )
    check_length(directory.metrics, checkpoint.progress.metrics_bytes)
    report(f"reading {config.data.text}")
    texts = read_texts(config.data)
    check_same_text(texts, config.text, config.data)
    corpus = encode_corpus(texts, tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint))
    learner = build_learner(config.model, config.training, corpus)
    learner.set_length(config.training)
    load_checkpoint(checkpoint, learner)
    environment = describe_environment(learner.model.device, learner.precision)
    here = {"seqgen": __version__, **environment}
    notices += [
        f"{name} is {here.get(name)}, and was {then}: the run goes on, but not to the bit as it would have"
        for name, then in {"seqgen": recorded.seqgen, **recorded.environment}.items()
        if here.get(name) != then
    ]
    config = config.model_copy(update={"seqgen": __version__, "environment": environment})
    # Only now that nothing can be refused any more is anything written.
    notices += _restore_best(directory, checkpoint)
    if config != recorded:
        directory.write_config(config)
    return TrainingRun(directory, config, corpus, learner, checkpoint, lock, stop, notices)


def _check_same_config(directory: RunDirectory, config: RunConfig, checkpoint: Checkpoint) -> RunConfig:
    """The config of the checkpoint, from which config.json may differ in what may change in a run that goes on."""
    try:
        then = RunConfig.from_json(read_at_most(checkpoint.config, CONFIG_CAP), str(checkpoint.config))
    except OSError as error:
        raise RunError(f"{checkpoint.config} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunError(f"{error}; another version of seqgen wrote it") from error
    before, now = _flatten(then.model_dump()), _flatten(config.model_dump())
    changed = sorted(
        f"{name} is {now.get(name)}, and was {before.get(name)}"
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name)
        and not name.startswith("environment.")
        and name != "seqgen"
        and name not in {f"training.{setting}" for setting in CHANGEABLE}
    )
    if changed:
        raise RunError(
            f"{directory.config} is not what this run was trained with: {'; '.join(changed)}; restore it "
            f"(as in {checkpoint.config}), or start a new run"
        )
    return then


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: `training.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _restore_best(directory: RunDirectory, checkpoint: Checkpoint) -> list[str]:
    """Put the best weights that the checkpoint knows back in their place; what to say of it."""
    if checkpoint.progress.step == 0 or not publish_best(checkpoint, directory.weights):
        return []
    return [f"{directory.weights} was not as {checkpoint.path.name} knew it, and has been restored from there"]


def _change(config: RunConfig, settings: dict[str, Any], planned: int, notices: list[str]) -> RunConfig:
    """The config of a run that goes on, which may be longer than `planned` and on another device; what to say of it is
    added.
    """
    training = TrainingConfig.of(**{**config.training.model_dump(), **settings})
    after = training.max_steps or 0
    if after < planned:
        raise ConfigError(f"max_steps: this run was planned for {planned} steps; it can only be longer")
    if after > planned:
        notices.append(f"{after} steps are a new schedule: the learning rate goes on by that one")
    return config.model_copy(update={"training": training})


def _compose_from(parent: RunConfig, settings: dict[str, Any]) -> Request:
    """The request of a run that starts from another's weights: model and tokenizer are the other's."""
    fixed = {*FAMILIES[parent.model.cell][0].model_fields, *TokenizerConfig.model_fields, "tokenizer"}
    given = sorted(fixed & set(settings))
    if given:
        raise ConfigError(f"init_from: {', '.join(given)} come with the weights of the other run; leave them out")
    request = compose({**settings, "cell": parent.model.cell})
    return request.model_copy(update={"model": parent.model})


def _fix_length(config: TrainingConfig, learner: Learner, corpus: Corpus) -> TrainingConfig:
    """`config` with what was open in it decided: the number of steps, when to evaluate, the device, the precision."""
    steps = steps_for(config, learner.stream)
    eval_every = config.eval_every

    def pause() -> None:
        if corpus.validation is not None:
            corpus.validation.evaluate(learner.model, learner.precision)
        sample_text(learner.model, corpus.tokenizer, config.seed)

    if config.max_time is not None:
        fitting, apart = steps_within(config.max_time, learner, pause, eval_every)
        steps = min(steps or fitting, fitting)
        eval_every = min(apart, steps)
    if steps is None:
        raise ConfigError("max_time: say how long to train, in time, steps or epochs")
    return config.model_copy(
        update={
            "max_steps": steps,
            "eval_every": eval_every or -(-steps // EVALUATIONS),
            "warmup_steps": warmup_steps(steps, config),
            "device": str(learner.model.device),
            "precision": learner.precision,
        }
    )


def _with_absolute_paths(data: DataConfig) -> DataConfig:
    """So that the run can be resumed from another folder."""
    paths = {"text": data.text, "valid": data.valid}
    absolute = {
        name: str(Path(path).resolve())
        for name, path in paths.items()
        if path is not None and not path.startswith(PREFIX)
    }
    return data.model_copy(update=absolute)


def _notices(request: Request, learner: Learner, corpus: Corpus) -> list[str]:
    notices = []
    stream = learner.stream
    if stream.batch_size < request.training.batch_size and stream.batches_per_epoch < 2:
        notices.append(
            f"the text is short: {stream.tokens:,} tokens fill {stream.batch_size} rows of {stream.length}, so batches "
            f"have {stream.batch_size} rows instead of {request.training.batch_size}"
        )
    unknown = sum(int((ids == corpus.tokenizer.unknown_id).sum()) for ids in corpus.train)
    if corpus.tokenizer.unknown_id is not None and unknown:
        notices.append(
            f"the training part has {unknown:,} pieces that the vocabulary does not hold; they are learnt as <unk>"
        )
    asked = request.tokenizer.vocab_size
    if asked is not None and corpus.tokenizer.vocab_size < asked:
        notices.append(f"the text gives a vocabulary of {corpus.tokenizer.vocab_size:,}, not of {asked:,}")
    if corpus.validation is None:
        notices.append(
            "nothing is withheld to validate on: the last weights are kept, whether or not they are the best"
        )
    elif corpus.validation.size.unknown:
        notices.append(
            f"the validation part has {corpus.validation.size.unknown:,} pieces that the vocabulary does not hold; "
            "they count as <unk>, with what it costs to spell them"
        )
    return notices

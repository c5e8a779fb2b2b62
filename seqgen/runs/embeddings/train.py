"""Train word vectors: start or resume a run, and yield its events. No torch where numba trains."""

from __future__ import annotations

import datetime as dt
import math
import platform
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.cache.cache import check_hash
from seqgen.data.pipeline import read_texts
from seqgen.embeddings.corpus import WordCorpus, read_corpus
from seqgen.embeddings.state import EmbeddingState, first_state, save_state
from seqgen.embeddings.trainer import EmbeddingTrainer, check_engine, choose_engine
from seqgen.errors import RunError, SaveError
from seqgen.runs.config import TokenizerRecord
from seqgen.runs.directory import RunDirectory, check_out_is_free, find_run, write_run
from seqgen.runs.embeddings.config import (
    EmbeddingRunConfig,
    EmbeddingSettings,
    WordsRecord,
    changed_training,
    resolve_settings,
)
from seqgen.runs.embeddings.load import read_state
from seqgen.sources.config import absolute
from seqgen.tokenizers.base import Tokenizer
from seqgen.training.events import Event, Finished, Saved, SaveFailed, Step
from seqgen.training.metrics import MetricsLog
from seqgen.training.time_budget import Clock
from seqgen.utils.files import remove_temporary_files
from seqgen.utils.locks import released_on_error
from seqgen.utils.progress import Report, silent
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from filelock import BaseFileLock

SAVE_SECONDS = 600.0
"""Time between two saves."""
LARGE_SOFTMAX = 20_000
"""Words of a vocabulary from which a notice says that the softmax over all of them is slow."""
NUMBA_FACTOR = 15
"""How many times faster numba trains than torch, on one thread: `python benchmarks embeddings`."""
LEAST_KEPT = 0.25
"""The share of the words that `sample` keeps, below which a notice says so."""


def train_embeddings(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    started: float | None = None,
    clock: Clock = time.perf_counter,
    stop: Callable[[], bool] = lambda: False,
    report: Report = silent,
    **settings: Any,
) -> EmbeddingTraining:
    """Prepare a run of word vectors; iterate over the result, or call its `run()`, to train.

    Args:
        text: as of `seqgen.train`.
        out: the run's directory; None is a new one under runs/, with `resume` the newest run of word vectors.
        resume: continue a run. Only the settings in `CHANGEABLE_SETTINGS` may change.
        started: value of `clock` at which the time of `max_time` started; None is now.
        clock: measures that time, in seconds.
        stop: polled between steps; once it is true, the run saves and ends, and can be resumed.
        report: receives what is being prepared, and how far it is.
        settings: named as the command's flags are: `method="skipgram"`, `vector_size=300`, ...

    Raises:
        ConfigError: a setting is unknown or impossible.
        TextError: the text is missing, cannot be decoded, or has too few words.
        RunError: `out` exists already, or the run cannot be resumed or is being trained.
        SaveError: the directory cannot be written.
    """
    started = clock() if started is None else started
    if text is not None:
        settings["text"] = text
    if resume:
        return _resume(out, settings, report, clock, stop)
    return _create(out, settings, report, started, clock, stop)


class EmbeddingTraining:
    """A run of word vectors that is ready to train. Iterating over it trains and yields the events.

    It holds the run's lock until its events have ended, it is closed, or it is garbage.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: EmbeddingRunConfig,
        trainer: EmbeddingTrainer,
        state: EmbeddingState,
        lock: BaseFileLock,
        notices: Sequence[str],
        started: float,
        clock: Clock,
        stop: Callable[[], bool],
    ) -> None:
        self.path = directory.path
        self.config = config
        self.notices = notices
        """What the user should know before the first step, a sentence each."""
        self.first_step = state.progress.step
        """Steps that were taken in earlier sessions."""
        self._directory, self._trainer, self._state, self._lock = directory, trainer, state, lock
        self._begun, self._clock, self._stop = started, clock, stop
        self._saved = self._clock()
        self._started = False

    def __iter__(self) -> Generator[Event]:
        """Train, and yield the events. A run can be iterated over once.

        Raises:
            RunError: it was iterated over already.
            TrainingError: the loss is NaN or infinite.
            SaveError: the vectors cannot be written at the end.
        """
        if self._started:
            raise RunError(f"{self.path} has been started already; resume it with resume=True")
        self._started = True
        return self._events()

    @property
    def total_steps(self) -> int:
        """How many steps the run will have; of a timed run about that many, and 0 before its first step."""
        return self._total_steps(self.first_step)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to train."""
        return self._is_complete(self.first_step, self._time_share())

    def epochs(self, step: int) -> float:
        """Return how many passes over the text the steps up to `step` are."""
        return step / self._trainer.steps_per_epoch

    def run(self) -> None:
        """Train to the end."""
        for _ in self:
            pass

    def close(self) -> None:
        """Release the run's lock."""
        self._lock.release()

    def _events(self) -> Generator[Event]:
        progress = self._state.progress
        try:
            with MetricsLog(self._directory.metrics, progress.metrics_bytes) as log:
                for event in self._train(log):
                    log.write(event)
                    yield event
        finally:
            self.close()

    def _train(self, log: MetricsLog) -> Generator[Event]:
        step, reason = self.first_step, "stopped"
        while not self._stop():
            share = self._time_share()
            if self._is_complete(step, share):
                reason = "complete"
                break
            before = self._seconds()
            taken = self._trainer.take(step, share)
            step += 1
            seconds = self._seconds()
            yield Step(
                step=step,
                total_steps=self._total_steps(step),
                epoch=self.epochs(step),
                nats_per_token=taken.nats,
                bits_per_character=None,
                lr=taken.rate,
                grad_norm=math.nan,
                tokens=taken.words,
                tokens_per_second=taken.words / max(seconds - before, 1e-9),
                seconds=seconds,
            )
            if self._clock() - self._saved >= SAVE_SECONDS:
                try:
                    yield self._save(step, log)
                except SaveError as error:
                    self._saved = self._clock()
                    yield SaveFailed(step, str(error))
        yield self._save(step, log)
        total = step if reason == "complete" else self._total_steps(step)
        yield Finished(step, total, reason, None, None, None, 0, self._seconds())  # type: ignore[arg-type]

    def _save(self, step: int, log: MetricsLog) -> Saved:
        log.sync()
        progress = self._state.progress.model_copy(
            update={"step": step, "seconds": self._seconds(), "metrics_bytes": log.length}
        )
        save_state(self._directory.vectors, replace(self._state, progress=progress), self.config.identity)
        self._saved = self._clock()
        return Saved(step, self._directory.vectors.name)

    def _seconds(self) -> float:
        """Return the seconds of training and of reading the text, of earlier sessions too, not of compiling."""
        return self._state.progress.seconds + self._clock() - self._begun

    def _time_share(self) -> float:
        limit = self.config.training.max_time
        return 0.0 if limit is None else self._seconds() / limit

    def _is_complete(self, step: int, share: float) -> bool:
        total = self._trainer.total_steps
        return (share >= 1.0 and step > 0) or (total is not None and step >= total)

    def _total_steps(self, step: int) -> int:
        """Return how many steps the run will have; of a timed run about that many."""
        share, total = self._time_share(), self._trainer.total_steps
        timed = step if share >= 1.0 else math.ceil(step / share) if share else None
        return min((steps for steps in (timed, total) if steps is not None), default=0)


def _create(
    out: str | Path | None,
    settings: dict[str, Any],
    report: Report,
    started: float,
    clock: Clock,
    stop: Callable[[], bool],
) -> EmbeddingTraining:
    """Create a run: its directory has everything that a resume needs before the first step."""
    resolved = resolve_settings(settings)
    engine = choose_engine(resolved.model, resolved.training)
    check_out_is_free(out)
    existing = None if resolved.tokenizer_from is None else tokenizers.load(Path(resolved.tokenizer_from))
    texts = read_texts(resolved.data, report)
    tokenizer = existing or texts.tokenizer(resolved.tokenizer, report)
    ids = texts.ids(tokenizer, report).train
    report("choosing the words")
    corpus = read_corpus(tokenizer, ids, resolved.model)
    record = WordsRecord(
        sha256=texts.text.manifest.sha256,
        characters=texts.text.manifest.characters,
        tokens=len(ids.ids),
        words=int(corpus.starts[-1]),
        vocabulary=len(corpus.vocabulary),
        vocabulary_sha256=corpus.vocabulary.sha256,
    )
    config = _describe(resolved, record, tokenizer, engine)
    state = first_state(len(corpus.vocabulary), resolved.model.vector_size, resolved.training.seed)
    compiling = clock()
    trainer = _trainer(corpus, config, state, report)
    started += clock() - compiling  # numba compiles for several seconds at the first use, in which nothing is learned

    def add(directory: RunDirectory) -> None:
        directory.vocabulary.write_bytes(corpus.vocabulary.to_json())
        save_state(directory.vectors, state, config.identity)

    directory, lock, _ = write_run(out, config, tokenizer, add)
    notices = [*texts.notices, *_notices(config, corpus)]
    return EmbeddingTraining(directory, config, trainer, state, lock, notices, started, clock, stop)


def _resume(
    out: str | Path | None, settings: dict[str, Any], report: Report, clock: Clock, stop: Callable[[], bool]
) -> EmbeddingTraining:
    """Continue a run."""
    started = clock()
    directory = find_run(out, kinds=(EmbeddingRunConfig,))
    recorded = directory.read_embedding_config()
    check_engine(str(recorded.environment["engine"]))
    training = changed_training(recorded.training, settings)
    config = recorded.model_copy(update={"training": training})
    lock = directory.acquire_lock()
    with released_on_error(lock):
        remove_temporary_files(directory.path)
        state = read_state(directory, config)
        tokenizer = tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint)
        texts = read_texts(config.data, report, record=config.text)
        check_hash(config.data.name, texts.text.manifest.sha256, config.text.sha256)
        corpus = read_corpus(tokenizer, texts.ids(tokenizer, report).train, config.model)
        if corpus.vocabulary.sha256 != config.text.vocabulary_sha256:
            raise RunError(
                f"{directory.path}: this version of seqgen finds another vocabulary in the text; use the version that "
                "started this run, or start a new run"
            )
        compiling = clock()
        trainer = _trainer(corpus, config, state, report)
        started += clock() - compiling
        made = EmbeddingTraining(directory, config, trainer, state, lock, (), started, clock, stop)
        if made.is_complete:
            raise RunError(f"{directory.path} is complete; train it longer with --epochs or --max-time")
        if config != recorded:
            directory.write_config(config)
    return made


def _trainer(corpus: WordCorpus, config: EmbeddingRunConfig, state: EmbeddingState, report: Report) -> EmbeddingTrainer:
    engine = str(config.environment["engine"])
    report("compiling the training" if engine == "numba" else "loading torch")
    return EmbeddingTrainer(corpus, config.model, config.training, state, engine)


def _describe(
    resolved: EmbeddingSettings, record: WordsRecord, tokenizer: Tokenizer, engine: str
) -> EmbeddingRunConfig:
    """Return the config of a run that is created now."""
    data = resolved.data
    paths = {
        "text": tuple(map(absolute, data.text)),
        "cache_dir": None if data.cache_dir is None else absolute(data.cache_dir),
    }
    return EmbeddingRunConfig(
        seqgen=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(),
        model=resolved.model,
        tokenizer=TokenizerRecord(
            kind=tokenizer.kind,
            vocab_size=tokenizer.vocab_size,
            fingerprint=tokenizer.fingerprint,
            normalization=tokenizer.normalization,
            asked=resolved.tokenizer if resolved.tokenizer_from is None else None,
        ),
        data=data.model_copy(update=paths),
        text=record,
        training=resolved.training,
        environment={
            "python": platform.python_version(),
            "platform": f"{sys.platform} {platform.machine()}",
            "engine": engine,
            engine: metadata.version(engine),
        },
    )


def _notices(config: EmbeddingRunConfig, corpus: WordCorpus) -> list[str]:
    """Return what the user should know of the engine, the vocabulary and the text, a sentence each."""
    model, training = config.model, config.training
    notices = []
    if model.loss == "softmax" and config.text.vocabulary > LARGE_SOFTMAX:
        notices.append(
            f"the softmax scores all {plural(config.text.vocabulary, 'word')} for each prediction, which is slow; use "
            "--loss negative, or a larger --min-count"
        )
    if model.loss == "negative" and training.engine == "auto" and config.environment["engine"] == "torch":
        notices.append(
            f"numba is not installed, so torch trains, about {NUMBA_FACTOR} times slower; pip install 'seqgen[fast]' "
            "installs it"
        )
    kept = corpus.vocabulary.kept_share(training.sample)
    if kept < LEAST_KEPT:
        notices.append(
            f"--sample {training.sample:g} leaves out {1 - kept:.0%} of the text at random, because most of its words "
            "are frequent; --sample 0 keeps all"
        )
    return notices

"""seqgen.train: start or resume a training run, an object that trains when it is iterated over."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from seqgen.errors import RunError
from seqgen.runs.create import new_run
from seqgen.runs.load import Run, load
from seqgen.runs.resume import resume_run
from seqgen.runs.setup import RunRequest, RunSetup
from seqgen.training.events import Event
from seqgen.training.metrics import MetricsLog
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import Trainer, TrainingSetup
from seqgen.utils.progress import Report, silent


def train(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    init_from: str | Path | None = None,
    plan_from: str | Path | None = None,
    started: float | None = None,
    clock: Clock = time.perf_counter,
    stop: Callable[[], bool] = lambda: False,
    report: Report = silent,
    **settings: Any,
) -> TrainingRun:
    """Prepare a training run on a text; iterate over the result, or call its `run()`, to train.

    Args:
        text: a file, a directory, `-` for stdin, `corpus:NAME`, several of these, or None for the embedded corpus; with
            `resume`, None.
        out: the run's directory; None is a new one under runs/, with `resume` the newest run.
        resume: continue a run from its last checkpoint. Only the settings in
            `seqgen.runs.config.CHANGEABLE_SETTINGS` may change.
        init_from: start from another run's weights, with its model and its tokenizer.
        plan_from: follow the plan of another run instead of measuring time. With the same settings and text, the
            weights become bit-identical to that run's.
        started: value of `clock` at which the time of `max_time` started; None is now.
        clock: measures that time, in seconds.
        stop: polled between steps; once it is true, the run saves and ends, and can be resumed.
        report: receives what is being prepared, and how far it is.
        settings: named as the command's flags are: `cell="gru"`, `max_time="60s"`, `hidden_size=512`, ...

    Raises:
        ConfigError: a setting is unknown or impossible.
        TextError: the text is missing, cannot be decoded, or is too short.
        RunError: `out` exists already, or the run cannot be resumed or is being trained.
        SaveError: the directory cannot be written.
    """
    started = clock() if started is None else started
    for name, value in {"text": text, **settings}.items():
        if isinstance(value, Path):
            settings[name] = str(value)
        elif name == "text" and value is not None:
            settings[name] = value
    request = RunRequest(out, init_from, plan_from, settings, report, started, clock)
    return TrainingRun(resume_run(request) if resume else new_run(request), stop, clock)


class TrainingRun:
    """A run that is ready to train. Iterating over it trains and yields the events; `run()` discards them.

    It holds the run's lock until its events have ended, it is closed, or it is garbage.
    """

    def __init__(self, setup: RunSetup, stop: Callable[[], bool], clock: Clock) -> None:
        self.path = setup.directory.path
        self.config = setup.config
        self.model = setup.learner.model
        self.plan = setup.learner.plan
        """The plan before the first step of this session; `Replanned` events change it."""
        self.total_steps = self.plan.total_steps
        self.first_step = setup.checkpoint.progress.step
        """Steps that were taken in earlier sessions."""
        self.notices = setup.notices
        """What the user should know before the first step, a sentence each."""
        self._setup, self._stop, self._clock = setup, stop, clock
        self._started = False
        self._running: Generator[Event] | None = None

    def __iter__(self) -> Generator[Event]:
        """Train, and yield the events. A run can be iterated over once.

        Raises:
            RunError: it was iterated over already, or its files are missing.
            TrainingError: loss, gradient or weights are NaN or infinite.
            SaveError: the last checkpoint cannot be written, or any with `on_save_error="stop"`.
        """
        if self._started:
            raise RunError(f"{self.path} has been started already; resume it with seqgen.train(resume=True, out=...)")
        self._started = True
        self._running = self._events()
        return self._running

    def _events(self) -> Generator[Event]:
        directory, corpus, checkpoint = self._setup.directory, self._setup.corpus, self._setup.checkpoint
        training = TrainingSetup(
            tokenizer=corpus.tokenizer,
            validation=corpus.validation,
            characters_per_token=corpus.characters_per_token,
            line_end=self.config.text.line_end,
            ends=self.config.text.ends,
            config=self.config.to_json(),
            identity=self.config.identity,
            weights=directory.weights,
            checkpoints=directory.checkpoints,
        )
        try:
            with MetricsLog(directory.metrics, checkpoint.progress.metrics_bytes) as log:
                trainer = Trainer(self._setup.learner, training, checkpoint, log, self._clock)
                yield from trainer.train(self._stop)
        finally:
            self._setup.lock.release()

    def close(self) -> None:
        """End the run and release its lock; steps after the last checkpoint are lost."""
        self._started = True
        if self._running is not None:
            self._running.close()
        self._setup.lock.release()

    def run(self) -> Run:
        """Train to the end, and return the run with its best weights."""
        for _ in self:
            pass
        return load(self.path, device=str(self.model.device))

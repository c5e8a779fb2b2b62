"""A training run: from settings, or from a checkpoint, to an object that trains when it is iterated over."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from seqgen.errors import RunError
from seqgen.runs.create import new_run
from seqgen.runs.load import Run, load
from seqgen.runs.resume import resume_run
from seqgen.runs.setup import RunSetup
from seqgen.training.events import Event
from seqgen.training.metrics import MetricsLog
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import TrainingSetup
from seqgen.training.trainer import train as train_events
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
        resume: continue a run from its last checkpoint. The settings in `seqgen.runs.config.CHANGEABLE` may change,
            all others have to be those of the run.
        init_from: start from another run's weights, with its model and its tokenizer.
        plan_from: follow the plan of another run instead of measuring time. Its settings and its text have to be those
            of this run, whose weights become the same, to the bit.
        started: what `clock` said when the time of `max_time` began; None is now.
        clock: what measures that time, in seconds.
        stop: polled between steps; once true the run saves and ends, to be resumed.
        report: is told what is being prepared, and how far that is.
        settings: named as the command's flags are: `cell="gru"`, `max_time="60s"`, `hidden_size=512`, ...

    Raises:
        ConfigError: a setting is unknown or impossible.
        TextError: the text is missing, undecodable or too short.
        RunError: `out` is there already, or what is to be resumed is not a run that can be, or is being trained.
        SaveError: the directory cannot be written.
    """
    started = clock() if started is None else started
    for name, value in {"text": text, **settings}.items():
        if isinstance(value, Path):
            settings[name] = str(value)
        elif name == "text" and value is not None:
            settings[name] = value
    if resume:
        return TrainingRun(resume_run(out, init_from, plan_from, settings, report, clock), stop, clock)
    return TrainingRun(new_run(out, init_from, plan_from, settings, report, started, clock), stop, clock)


class TrainingRun:
    """A run that is ready to train. Iterating takes the steps and gives the events; `run()` does so in silence.

    It holds the run's lock until its events have ended, it is closed, or nothing refers to it any more.
    """

    def __init__(self, prepared: RunSetup, stop: Callable[[], bool], clock: Clock) -> None:
        self.path = prepared.directory.path
        self.config = prepared.config
        self.model = prepared.learner.model
        self.plan = prepared.learner.plan
        """As it is before the first step of this session; `Replanned` events change it."""
        self.total_steps = self.plan.total_steps
        self.first_step = prepared.checkpoint.progress.step
        """How many steps had been taken before."""
        self.notices = prepared.notices
        """What the user should know before the first step, a sentence each."""
        self._prepared, self._stop, self._clock = prepared, stop, clock
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
        directory, corpus, checkpoint = self._prepared.directory, self._prepared.corpus, self._prepared.checkpoint
        setup = TrainingSetup(
            tokenizer=corpus.tokenizer,
            validation=corpus.validation,
            characters_per_token=corpus.characters_per_token,
            line_end=self.config.text.line_end,
            config=self.config.to_json(),
            identity=self.config.identity,
            weights=directory.weights,
            checkpoints=directory.checkpoints,
        )
        try:
            with MetricsLog(directory.metrics, checkpoint.progress.metrics_bytes) as log:
                yield from train_events(self._prepared.learner, setup, checkpoint, log, self._stop, self._clock)
        finally:
            self._prepared.lock.release()

    def close(self) -> None:
        """Leave the run to whoever wants to go on with it; what was not saved is lost."""
        self._begun = True
        if self._running is not None:
            self._running.close()
        self._prepared.lock.release()

    def run(self) -> Run:
        """Train to the end, and load the best weights."""
        for _ in self:
            pass
        return load(self.path, device=str(self.model.device))

"""A training run: from settings, or from a checkpoint, to an object that trains when it is iterated over."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from seqgen import resuming
from seqgen.data.progress import Report, silent
from seqgen.errors import ConfigError, RunError
from seqgen.founding import found
from seqgen.preparation import Prepared
from seqgen.run import RunDirectory, find_run
from seqgen.trained import Run, load
from seqgen.training.events import Event
from seqgen.training.loop import Plan
from seqgen.training.loop import train as train_events
from seqgen.training.metrics import MetricsLog


def train(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    init_from: str | Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    report: Report = silent,
    **settings: Any,
) -> TrainingRun:
    """Prepare a training run on a text; iterate over the result, or call its `run()`, to train.

    Args:
        text: a file, a directory, `-` for stdin, `corpus:NAME`, several of these, or None for the embedded corpus; with
            `resume`, None.
        out: the run's directory; None is a new one under runs/, with `resume` the newest run.
        resume: go on with a run from its last checkpoint. It takes a larger `max_steps`, the other settings in
            `seqgen.run.CHANGEABLE`, and none beside.
        init_from: start from another run's weights, with its model and its tokenizer.
        stop: polled between steps; once true the run saves and ends, to be resumed.
        report: is told what is being prepared, and how far that is.
        settings: named as the command's flags are: `cell="gru"`, `max_time="60s"`, `hidden_size=512`, ...

    Raises:
        ConfigError: a setting is unknown or impossible.
        TextError: the text is missing, undecodable or too short.
        RunError: `out` is there already, or what is to be resumed is not a run that can be, or is being trained.
        SaveError: the directory cannot be written.
    """
    if resume:
        if text is not None:
            raise ConfigError(_no_text_beside_resume(text))
        if init_from is not None:
            raise ConfigError("resume: a run goes on with its own weights; leave --init-from out")
        return TrainingRun(resuming.resume(find_run(out, trained=False), settings, report), stop)
    for name, value in {"text": text, **settings}.items():
        if isinstance(value, Path):
            settings[name] = str(value)
        elif name == "text" and value is not None:
            settings[name] = value
    return TrainingRun(found(out, init_from, settings, report), stop)


def _no_text_beside_resume(text: str | Path | Sequence[str | Path]) -> str:
    """That a run goes on with its own text; where `text` is a run, how that one does."""
    names = [text] if isinstance(text, (str, Path)) else list(text)
    if len(names) == 1 and _is_run(Path(names[0])):
        return f"resume: go on with {names[0]} by seqgen train --resume --out {shlex.quote(str(names[0]))}"
    shown = ", ".join(repr(str(name)) for name in names)
    return f"resume: a run goes on with its own text; leave {shown} out; --out names the run, else it is the newest"


def _is_run(path: Path) -> bool:
    try:
        return RunDirectory(path).config.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


class TrainingRun:
    """A run that is ready to train. Iterating takes the steps and gives the events; `run()` does so in silence.

    It holds the run's lock until its events have ended, it is closed, or nothing refers to it any more.
    """

    def __init__(self, prepared: Prepared, stop: Callable[[], bool]) -> None:
        self.path = prepared.directory.path
        self.config = prepared.config
        self.model = prepared.learner.model
        self.total_steps = prepared.learner.total_steps
        self.first_step = prepared.checkpoint.progress.step
        """How many steps had been taken before."""
        self.notices = prepared.notices
        """What the user should know before the first step, a sentence each."""
        self._prepared, self._stop = prepared, stop
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
        plan = Plan(
            tokenizer=corpus.tokenizer,
            validation=corpus.validation,
            characters_per_token=corpus.characters_per_token,
            line_end=self.config.text.line_end,
            eval_every=self.config.training.eval_every or self.total_steps,
            config=self.config.to_json(),
            identity=self.config.identity,
            weights=directory.weights,
            checkpoints=directory.checkpoints,
        )
        try:
            with MetricsLog(directory.metrics, checkpoint.progress.metrics_bytes) as log:
                yield from train_events(self._prepared.learner, plan, checkpoint, log, self._stop)
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

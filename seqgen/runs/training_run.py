"""A training run as a user holds it: an object that trains when it is iterated over."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from seqgen.errors import RunError
from seqgen.runs.load import load
from seqgen.runs.setup import Session
from seqgen.runs.text import TextRun
from seqgen.training.events import Event
from seqgen.training.time_budget import Clock


class TrainingRun:
    """A run that is ready to train. Iterating over it trains and yields the events; `run()` discards them.

    It holds the run's lock until its events have ended, it is closed, or it is garbage.
    """

    def __init__(self, session: Session, stop: Callable[[], bool], clock: Clock) -> None:
        self.path = session.directory.path
        self.config = session.config
        self.model = session.model
        """The model that is trained or was fitted; None for a mixture, which has one when its members are complete."""
        self.plan = session.plan
        """The plan before the first step of this session, which `Replanned` events change; None without steps."""
        self.total_steps = 0 if self.plan is None else self.plan.total_steps
        self.first_step = session.first_step
        """Steps that were taken in earlier sessions."""
        self.notices = session.notices
        """What the user should know before the first step, a sentence each."""
        self._session, self._stop, self._clock = session, stop, clock
        self._started = False
        self._running: Generator[Event] | None = None

    @property
    def member(self) -> TrainingRun | None:
        """The run of a mixture's member that is being trained, to be shown and not to be iterated over."""
        session = self._session.member
        return None if session is None else TrainingRun(session, self._stop, self._clock)

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
        try:
            yield from self._session.events(self._stop, self._clock)
        finally:
            self._session.lock.release()

    def close(self) -> None:
        """End the run and release its lock; steps after the last checkpoint are lost."""
        self._started = True
        if self._running is not None:
            self._running.close()
        self._session.lock.release()

    def run(self) -> TextRun | Any:
        """Train to the end, and return the run with its best weights, as `seqgen.load` does."""
        for _ in self:
            pass
        return load(self.path, device=self.config.training.device)

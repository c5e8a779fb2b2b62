"""seqgen.train: start or resume a training run of any kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqgen.errors import ConfigError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import RunOptions, cells_of, default_cell
from seqgen.runs.create import new_run
from seqgen.runs.fit import new_fit, resume_fit
from seqgen.runs.mixtures.members import new_mixture
from seqgen.runs.mixtures.resume import resume_mixture
from seqgen.runs.resume import find_resumed, resume_run
from seqgen.runs.setup import RunRequest, Session
from seqgen.runs.training_run import TrainingRun
from seqgen.sources.catalog.corpus import parse_name
from seqgen.sources.config import CORPUS_PREFIX, GENERATE, Task
from seqgen.training.time_budget import Clock
from seqgen.utils.locks import released_on_error
from seqgen.utils.progress import Report, silent


def train(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    init_from: str | Path | None = None,
    init_embeddings: str | Path | None = None,
    plan_from: str | Path | None = None,
    memory: int | str | None = None,
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
        init_embeddings: start the embedding from the vectors of another run, or of a file in word2vec's text format.
        plan_from: follow the plan of another run instead of measuring time. With the same settings and text, the
            weights become bit-identical to that run's.
        memory: the most memory that n-grams may take, in bytes or as `500M` or `2G`; None is all of the machine.
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
    request = RunRequest(
        out,
        init_from,
        plan_from,
        settings,
        report,
        started,
        clock,
        RunOptions.of(memory=memory).memory,
        init_embeddings,
    )
    return TrainingRun(resume_session(request) if resume else new_session(request), stop, clock)


def new_session(request: RunRequest) -> Session:
    """Prepare a new run of the kind that its task and its cell ask for."""
    text: Any = request.settings.get("text")
    task = _task_of(text)
    if task != GENERATE and request.settings.get("task", task) != task:
        raise ConfigError(f"task: {text if isinstance(text, str) else text[0]} is for --task {task}; leave --task out")
    if task != GENERATE:
        request = replace(request, settings={**request.settings, "task": task})
    sources = (request.init_from, request.init_embeddings, request.plan_from)
    if "cell" not in request.settings and not any(sources):
        request = replace(request, settings={**request.settings, "cell": default_cell(request.settings)})
    cells = cells_of(request.settings)
    _check_memory_applies(request, cells)
    if len(cells) > 1:
        return new_mixture(request, cells)
    return new_fit(request) if FAMILIES[cells[0]].fit is not None else new_run(request)


def _task_of(text: Any) -> Task:
    """Return what a corpus of the catalog is for; any other text is to be generated."""
    names = [text] if isinstance(text, str) else text or []
    tasks = {parse_name(name)[0].task if str(name).startswith(CORPUS_PREFIX) else GENERATE for name in names}
    return tasks.pop() if len(tasks) == 1 else GENERATE


def resume_session(request: RunRequest) -> Session:
    """Prepare to continue a run."""
    directory, changes = find_resumed(request)
    model = directory.read_config().model
    _check_memory_applies(request, model.name.split("+"))
    family = FAMILIES[model.cell]
    resume = resume_mixture if family.is_mixture else resume_run if family.neural else resume_fit
    lock = directory.acquire_lock()
    with released_on_error(lock):
        return resume(directory, changes, lock, request)


def _check_memory_applies(request: RunRequest, cells: Sequence[str]) -> None:
    """Refuse a limit of memory where no model is fitted."""
    if request.memory is not None and not any(FAMILIES[cell].fit for cell in cells):
        raise ConfigError(f"memory: it has no effect on {'+'.join(cells)}; leave it out")

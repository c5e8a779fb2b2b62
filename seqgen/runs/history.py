"""The history of a run: its losses, norms, samples and warnings, step by step, from metrics.jsonl. No torch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory
from seqgen.runs.embeddings.config import EmbeddingRunConfig
from seqgen.training.metrics import read_metrics

Floats = npt.NDArray[np.float64]
Note = Callable[[str], None]
"""Receives a sentence that the user should read."""
MEMBER_OF_ALL = ""
"""The name of the history of a run itself, next to those of a mixture's members."""
WARNINGS = ("vanishing_gradient", "exploding_gradient", "overfitting", "skipped", "save_failed")
"""The events that say that something went wrong."""
_OF_A_STEP = ("step", "nats_per_token", "lr", "grad_norm")


@dataclass(frozen=True, eq=False)
class History:
    """What happened in a run. Events are as in metrics.jsonl, in the order of their steps."""

    steps: Floats
    """The numbers of the steps that were taken, [N]."""
    training_nats: Floats
    """Training loss of each step in nats per token, or per label, [N]."""
    learning_rates: Floats
    """[N]."""
    grad_norms: Floats
    """Norm of the gradient of each step before clipping, [N]."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    norms: list[dict[str, Any]] = field(default_factory=list)
    """Events `norms`: of some steps, the norms of gradient and update by group of parameters."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    mixed: list[dict[str, Any]] = field(default_factory=list)
    """Events `mixed`: of a mixture, the figures each time that its weights were set."""

    @property
    def best(self) -> dict[str, Any] | None:
        """The evaluation with the smallest loss, or of a mixture the last figures; None before there are any."""
        if self.mixed:
            return self.mixed[-1]
        finite = (event for event in self.evaluations if event["nats_per_token"] is not None)
        return min(finite, key=lambda event: float(event["nats_per_token"]), default=None)

    @property
    def validation_curve(self) -> tuple[Floats, Floats, Floats]:
        """The steps, seconds of training and bits per byte of the evaluations that have bits, [N] each."""
        events = (*self.evaluations, *self.mixed)
        points = [(event["step"], event["seconds"], event["bits_per_byte"]) for event in events]
        rows = np.array(points, np.float64).reshape(-1, 3)  # None is NaN
        steps, seconds, bits = rows[np.isfinite(rows).all(axis=1)].T
        return steps, seconds, bits

    @property
    def groups(self) -> list[str]:
        """The groups of parameters whose norms were measured."""
        return list(self.norms[-1]["gradient"]) if self.norms else []

    def norms_of(self, kind: str, group: str) -> tuple[Floats, Floats]:
        """Return the steps and the norms of a group: `gradient` before clipping, or `update` by that of the weights."""
        found = [(event["step"], event[kind][group]) for event in self.norms if event[kind].get(group) is not None]
        steps, norms = zip(*found, strict=True) if found else ((), ())
        return np.array(steps, np.float64), np.array(norms, np.float64)


def read_history(directory: RunDirectory, *, every_step: bool = True, note: Note | None = None) -> History:
    """Read the history of a run; of a mixture that of mixing alone, as each member has its own.

    Args:
        directory: the run.
        every_step: whether to read all steps, or of steps in a row the last one alone, which is faster.
        note: receives a sentence about damaged lines of metrics.jsonl, which are left out then.

    Raises:
        RunError: metrics.jsonl cannot be read, or without `note` has a damaged line.
    """
    columns = [array("d") for _ in _OF_A_STEP]
    found: dict[str, list[dict[str, Any]]] = {}
    for event in read_metrics(directory.metrics, every_step=every_step, note=note):
        kind = event["event"]
        if kind == "step":
            for column, name in zip(columns, _OF_A_STEP, strict=True):
                column.append(math.nan if event[name] is None else event[name])
        else:
            found.setdefault("warning" if kind in WARNINGS else kind, []).append(event)
    steps, nats, rates, norms = (np.array(column) for column in columns)
    return History(
        steps=steps,
        training_nats=nats,
        learning_rates=rates,
        grad_norms=norms,
        evaluations=found.get("evaluated", []),
        norms=found.get("norms", []),
        samples=found.get("sampled", []),
        warnings=found.get("warning", []),
        mixed=found.get("mixed", []),
    )


def read_histories(
    directory: RunDirectory,
    config: RunConfig | EmbeddingRunConfig,
    *,
    every_step: bool = True,
    note: Note | None = None,
) -> dict[str, History]:
    """Return the history of a run, or those of a mixture's members by name, then its own as `MEMBER_OF_ALL`.

    Arguments are as of `read_history`.

    Raises:
        RunError: metrics.jsonl cannot be read, or without `note` has a damaged line.
    """
    names = config.members if isinstance(config, RunConfig) else ()
    members = {name: read_history(directory.member(name), every_step=every_step, note=note) for name in names}
    return {**members, MEMBER_OF_ALL: read_history(directory, every_step=every_step, note=note)}


def thin(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Divide a curve into at most `points` parts; return the last x of each, and the mean, least and greatest y.

    A curve that has no more points is returned as it is.
    """
    if not len(x):
        return x, y, y, y
    parts = np.array_split(np.arange(len(x)), min(points, len(x)))
    rows = [(x[part[-1]], y[part].mean(), y[part].min(), y[part].max()) for part in parts]
    ends, means, least, greatest = np.array(rows).T
    return ends, means, least, greatest

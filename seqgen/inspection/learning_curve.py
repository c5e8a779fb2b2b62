"""The validation loss of a run through its training, from metrics.jsonl. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.errors import RunError
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory
from seqgen.runs.embeddings.config import EmbeddingRunConfig
from seqgen.training.metrics import read_metrics

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The validation loss of one model, [N] each."""

    steps: Floats
    seconds: Floats
    """Since the beginning of the training."""
    bits_per_byte: Floats

    def __len__(self) -> int:
        return len(self.steps)


def learning_curves(directory: RunDirectory, config: RunConfig | EmbeddingRunConfig) -> dict[str, LearningCurve]:
    """Return the curve of a run, called "", and of a mixture those of its members, by their names.

    A curve has no points where nothing was evaluated in bits: nothing was withheld, the targets are labels, or the run
    has word vectors.

    Raises:
        RunError: metrics.jsonl cannot be read.
    """
    found = {"": _read(directory)}
    members = config.members if isinstance(config, RunConfig) else {}
    return found | {name: _read(directory.member(name)) for name in members}


def _read(directory: RunDirectory) -> LearningCurve:
    try:
        points = [
            (event["step"], event["seconds"], event["bits_per_byte"])
            for event in read_metrics(directory.metrics, every_step=False)
            if event["event"] in {"evaluated", "mixed"} and event["bits_per_byte"] is not None
        ]
        rows = np.array(points, np.float64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{directory.metrics} has lines that are not events of seqgen; restore it from a backup"
        ) from error
    return LearningCurve(*rows[np.isfinite(rows).all(axis=1)].T)

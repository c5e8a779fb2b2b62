"""Measure the gates of a recurrent model on texts: means, saturation, and the half-life of each unit's memory.

Saturation as in Karpathy, Johnson and Fei-Fei (2015), "Visualizing and Understanding Recurrent Networks".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from seqgen.errors import ConfigError, TextError
from seqgen.inspection.trace import trace_chunks
from seqgen.models.recurrent.model import Cell, RecurrentModel
from seqgen.runs.text import TextRun

Units = npt.NDArray[np.float64]
"""A number for each unit, [layers, H]."""
LEFT, RIGHT = 0.1, 0.9
"""A gate below the first is left-saturated, almost closed; above the second right-saturated, almost open."""
SMALLEST = float(np.finfo(np.float32).epsneg)
"""2 ** -24, the distance of 1 to the next smaller number of fp32: `Gates.half_life` takes no retention as nearer to 0
or 1."""


@dataclass(frozen=True, eq=False)
class Gate:
    """A gate of each unit over the tokens of a text."""

    mean: Units
    left: Units
    """The share of the tokens at which the gate is below `LEFT`."""
    right: Units
    """The share of the tokens at which the gate is above `RIGHT`."""


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates of a model over a text."""

    cell: str
    tokens: int
    gates: dict[str, Gate]
    """By the names that `model.trace` has: `input`, `forget`, `output`; `reset`, `update`."""
    retention: str
    """The gate that is the share of the old state which is kept."""
    half_life: Units
    """The tokens after which half of a unit's state is left: ln(1/2) / mean(ln retention).

    A retention nearer to 0 or 1 than `SMALLEST` counts as that near, so no half-life is 0 or infinite: they are from
    1/24 of a token to 11.6 million tokens.
    """
    limited: Units
    """The share of the tokens at which retention was nearer to 0 or 1 than `SMALLEST`."""

    def longest(self, count: int) -> list[tuple[int, int]]:
        """Return the layer and the number of the units with the longest half-lives, the longest first."""
        order = np.argsort(-self.half_life, axis=None, kind="stable")[:count].tolist()
        return [divmod(place, self.half_life.shape[1]) for place in order]

    def half_life_quantiles(self, shares: Sequence[float]) -> npt.NDArray[np.float64]:
        """Return the half-lives that these shares of a layer's units do not exceed, [layers, shares]."""
        return np.quantile(self.half_life, shares, axis=1).T


def gated_cell(run: TextRun) -> Cell:
    """Return the cell of a run's model.

    Raises:
        ConfigError: the model has no gates.
    """
    command = "context"
    if isinstance(run.model, RecurrentModel):
        if run.model.cell.retention is not None:
            return run.model.cell
        command = "gradients"
    raise ConfigError(
        f"{run.path} is a model of {run.config.model.cell}, which has no gates; seqgen inspect {command} shows "
        "how far back it remembers"
    )


def measure_gates(
    run: TextRun, documents: Sequence[str], *, progress: Callable[[int, int], None] | None = None
) -> Gates:
    """Measure every gate of every unit over documents, with the state carried through each.

    Args:
        run: a run of a recurrent model with gates; of a mixture the member, by `neural_part`.
        documents: the texts.
        progress: receives how many tokens were read, and their total.

    Raises:
        ConfigError: the model has no gates.
        TextError: all documents are empty.
    """
    cell, config = gated_cell(run), run.config.model
    names, retention = cell.sigmoid_gates, str(cell.retention)
    texts = [text for text in documents if text]
    if not texts:
        raise TextError("the text is empty; name a text")
    total = sum(len(run.tokenizer.encode(text)) for text in texts)
    sums: dict[str, list[Units]] = {name: [] for name in names}
    kept: list[Units] = []
    tokens = 0
    patterns = [f"layers.*.{name}" for name in names]
    for chunk in chain.from_iterable(trace_chunks(run, text, *patterns) for text in texts):
        for name in names:
            layers = [value for key, value in chunk.items() if key.endswith(f".{name}")]
            values = np.stack(layers, 1).astype(np.float64)  # [N, layers, H]
            sums[name].append(np.stack([values.sum(0), (values < LEFT).sum(0), (values > RIGHT).sum(0)]))
            if name == retention:
                limited = values.clip(SMALLEST, 1 - SMALLEST)
                kept.append(np.stack([np.log(limited).sum(0), (limited != values).sum(0)]))
        tokens += len(values)
        if progress is not None:
            progress(tokens, total)
    logs, limits = np.sum(kept, axis=0) / tokens
    gates = {name: Gate(*(np.sum(sums[name], axis=0) / tokens)) for name in names}
    return Gates(config.cell, tokens, gates, retention, math.log(1 / 2) / logs, limits)

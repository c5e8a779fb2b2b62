"""Draw tokens from their distributions, with a random stream for each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqgen.errors import RunError


def sample(logits: Tensor, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Sample a token per row by inverting its distribution: logits fp32 [B, V], uniform fp64 [B] < 1 -> int64 [B].

    numpy takes half the time of torch for the small vocabulary of a character model.
    """
    scores = logits.cpu().numpy()
    heights = np.exp(scores - scores.max(axis=-1, keepdims=True)).cumsum(axis=-1, dtype=np.float64)
    if not np.isfinite(heights[:, -1]).all():
        raise RunError("the model's weights contain NaN or infinity, so no token can be sampled; train it again")
    # The product stays below the total: a double below 1 is at most 1 - 2^-53.
    tokens: npt.NDArray[np.int64] = (heights <= uniform[:, None] * heights[:, -1:]).sum(axis=-1)
    return tokens


class Uniforms:
    """Uniform random numbers: an independent stream for each row, drawn in blocks."""

    BLOCK = 256

    def __init__(self) -> None:
        self._generators: list[np.random.Generator] = []
        self._block = np.empty((0, self.BLOCK))
        self._used = 0

    def add(self, streams: Iterable[tuple[int, int]]) -> None:
        """Add rows, each with the stream of a seed and the number of a sample."""
        generators = [np.random.default_rng(stream) for stream in streams]
        added = np.empty((len(generators), self.BLOCK))
        for row, generator in zip(added, generators, strict=True):
            row[self._used :] = generator.random(self.BLOCK - self._used)
        self._generators += generators
        self._block = np.concatenate([self._block, added])

    def select(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        self._generators = [self._generators[row] for row in rows]
        self._block = self._block[list(rows)]

    def next(self) -> npt.NDArray[np.float64]:
        """Return the next number of each row, fp64 [B]."""
        if self._used == self.BLOCK:
            for row, generator in zip(self._block, self._generators, strict=True):
                generator.random(out=row)
            self._used = 0
        column: npt.NDArray[np.float64] = self._block[:, self._used]
        self._used += 1
        return column

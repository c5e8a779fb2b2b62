"""Read prompts: from ids to the logits and the state after them, several at once, a part at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from seqgen.device import evaluation_mode
from seqgen.errors import RunError
from seqgen.models.base import LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY

K = TypeVar("K")

PREFILL = 512
"""Tokens of a prompt that are read at once."""
ROWS = 16
"""Prompts that are read at once."""
REACH = 4096
"""Tokens at the end of a prompt that may suffice, or 4 times the model's burn-in if that is more."""
TOLERANCE = 1e-5
"""Largest difference of logits that count as equal, relative to their scale."""

PromptProgress = Callable[[int, int], None]
"""Receives the number of prompt tokens that were read, and their total."""
_FromEnd = Generator[None, None, tuple[Tensor, State] | None]
"""Reads a prompt from its end, a part at a time; returns logits [1, V] and the state, or None."""


class ReadPrompt(NamedTuple, Generic[K]):
    """A prompt that has been read."""

    key: K
    logits: Tensor
    """After its last token, fp32 [1, V]."""
    state: State
    """One row, for all that follows."""


class _Reading(Generic[K]):
    """A prompt that is being read."""

    def __init__(self, key: K, tokens: Tensor, state: State, progress: PromptProgress | None) -> None:
        self.key = key
        self.tokens = tokens
        self.done = 0
        self.state = state
        self.logits: Tensor | None = None
        """After the last token, once it has been read."""
        self.progress = progress
        self.from_end: _FromEnd | None = None

    @property
    def part(self) -> int:
        """Tokens that are read next."""
        return min(PREFILL, len(self.tokens) - self.done)

    def advance(self, from_end: _FromEnd) -> None:
        """Read one more part from the end of the prompt; if the end does not suffice, the whole is read next."""
        try:
            next(from_end)
        except StopIteration as ended:
            self.from_end = None
            if ended.value is not None:
                self.logits, self.state = ended.value

    def report(self, done: int, total: int) -> None:
        """Report progress, if anyone wants to know."""
        if self.progress is not None:
            self.progress(done, total)


class PromptReader(Generic[K]):
    """Read prompts at the speed of the model's forward.

    For a prompt of more than 3 * `REACH` tokens, about 12,000, the end may suffice: it is read from two starting
    points, and if their logits agree, the rest is not read. What the model has kept in its state from the part that is
    not read may be missed. A recurrent model reads one token after another, so reading 2 MB took 90 s.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._readings: deque[_Reading[K]] = deque()

    def __len__(self) -> int:
        return len(self._readings)

    def add(
        self, key: K, ids: Sequence[int], state: State, capacity: int, progress: PromptProgress | None = None
    ) -> None:
        """Add a prompt to be read, whose state holds at most `capacity` tokens in all.

        Args:
            key: returned with the result.
            ids: what is read; only the first can be the boundary.
            state: one row, before the first of them.
            capacity: tokens that are read and generated.
            progress: receives the number of tokens that were read, and their total.
        """
        tokens = torch.tensor(ids, device=self._model.device)
        reading = _Reading(key, tokens, state, progress)
        if self._model.max_positions is None and len(ids) > 3 * _reach(self._model):
            reading.from_end = _read_end(self._model, reading, capacity)
        self._readings.append(reading)

    def cancel(self, key: K) -> None:
        """Stop reading a prompt."""
        self._readings = deque(reading for reading in self._readings if reading.key is not key)

    def step(self) -> list[ReadPrompt[K]]:
        """Read up to `PREFILL` tokens of each of up to `ROWS` prompts; return the prompts that are complete.

        Raises:
            RunError: the model's weights contain NaN or infinity.
        """
        turn = [self._readings.popleft() for _ in range(min(ROWS, len(self._readings)))]
        with evaluation_mode(self._model):
            for reading in turn:
                if reading.from_end is not None:
                    reading.advance(reading.from_end)
            together = [reading for reading in turn if reading.from_end is None and reading.logits is None]
            if together:
                self._read_together(sorted(together, key=lambda reading: reading.part))
        # The others wait for the next turn, so that a long prompt does not delay a short one.
        self._readings.extend(reading for reading in turn if reading.logits is None)
        return [
            ReadPrompt(reading.key, _checked(reading.logits), reading.state)
            for reading in turn
            if reading.logits is not None
        ]

    def _read_together(self, readings: list[_Reading[K]]) -> None:
        """Read the next part of each prompt, the shortest part first; prompts leave when their part is read."""
        states = [reading.state for reading in readings]
        state = State.concat(states) if len(states) > 1 else states[0]
        parts = [reading.part for reading in readings]
        begun, place = 0, 0
        while place < len(readings):
            width = parts[place] - begun
            rows = readings[place:]
            tokens = torch.stack([reading.tokens[reading.done : reading.done + width] for reading in rows])
            starts = tokens == BOUNDARY if begun == 0 and any(reading.done == 0 for reading in rows) else None
            logits, state = self._model.last_logits(tokens, state, starts)
            begun += width
            leaving = parts[place:].count(begun)
            for row, reading in enumerate(rows):
                reading.done += width
                if row < leaving:
                    reading.state = _rows_of(state, row, row + 1) if len(rows) > 1 else state
                    reading.logits = logits[row : row + 1] if reading.done == len(reading.tokens) else None
                    reading.report(reading.done, len(reading.tokens))
            if leaving < len(rows):
                state = _rows_of(state, leaving, len(rows))
            place += leaving


def _rows_of(state: State, begin: int, end: int) -> State:
    return state.select(torch.arange(begin, end, device=next(iter(state.tensors().values())).device))


def _checked(logits: Tensor) -> Tensor:
    if not bool((logits < torch.inf).all()):  # -inf is a probability of 0
        raise RunError("the model's weights contain NaN or infinity, so no token can be sampled; train it again")
    return logits.float()


def _reach(model: LanguageModel) -> int:
    return max(REACH, 4 * model.burn_in)


def _read_end(model: LanguageModel, reading: _Reading[K], capacity: int) -> _FromEnd:
    """Read the end of a prompt, and yield after each part; return None if two starting points differ."""
    reach, tokens = _reach(model), reading.tokens[None]
    while 3 * reach < tokens.shape[1]:
        far = model.initial_state(1, capacity)
        for part, done in _parts(tokens[:, -2 * reach : -reach]):
            _, far = model(part, far)
            reading.report(done, reach)
            yield
        state = State.concat([far, model.initial_state(1, capacity)])
        apart = 0.0
        for part, done in _parts(tokens[:, -reach:]):
            logits, state = model(part.expand(2, -1), state)
            reading.report(done, reach)
            if 2 * done > reach:
                compared = logits.masked_fill(logits == -torch.inf, 0.0)
                scale = float(compared.abs().max())
                apart = max(apart, float((compared[0] - compared[1]).abs().max()) / max(scale, 1.0))
            if done < reach:
                yield
        if apart <= TOLERANCE:
            return logits[:1, -1], _rows_of(state, 0, 1)
        yield
        reach *= 4
    return None


def _parts(tokens: Tensor) -> Generator[tuple[Tensor, int], None, None]:
    """Cut tokens [1, T] into parts, each with the number of tokens up to its end."""
    done = 0
    for part in torch.split(tokens, PREFILL, dim=1):
        done += part.shape[1]
        yield part, done

"""The generation engine: rows that generate text in one batch, each with its own prompt, settings and random stream.

    row = engine.add(Request("Once upon", SamplingConfig(seed=1)))
    while len(engine):
        for event in engine.step(): ...             # at most one TokenEvent for each row

    prompt -> state -> [ logits -> processors -> token -> text so far -> end? -> state ] ...

Rows arrive and leave at any step. A row's random stream depends only on the seed and the number of its sample, so its
text does not depend on the other rows, as far as the stepper's logits of a row do not depend on the number of rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from seqgen.device import evaluation_mode
from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.healing import Healing
from seqgen.generation.processors import History, LogitsProcessor, build_processors, processor_settings
from seqgen.generation.prompt import PromptProgress, PromptReader
from seqgen.generation.sampling import Uniforms, sample
from seqgen.generation.text_stream import TextStream
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.models.translation.base import Translator

Alternatives = tuple[tuple[int, float], ...]
"""Tokens and their ln p, the most likely first."""
FinishReason = Literal["stop", "length"]
"""`stop`: the end of the document was drawn, or a stop string. `length`: the maximum number of new tokens."""
MAX_ROWS = 512
"""Rows that generate at the same time; more wait. Larger batches gain nothing, and each row's state takes memory."""


@dataclass(frozen=True)
class Request:
    """What to generate."""

    prompt: str = ""
    """May be empty, for the beginning of a document, or of a line where the engine has a `line_end`."""
    config: SamplingConfig = field(default_factory=SamplingConfig)
    """How tokens are sampled, and when the text ends. The stepper has its precision and engine already."""
    sample: int = 0
    """The number of this sample among those of its seed: the two determine the random stream."""
    top: int | None = None
    """How many most likely tokens each event names; 0 is the drawn token's log probability alone, None neither."""
    progress: PromptProgress | None = None
    """Receives the number of prompt tokens that were read, and their total."""
    source: Ids | None = None
    """What an encoder-decoder writes the text for."""


class TokenEvent(NamedTuple):
    """A token of a row."""

    row: int
    """What `add` returned."""
    id: int
    """The token; 0 for the end of the document."""
    text: str
    """What became certain with this token, possibly empty; the last event has the rest. Never a stop string."""
    logprob: float | None
    """ln p of the token by the model itself, before the processors; None unless the request asks."""
    top: Alternatives
    """The most likely tokens by the model itself, and their ln p."""
    finish_reason: FinishReason | None
    """None while the row continues."""


_make_event: Callable[[tuple[Any, ...]], TokenEvent] = partial(tuple.__new__, TokenEvent)
"""`TokenEvent(...)` takes twice as long, 2% of a step of 16 rows."""


class _Row:
    """A sample that generates, or will."""

    def __init__(self, number: int, request: Request, sample: int, prompt: _Prompt, stream: TextStream) -> None:
        self.number = number
        self.request = request
        self.sample = sample
        self.prompt = prompt
        self.stream = stream
        self.push = stream.push
        self.new: list[int] = []
        self.owed = prompt.owed
        self.ended = False


class _Prompt:
    """A prompt and the rows that wait for it."""

    def __init__(
        self,
        ids: list[int],
        owed: bytes,
        max_new_tokens: int,
        settings: tuple[object, ...],
        request: Request,
    ) -> None:
        self.ids = ids
        self.owed = owed
        """Spaces that the first new tokens must spell."""
        self.max_new_tokens = max_new_tokens
        self.settings = settings
        """What the rows' processors are built from."""
        self.progress, self.source = request.progress, request.source
        self.waiting: deque[_Row] = deque()
        self.logits = torch.empty(0)
        """fp32 [1, V], once the prompt has been read."""
        self.state = State()


class _Group(NamedTuple):
    """Rows with the same processors."""

    processors: list[LogitsProcessor]
    places: Tensor
    histories: list[History]


class Engine:
    """Generate rows in one batch; not to be used by two threads at once.

    Args:
        model: reads the prompts.
        stepper: a snapshot of the same weights, which generates the texts.
        tokenizer: the tokenizer of the model.
        ends: whether the model has learned where documents end. Then the end can be drawn, and ends the row.
        line_end: read in place of an empty prompt, if it and the new tokens fit into the model's positions. Training
            windows begin anywhere in the text, so id 0 alone rarely precedes the start of a line; a line end always
            does.
        max_rows: rows that generate at the same time; further rows wait.
    """

    def __init__(
        self,
        model: LanguageModel,
        stepper: Stepper,
        tokenizer: Tokenizer,
        *,
        ends: bool = False,
        line_end: str = "",
        max_rows: int = MAX_ROWS,
    ) -> None:
        self._model, self._stepper, self._tokenizer = model, stepper, tokenizer
        self._line_end, self._max_rows = line_end, max_rows
        self._device = model.device
        self._healing = Healing(tokenizer)
        self._suppressed = _suppress(tokenizer, ends=ends).to(self._device)
        self._numbers = count()
        self._alive: dict[int, _Row] = {}
        # Prompts that are not read yet, that are being read, and that have been read but have rows waiting.
        self._queue: deque[_Prompt] = deque()
        self._reader: PromptReader[_Prompt] = PromptReader(model)
        self._ready: deque[_Prompt] = deque()
        # The rows that generate: all of the following have their order.
        self._rows: list[_Row] = []
        self._state = State()
        self._token = torch.empty(0, dtype=torch.int64, device=self._device)
        self._uniforms = Uniforms()
        self._groups: list[_Group] = []
        self._steps = 0
        self._first_length = 0
        """The step at which the first row has its maximum of new tokens."""
        self._some_ended = False
        self._some_owe = False
        self._some_ask = False

    def __len__(self) -> int:
        """Return the number of rows that have not ended, those that wait included."""
        return len(self._alive)

    def add(self, request: Request) -> int:
        """Add a row, and return its number.

        Raises:
            ConfigError: prompt and new tokens together exceed the model's positions, or `request.top` is negative.
        """
        return self.add_samples(request, 1)[0]

    def add_samples(self, request: Request, num_samples: int) -> list[int]:
        """Add rows with one prompt, which is read once: samples `request.sample` and those after it; errors as there.

        Returns:
            The numbers of the rows.
        """
        prompt = self._prepare(request)
        for place in range(num_samples):
            number = next(self._numbers)
            stream = TextStream(self._tokenizer, request.config.stop, len(prompt.owed))
            row = _Row(number, request, request.sample + place, prompt, stream)
            prompt.waiting.append(row)
            self._alive[number] = row
        self._queue.append(prompt)
        return [row.number for row in prompt.waiting]

    def cancel(self, number: int) -> None:
        """End a row without an event; nothing happens if it has ended."""
        row = self._alive.pop(number, None)
        if row is None:
            return
        row.ended = True
        waiting = row.prompt.waiting
        if row not in waiting:
            self._some_ended = True
            return
        waiting.remove(row)
        if not waiting:
            self._reader.cancel(row.prompt)
            for prompts in (self._queue, self._ready):
                if row.prompt in prompts:
                    prompts.remove(row.prompt)

    def step(self) -> list[TokenEvent]:
        """Read a part of the prompts that wait, and draw a token for each row whose prompt has been read.

        Raises:
            RunError: the model's weights contain NaN or infinity; all rows have ended then.
        """
        try:
            return self._step()
        except RunError:
            for number in list(self._alive):
                self.cancel(number)
            raise

    def _step(self) -> list[TokenEvent]:
        if self._some_ended:
            self._remove_ended()
        logits = None
        if self._rows:
            logits, self._state = self._stepper.step(self._token, self._state)
        if self._queue or len(self._reader):
            self._read_prompts()
        if self._ready and len(self._rows) < self._max_rows:
            logits = self._start_rows(logits)
        return [] if logits is None else self._draw(logits)

    def _prepare(self, request: Request) -> _Prompt:
        """Choose what is read for a prompt, and check the positions."""
        config, limit = request.config, self._model.max_positions
        if request.top is not None and request.top < 0:
            raise ConfigError(f"top: should be 0 or more, not {request.top}")
        bounded = "max_new_tokens" in config.model_fields_set
        new = config.max_new_tokens
        line_end = self._line_end if request.source is None else ""
        ids = self._tokenizer.encode(request.prompt or line_end).tolist()
        if not request.prompt and limit is not None and len(ids) + (new if bounded else 1) > limit:
            ids = []
        ids, owed = self._healing.split(ids)
        if limit is not None:
            if not bounded:
                new = min(new, max(1, limit - len(ids)))
            _check_positions(limit, len(ids), new)
        return _Prompt(ids, owed, new, processor_settings(config), request)

    def _read_prompts(self) -> None:
        """Read a part of some prompts."""
        coming = len(self._rows) + sum(len(prompt.waiting) for prompt in self._ready) + len(self._reader)
        while self._queue and coming < self._max_rows:
            prompt = self._queue.popleft()
            read = [BOUNDARY, *prompt.ids]
            capacity = len(read) + prompt.max_new_tokens
            self._reader.add(prompt, read, self._first_state(prompt, capacity), capacity, prompt.progress)
            coming += len(prompt.waiting)
        for prompt, logits, state in self._reader.step():
            prompt.logits, prompt.state = logits, state
            self._ready.append(prompt)

    def _first_state(self, prompt: _Prompt, capacity: int) -> State:
        """Return the state before a prompt: what the model knows of its source, if it has one."""
        if prompt.source is None:
            return self._model.initial_state(1, capacity)
        source = torch.from_numpy(prompt.source.astype(np.int64)).unsqueeze(0).to(self._device)
        with evaluation_mode(self._model), torch.no_grad():
            return cast("Translator", self._model).encode(
                source, torch.tensor([source.shape[1]], device=self._device), capacity
            )

    def _start_rows(self, logits: Tensor | None) -> Tensor:
        """Start rows whose prompts have been read; return the logits of all rows, [B, V]."""
        parts = [] if logits is None else [logits]
        states = [] if logits is None else [self._state]
        started: list[_Row] = []
        while self._ready and (free := self._max_rows - len(self._rows) - len(started)) > 0:
            prompt = self._ready[0]
            rows = [prompt.waiting.popleft() for _ in range(min(free, len(prompt.waiting)))]
            parts.append(prompt.logits.expand(len(rows), -1))
            index = torch.zeros(len(rows), dtype=torch.int64, device=self._device)
            states.append(self._stepper.select(prompt.state, index))
            started += rows
            if not prompt.waiting:
                self._ready.popleft()
        self._state = State.concat(states) if len(states) > 1 else states[0]
        self._rows += started
        self._uniforms.add((row.request.config.seed, row.sample) for row in started)
        self._arrange()
        return torch.cat(parts)

    def _remove_ended(self) -> None:
        """Remove the rows that have ended."""
        self._some_ended = False
        kept = [place for place, row in enumerate(self._rows) if not row.ended]
        self._rows = [self._rows[place] for place in kept]
        if kept:
            index = torch.tensor(kept, device=self._device)
            self._token, self._state = self._token[index], self._stepper.select(self._state, index)
        else:
            self._state = State()
        self._uniforms.select(kept)
        self._arrange()

    def _arrange(self) -> None:
        """Group the rows by their processors, after rows have come or gone."""
        places: dict[tuple[object, ...], list[int]] = {}
        for place, row in enumerate(self._rows):
            places.setdefault(row.prompt.settings, []).append(place)
        self._groups = [
            _Group(
                build_processors(self._rows[group[0]].request.config),
                torch.tensor(group, device=self._device),
                [History(row.prompt.ids, row.new) for row in (self._rows[place] for place in group)],
            )
            for group in places.values()
        ]
        left = (row.prompt.max_new_tokens - len(row.new) for row in self._rows)
        self._first_length = self._steps + min(left, default=0)
        self._some_owe = any(row.owed for row in self._rows)
        self._some_ask = any(row.request.top is not None for row in self._rows)

    def _draw(self, logits: Tensor) -> list[TokenEvent]:
        """Draw a token for each row from its logits [B, V]."""
        drawn = sample(self._process(logits), self._uniforms.next())
        tokens: list[int] = drawn.tolist()
        if self._some_owe:
            for row, token in zip(self._rows, tokens, strict=True):
                row.owed = self._healing.rest(row.owed, token)
            self._some_owe = any(row.owed for row in self._rows)
        self._token = torch.from_numpy(drawn).to(self._device)
        self._steps += 1
        last = self._steps == self._first_length  # some rows reach their length
        events = []
        for row, token in zip(self._rows, tokens, strict=True):
            row.new.append(token)
            reason: FinishReason | None = None
            text = row.push(token)  # nothing for the end of the document
            if token == BOUNDARY or row.stream.stopped:
                reason = "stop"
            elif last and len(row.new) == row.prompt.max_new_tokens:
                reason = "length"
            if reason is not None:
                text += row.stream.flush()
                if row.stream.stopped:
                    reason = "stop"
                row.ended = self._some_ended = True
                del self._alive[row.number]
            events.append(_make_event((row.number, token, text, None, (), reason)))
        return self._score(events, logits) if self._some_ask else events

    def _process(self, logits: Tensor) -> Tensor:
        """Apply the processors of each row, and exclude the tokens that are never drawn."""
        logits = logits + self._suppressed
        if self._some_owe:
            logits = self._healing.constrain(logits, [row.owed for row in self._rows])
        if len(self._groups) == 1:
            return _apply(self._groups[0], logits)
        for group in self._groups:
            logits[group.places] = _apply(group, logits[group.places])
        return logits

    def _score(self, events: list[TokenEvent], logits: Tensor) -> list[TokenEvent]:
        """Add ln p of the token and of the most likely tokens to the events of rows that ask."""
        scored = []
        for event, row, log_probs in zip(events, self._rows, logits.log_softmax(dim=-1).cpu(), strict=True):
            if row.request.top is None:
                scored.append(event)
                continue
            values, ids = log_probs.topk(min(row.request.top, len(log_probs)))
            top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
            scored.append(event._replace(logprob=float(log_probs[event.id]), top=top))
        return scored


def _suppress(tokenizer: Tokenizer, *, ends: bool) -> Tensor:
    """Return what is added to logits, [V]: -inf for the tokens that are never drawn."""
    tokens = [*([] if ends else [BOUNDARY]), *([] if tokenizer.unknown_id is None else [tokenizer.unknown_id])]
    return torch.zeros(tokenizer.vocab_size).index_fill_(0, torch.tensor(tokens, dtype=torch.int64), -torch.inf)


def _apply(group: _Group, logits: Tensor) -> Tensor:
    for apply in group.processors:
        logits = apply(logits, group.histories)
    return logits


def _check_positions(limit: int, prompt: int, new: int) -> None:
    """Refuse more tokens than positions. The boundary takes one; the last new token is never read and takes none."""
    if prompt + new <= limit:
        return
    if prompt >= limit:
        raise ConfigError(
            f"prompt: its {prompt} tokens leave no room in this model's {limit} positions; shorten it to at most "
            f"{limit - 1}"
        )
    raise ConfigError(
        f"max_new_tokens: {plural(new, 'new token')} after a prompt of {prompt} are more than this model's {limit} "
        f"positions; use at most {limit - prompt}"
    )

"""Generate texts with an engine: stream one, or complete many."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from seqgen.errors import ConfigError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, FinishReason, Request, TokenEvent
from seqgen.generation.prompt import PromptProgress

_BLANK_LINE = re.compile(r"(?:\r\n|\n|\r)[ \t]*(?:\r\n|\n|\r)|\A(?:\r\n|\n|\r)|(?:\r\n|\n|\r)\Z")
_LINE_END = re.compile(r"[\r\n]")
_OTHER_ROWS = "engine: it has other rows, whose events would be lost; use another engine, or its step()"


@dataclass(frozen=True)
class Completion:
    """A generated text."""

    prompt: str
    text: str
    """Without the prompt."""
    finish_reason: FinishReason
    tokens: int
    """New tokens, with the end of the document if it was drawn."""
    seed: int
    sample: int
    """The number of this sample among those of the seed."""


class PromptError(ConfigError):
    """One of several prompts is impossible, with its new tokens; the message is that of the engine."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        """The place of the prompt among the prompts, from 0."""


def stream(engine: Engine, request: Request) -> Generator[str, None, FinishReason]:
    """Yield a new text in pieces, one for each token, and return why it ended.

    The row is canceled when the iterator is closed early.

    Args:
        engine: has no other rows, and gets none until the text ends.
        request: what to generate.

    Raises:
        ConfigError: prompt and new tokens together exceed the model's positions, or the engine has other rows.
    """
    _check_unused(engine)
    return _pieces(engine, engine.add(request))


def _pieces(engine: Engine, row: int) -> Generator[str, None, FinishReason]:
    reason: FinishReason = "stop"
    with closing(_events(engine, [row])) as events:
        for event in events:
            reason = event.finish_reason or reason
            yield event.text
    return reason


def _events(engine: Engine, rows: Collection[int]) -> Generator[TokenEvent, None, None]:
    """Yield the events of `rows` until all have ended; cancel those that are left when the iterator is closed."""
    try:
        while len(engine):
            for event in engine.step():
                if event.row not in rows:
                    raise ConfigError(_OTHER_ROWS)
                yield event
    finally:
        for row in rows:
            engine.cancel(row)


def _check_unused(engine: Engine) -> None:
    if len(engine):
        raise ConfigError(_OTHER_ROWS)


def complete(
    engine: Engine,
    prompts: Sequence[str],
    config: SamplingConfig,
    num_samples: int = 1,
    *,
    first: int = 0,
    progress: PromptProgress | None = None,
) -> Iterator[Completion]:
    """Generate `num_samples` texts for each prompt in one batch; yield them in order, each as soon as possible.

    Text i of prompt p is sample `first` + p * num_samples + i of the seed. The engine has no other rows, and gets none
    until all texts have ended. Rows that have not ended are canceled when the iterator is closed early.

    Raises:
        PromptError: prompt and new tokens together exceed the model's positions.
        ConfigError: the engine has other rows.
    """
    _check_unused(engine)
    requests: dict[int, Request] = {}
    try:
        for place, prompt in enumerate(prompts):
            begin = first + place * num_samples
            rows = engine.add_samples(Request(prompt, config, begin, progress=progress), num_samples)
            requests |= {row: Request(prompt, config, begin + number) for number, row in enumerate(rows)}
    except ConfigError as error:
        for row in requests:
            engine.cancel(row)
        raise PromptError(str(error), place) from error
    return _in_order(engine, requests)


def complete_request(engine: Engine, request: Request, num_samples: int = 1) -> Iterator[Completion]:
    """Generate several texts for one request, samples `request.sample` and those after it; as of `complete`."""
    _check_unused(engine)
    rows = engine.add_samples(request, num_samples)
    requests = {row: replace(request, sample=request.sample + number) for number, row in enumerate(rows)}
    return _in_order(engine, requests)


def _in_order(engine: Engine, requests: dict[int, Request]) -> Iterator[Completion]:
    pieces: dict[int, list[str]] = {row: [] for row in requests}
    reasons: dict[int, FinishReason] = {}
    order = deque(requests)
    with closing(_events(engine, requests)) as events:
        for row, _, text, _, _, reason in events:
            pieces[row].append(text)
            if reason is None:
                continue
            reasons[row] = reason
            while order and order[0] in reasons:
                request, made = requests[order[0]], pieces.pop(order[0])
                ended = reasons[order.popleft()]
                yield Completion(request.prompt, "".join(made), ended, len(made), request.config.seed, request.sample)


def separator(texts: Sequence[str]) -> str | None:
    """Return what separates documents where the model writes their ends: a line end, or an empty line.

    None if a text has an empty line itself, so that neither can be told from the text.
    """
    if not any(_LINE_END.search(text) for text in texts):
        return "\n"
    return None if any(_BLANK_LINE.search(text) for text in texts) else "\n\n"

"""Generate texts with an engine: stream one, or complete many."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, FinishReason, Request
from seqgen.generation.prompt import PromptProgress

_BLANK_LINE = re.compile(r"(?:\r\n|\n|\r)[ \t]*(?:\r\n|\n|\r)|\A(?:\r\n|\n|\r)|(?:\r\n|\n|\r)\Z")
_LINE_END = re.compile(r"[\r\n]")


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


def stream(engine: Engine, request: Request) -> Iterator[str]:
    """Yield a new text in pieces, one for each token.

    Raises:
        ConfigError: prompt and new tokens together exceed the model's positions.
    """
    return _pieces(engine, engine.add(request))


def _pieces(engine: Engine, row: int) -> Iterator[str]:
    reason = None
    try:
        while reason is None:
            for event in engine.step():
                if event.row == row:
                    reason = event.finish_reason
                    yield event.text
    finally:
        engine.cancel(row)


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

    Text i of prompt p is sample `first` + p * num_samples + i of the seed.

    Raises:
        ConfigError: prompt and new tokens together exceed the model's positions.
    """
    requests: dict[int, Request] = {}
    for prompt in prompts:
        begin = first + len(requests)
        rows = engine.add_samples(Request(prompt, config, begin, progress=progress), num_samples)
        requests |= {row: Request(prompt, config, begin + number) for number, row in enumerate(rows)}
    return _in_order(engine, requests)


def _in_order(engine: Engine, requests: dict[int, Request]) -> Iterator[Completion]:
    pieces: dict[int, list[str]] = {row: [] for row in requests}
    reasons: dict[int, FinishReason] = {}
    for row, request in requests.items():
        while row not in reasons:
            for number, _, text, _, _, reason in engine.step():
                pieces[number].append(text)
                if reason is not None:
                    reasons[number] = reason
        made = pieces.pop(row)
        yield Completion(
            request.prompt, "".join(made), reasons.pop(row), len(made), request.config.seed, request.sample
        )


def separator(texts: Sequence[str]) -> str | None:
    """Return what separates documents where the model writes their ends: a line end, or an empty line.

    None if a text has an empty line itself, so that neither can be told from the text.
    """
    if not any(_LINE_END.search(text) for text in texts):
        return "\n"
    return None if any(_BLANK_LINE.search(text) for text in texts) else "\n\n"

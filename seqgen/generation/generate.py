"""Generate new text from a prompt and a seed, token by token.

    prompt -> state -> [ logits -> processors -> token -> text so far -> stop? -> state ] ...

Each sample has its own random stream, seeded by (seed, its number). Sample i therefore does not depend on the number of
samples, as far as the stepper's logits of a row do not depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.processors import build_processors
from seqgen.generation.prompt import Healing, PromptProgress, read_prompt
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY, Tokenizer
from seqgen.utils.text import plural


class TextStream:
    """The text of one sample as it grows. Holds back incomplete characters and what may begin a stop string.

    The first `skipped` characters belong to the prompt and are not returned.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], skipped: int = 0) -> None:
        self._decoder = tokenizer.stream_decoder()
        self._stop = tuple(tokenizer.written(text) for text in stop)
        self._held = ""
        self._skipped = skipped
        self.stopped = False

    def push(self, token: int) -> str:
        """Return the text that became certain with `token`."""
        text = self._without_prompt(self._decoder.push(token))
        return self._release(text, final=False) if self._stop else text

    def flush(self) -> str:
        """Return the text that was held back, after the last token."""
        return "" if self.stopped else self._release(self._without_prompt(self._decoder.flush()), final=True)

    def _without_prompt(self, text: str) -> str:
        """Remove the part of `text` that belongs to the prompt."""
        if not self._skipped:
            return text
        new = text[self._skipped :]
        self._skipped = max(0, self._skipped - len(text))
        return new

    def _release(self, text: str, *, final: bool) -> str:
        self._held += text
        # The stop string that is complete first, however the text is cut into tokens.
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, begin = min(found)
            released, self._held = self._held[:begin], ""
            return released
        keep = 0 if final else max(_overlap(self._held, stop) for stop in self._stop)
        released, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return released


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def generate(
    model: LanguageModel,
    stepper: Stepper,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig,
    num_samples: int = 1,
    line_end: str = "",
    progress: PromptProgress | None = None,
) -> Iterator[list[str]]:
    """Yield new text after `prompt`: at each step a piece for each sample ("" for those that have ended).

    Args:
        model: reads the prompt.
        stepper: a snapshot of the same weights, which generates the text.
        tokenizer: the tokenizer of the model.
        prompt: may be empty, for the beginning of a document, or with `line_end` of a line.
        config: how tokens are sampled, and when a text ends.
        num_samples: the number of samples from this prompt, in one batch.
        line_end: read in place of an empty prompt, if it and the new tokens fit into the model's positions. Training
            windows begin anywhere in the text, so id 0 alone rarely precedes the start of a line; a line end always
            does.
        progress: receives the number of prompt tokens that were read, and their total.

    Raises:
        ConfigError: prompt and new tokens together exceed the model's positions.
        RunError: the model's weights contain NaN or infinity.
    """
    ids = tokenizer.encode(prompt or line_end).tolist()
    bounded = "max_new_tokens" in config.model_fields_set
    fewest = config.max_new_tokens if bounded else 1
    if not prompt and model.max_positions is not None and len(ids) + fewest > model.max_positions:
        ids = []
    healing = Healing(tokenizer, ids, num_samples)
    read = [BOUNDARY, *healing.ids]
    if not bounded and model.max_positions is not None:
        fits = min(config.max_new_tokens, max(1, model.max_positions - len(read) + 1))
        config = config.model_copy(update={"max_new_tokens": fits})
    _check_positions(model, len(read) - 1, config.max_new_tokens)
    prefill = partial(read_prompt, model, read, len(read) + config.max_new_tokens, progress)
    return _generate(prefill, stepper, tokenizer, healing, config, num_samples)


def _generate(
    prefill: Callable[[], tuple[Tensor, State]],
    stepper: Stepper,
    tokenizer: Tokenizer,
    healing: Healing,
    config: SamplingConfig,
    num_samples: int,
) -> Iterator[list[str]]:
    forbidden = [BOUNDARY] if tokenizer.unknown_id is None else [BOUNDARY, tokenizer.unknown_id]
    processors = build_processors(config, forbidden)
    uniforms = _Uniforms(config.seed, num_samples)
    streams = [TextStream(tokenizer, config.stop, healing.prompt_characters) for _ in range(num_samples)]
    running = list(range(num_samples))

    logits, state = prefill()
    rows = torch.zeros(num_samples, dtype=torch.int64, device=logits.device)
    logits, state = logits[rows], stepper.select(state, rows)
    for count in range(1, config.max_new_tokens + 1):
        logits = healing.constrain(logits, running)
        for apply in processors:
            logits = apply(logits)
        drawn = sample(logits, uniforms.next(running))
        pieces = [""] * num_samples
        for row, value in zip(running, drawn.tolist(), strict=True):
            healing.push(row, value)
            pieces[row] = streams[row].push(value)
        still = [place for place, row in enumerate(running) if not streams[row].stopped]
        if count == config.max_new_tokens or not still:
            for row in running:
                pieces[row] += streams[row].flush()
            yield pieces
            return
        yield pieces
        token = torch.from_numpy(drawn).to(logits.device)
        if len(still) < len(running):
            index = torch.tensor(still, device=logits.device)
            token, state, running = token[index], stepper.select(state, index), [running[row] for row in still]
        logits, state = stepper.step(token, state)


def _check_positions(model: LanguageModel, prompt: int, new: int) -> None:
    """Refuse more tokens than positions. The boundary takes one; the last new token is never read and takes none."""
    limit = model.max_positions
    if limit is None or prompt + new <= limit:
        return
    if prompt >= limit:
        raise ConfigError(
            f"prompt: its {prompt} tokens leave no room in this model's {limit} sinusoidal positions; shorten it to "
            f"at most {limit - 1}"
        )
    raise ConfigError(
        f"max_new_tokens: {plural(new, 'new token')} after a prompt of {prompt} are more than this model's {limit} "
        f"sinusoidal positions; use at most {limit - prompt}"
    )


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


class _Uniforms:
    """Uniform random numbers: an independent stream per sample, drawn in blocks."""

    BLOCK = 256

    def __init__(self, seed: int, num_samples: int) -> None:
        self._generators = [np.random.default_rng([seed, sample]) for sample in range(num_samples)]
        self._block = np.empty((num_samples, 0))
        self._used = 0

    def next(self, samples: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return the next number of each of `samples`, fp64 [len(samples)]."""
        if self._used == self._block.shape[1]:
            self._block = np.stack([generator.random(self.BLOCK) for generator in self._generators])
            self._used = 0
        column = self._block[:, self._used]
        self._used += 1
        return column if len(samples) == len(column) else column[list(samples)]

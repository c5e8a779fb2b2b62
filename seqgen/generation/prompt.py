"""Read a prompt: which ids are read, the logits and state after them, and what the first new tokens must spell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from seqgen.device import evaluation_mode
from seqgen.errors import RunError
from seqgen.models.base import LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY, Tokenizer

PREFILL = 512  # tokens of a prompt that one call reads
REACH = 4096
"""Tokens at the end of a prompt that may suffice, or 4 times the model's burn-in if that is more."""
TOLERANCE = 1e-5
"""Largest difference of logits that count as equal, relative to their scale."""

PromptProgress = Callable[[int, int], None]
"""Receives the number of prompt tokens that were read, and their total."""


def read_prompt(
    model: LanguageModel, tokens: Sequence[int], capacity: int, progress: PromptProgress | None = None
) -> tuple[Tensor, State]:
    """Return logits fp32 [1, V] after `tokens`, and the state for all that follows, at most `capacity` tokens in all.

    For a prompt of more than 3 * `REACH` tokens, about 12,000, the end may suffice: it is read from two starting
    points, and if their logits agree, the rest is not read. What the model has kept in its state from the part that is
    not read may be missed. A recurrent model reads one token after another, so reading 2 MB took 90 s.
    """
    read = torch.tensor([list(tokens)], device=model.device)
    with evaluation_mode(model):
        found = _read_end(model, read, capacity, progress) if model.max_positions is None else None
        if found is None:
            logits, state = _last(_read(model, read, model.initial_state(1, capacity), progress))
            found = logits[:, -1], state
    if not bool(found[0].isfinite().all()):
        raise RunError("the model's weights contain NaN or infinity, so no token can be sampled; train it again")
    return found[0].float(), found[1]


def _read_end(
    model: LanguageModel, read: Tensor, capacity: int, progress: PromptProgress | None
) -> tuple[Tensor, State] | None:
    """Do `read_prompt` from the end of the prompt alone; return None if two starting points differ."""
    reach = max(REACH, 4 * model.burn_in)
    while 3 * reach < read.shape[1]:
        fresh = model.initial_state(1, capacity)
        _, far = _last(_read(model, read[:, -2 * reach : -reach], model.initial_state(1, capacity), progress))
        both = State.concat([far, fresh])
        apart, done = 0.0, 0
        for logits, state in _read(model, read[:, -reach:].expand(2, -1), both, progress):  # noqa: B007
            done += logits.shape[1]
            if 2 * done > reach:
                scale = float(logits.abs().max())
                apart = max(apart, float((logits[0] - logits[1]).abs().max()) / max(scale, 1.0))
        if apart <= TOLERANCE:
            return logits[:1, -1], state.select(torch.zeros(1, dtype=torch.int64, device=model.device))
        reach *= 4
    return None


def _read(
    model: LanguageModel, tokens: Tensor, state: State, progress: PromptProgress | None
) -> Iterator[tuple[Tensor, State]]:
    """Yield logits and state after each part of `tokens`, int64 [B, T]."""
    done = 0
    for part in torch.split(tokens, PREFILL, dim=1):
        starts = part == BOUNDARY if done == 0 else None  # only the first token may be it
        logits, state = model(part, state, starts)
        done += part.shape[1]
        if progress is not None:
            progress(done, tokens.shape[1])
        yield logits, state


def _last(parts: Iterator[tuple[Tensor, State]]) -> tuple[Tensor, State]:
    *_, last = parts
    return last


class Healing:
    """Token healing: spaces at the end of a prompt are not read, and the first new tokens must spell them.

    Needed where a tokenizer's pieces begin with a space: ` the` is one piece of the training text, so a model has
    rarely seen a space followed by `the`.
    """

    def __init__(self, tokenizer: Tokenizer, ids: list[int], num_samples: int) -> None:
        self._pieces = tokenizer.id_to_bytes
        last = self._pieces[ids[-1]] if ids else b""
        heals = last != b"" and not last.strip(b" ") and any(_begins_with_space(piece) for piece in self._pieces)
        self.ids = ids[:-1] if heals else ids
        """The ids of the prompt that are read."""
        self.prompt_characters = len(last) if heals else 0
        """Characters at the beginning of the generated text that belong to the prompt."""
        self._owed = dict.fromkeys(range(num_samples), last) if heals else {}
        self._fitting: dict[bytes, Tensor] = {}

    def constrain(self, logits: Tensor, samples: Sequence[int]) -> Tensor:
        """Exclude tokens that do not continue each sample's unread spaces; logits [B, V]."""
        if not self._owed:
            return logits
        rows = [
            torch.where(self._fits(self._owed[sample]).to(logits.device), row, -torch.inf)
            if sample in self._owed
            else row
            for sample, row in zip(samples, logits, strict=True)
        ]
        return torch.stack(rows)

    def push(self, sample: int, token: int) -> None:
        """Record the token that was sampled for `sample`."""
        if sample in self._owed:
            rest = self._owed[sample][len(self._pieces[token]) :]
            if rest:
                self._owed[sample] = rest
            else:
                del self._owed[sample]

    def _fits(self, owed: bytes) -> Tensor:
        if owed not in self._fitting:
            fits = [piece != b"" and (piece.startswith(owed) or owed.startswith(piece)) for piece in self._pieces]
            self._fitting[owed] = torch.tensor(fits)
        return self._fitting[owed]


def _begins_with_space(piece: bytes) -> bool:
    return piece.startswith(b" ") and piece.strip(b" ") != b""

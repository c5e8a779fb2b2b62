"""Write a target for each source by an encoder-decoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from seqgen.data.batches import FILLER
from seqgen.data.pairs import Sequences
from seqgen.device import evaluation_mode
from seqgen.generation.beam import Hypothesis, search
from seqgen.generation.config import BeamConfig
from seqgen.generation.engine import FinishReason
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.translation.base import Translator
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer

ROWS = 64
"""Sources that are read before the first is translated, and at most translated together."""
POSITIONS = 1 << 16
"""Hypotheses that are extended together, times the tokens of the longest source or target: with a wide beam or long
texts, fewer sources are translated together. A transformer copies its caches at each step, which is slow where they
are large.
"""
SHORT = 64
"""Shorter texts count as of this length."""


class Translation(NamedTuple):
    """A target that was written for a source."""

    text: str
    ids: list[int]
    """Its tokens, without the end."""
    nats: float
    """-ln p of the tokens, and of the end if there is one."""
    score: float
    """As `BeamConfig` defines it; higher is better."""
    finish_reason: FinishReason
    """`length`: it was cut at its maximum length."""
    source_tokens: int
    """Tokens of the source, before any were cut."""
    source_cut: bool
    """Whether the source was longer than the model reads."""


class Alignment(NamedTuple):
    """How much each token of a target attended to each token of its source."""

    source: list[str]
    """S tokens as the texts that they stand for, also where they are not in the vocabulary."""
    target: list[str]
    """T tokens as texts; the last is the end."""
    weights: npt.NDArray[np.float32]
    """[T, S]; rows sum to 1."""
    unknown: tuple[int, ...] = ()
    """The numbers of the source tokens that are not in the vocabulary: the model reads `<unk>` in their place."""


def translate(
    model: LanguageModel,
    stepper: Stepper,
    tokenizer: Tokenizer,
    sources: Iterable[str | Ids],
    config: BeamConfig | None = None,
    *,
    unknown: bool = False,
    longest_target: int = 0,
    rows: int = ROWS,
) -> Iterator[list[Translation]]:
    """Yield the best targets of each source, the best first, in order: `n_best` of them.

    Args:
        model: reads the sources.
        stepper: a snapshot of the same weights, which writes the targets.
        tokenizer: of both.
        sources: texts, or their ids; an empty one, or one of white space, gives an empty target.
        config: of the search; None is greedy.
        unknown: whether `<unk>` may be written.
        longest_target: tokens of the longest target in training, for which the default maximum length leaves room.
        rows: sources that are read before the first is translated. They are translated together, unless that would be
            more than `POSITIONS`.
    """
    left, translator = iter(sources), cast("Translator", model)
    config, limit = config or BeamConfig(), translator.config.max_source_length
    while some := list(islice(left, rows)):
        ids = [tokenizer.encode(one if one.strip() else "") if isinstance(one, str) else one for one in some]
        given = [one for one in ids if len(one)]
        lengths = config.max_lengths((min(len(one), limit) for one in given), longest_target)
        made = chain.from_iterable(
            _translate(translator, stepper, tokenizer, given[part], lengths[part], config, unknown=unknown)
            for part in _parts([max(len(one), most) for one, most in zip(given, lengths, strict=True)], config.beam)
        )
        yield from (next(made) if len(one) else [Translation("", [], 0.0, 0.0, "stop", 0, False)] for one in ids)


def _parts(lengths: Sequence[int], beam: int) -> Iterator[slice]:
    """Yield which sources to translate together, by the length of each, or of its longest target if that is longer."""
    start, longest = 0, SHORT
    for number, length in enumerate(lengths):
        longest = max(longest, length)
        if number > start and (number + 1 - start) * beam * longest > POSITIONS:
            yield slice(start, number)
            start, longest = number, max(SHORT, length)
    yield slice(start, len(lengths))


def _translate(
    model: Translator,
    stepper: Stepper,
    tokenizer: Tokenizer,
    sources: Sequence[Ids],
    lengths: Sequence[int],
    config: BeamConfig,
    *,
    unknown: bool,
) -> Iterator[list[Translation]]:
    if not sources:
        return
    limit = model.config.max_source_length
    read = Sequences.of(sources).cut(limit)
    with evaluation_mode(model), torch.no_grad():
        state = model.encode(
            torch.from_numpy(read.filled(FILLER)).to(model.device),
            torch.from_numpy(read.lengths.copy()).to(model.device),
            max(lengths) + 1,
        )
        forbidden = [] if tokenizer.unknown_id is None or unknown else [tokenizer.unknown_id]
        found = search(stepper, state, config, lengths, forbidden)
    for source, hypotheses in zip(sources, found, strict=True):
        yield [_translation(tokenizer, one, len(source), limit) for one in hypotheses]


def _translation(tokenizer: Tokenizer, found: Hypothesis, tokens: int, limit: int) -> Translation:
    text = tokenizer.decode(found.ids)
    return Translation(text, found.ids, found.nats, found.score, found.finish_reason, tokens, tokens > limit)


def alignment(model: LanguageModel, source: Ids, target: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return how much each token of a target attended to each token of its source: [T, S], rows that sum to 1.

    The end is the last row. Of a transformer it is the last layer's, averaged over heads. It is empty, [0, S], for a
    model without attention.
    """
    translator = cast("Translator", model)
    read = torch.from_numpy(np.asarray(source[: translator.config.max_source_length], dtype=np.int64))
    read = read.unsqueeze(0).to(model.device)
    tokens = torch.tensor([[BOUNDARY, *target]], device=model.device)
    with evaluation_mode(model), torch.no_grad():
        state = translator.encode(read, torch.tensor([read.shape[1]], device=model.device), tokens.shape[1])
        trace = translator.trace(tokens, state)
    names = [name for name in trace if name.endswith((".cross", "attention.attention"))]
    if not names:
        return np.empty((0, read.shape[1]), dtype=np.float32)
    weights = trace[names[-1]][0]
    return (weights.mean(1) if weights.dim() == 3 else weights).float().cpu().numpy()

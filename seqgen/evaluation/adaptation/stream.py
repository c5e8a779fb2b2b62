"""Dynamic evaluation of documents: one stream in the order given, static and dynamic figures next to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.adaptive import (
    Learning,
    check,
    learning_of,
    member_reader,
    members_of,
    parts_of,
    shares_of,
)
from seqgen.evaluation.adaptation.config import AdaptationConfig
from seqgen.evaluation.adaptation.reader import AdaptiveReader, Floats, Integers, NeuralReader
from seqgen.evaluation.report import Context, DynamicEvaluation, Evaluation, TextSize
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel, mix_log_probs
from seqgen.tokenizers.base import BOUNDARY

STATIC = AdaptationConfig()
BLOCK = 256
"""Tokens that each reader reads before the next does, and of which progress is reported."""


def stream_of(documents: Documents) -> tuple[Integers, Integers]:
    """Return the inputs and targets of documents one after another, int64 [T]; a document begins with input 0."""
    places = np.cumsum(documents.lengths)
    targets = np.zeros(documents.tokens, np.int64)
    is_end = np.zeros(len(targets), bool)
    is_end[places[documents.ends] - 1] = True
    targets[~is_end] = documents.ids
    inputs = np.concatenate([[BOUNDARY], targets[:-1]]).astype(np.int64)
    inputs[places[:-1]] = BOUNDARY
    return inputs, targets


def evaluate_dynamic(
    model: LanguageModel,
    documents: Documents,
    size: TextSize,
    config: AdaptationConfig,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate documents as one stream, by the model as it is, and by the model learning from them.

    Args:
        model: any family, in evaluation mode; it is not changed.
        documents: the ids.
        size: of the documents' text.
        config: what learns, and how fast.
        progress: receives the number of tokens in each part that was read.

    Raises:
        ConfigError: the model has nothing of what should learn, or a document is longer than its positions.
    """
    check(model, config)
    check_positions(model, documents)
    stream, parts = stream_of(documents), _parts_of(model, config)
    readers = _readers_of(model, [STATIC, *parts.values()], ends=bool(documents.ends.any()))
    nats_by_reader = dict(zip(readers, read_stream([*readers.values()], stream, progress), strict=True))

    def rows(settings: AdaptationConfig) -> Floats:
        return np.stack([nats_by_reader[key] for key in _keys(model, settings)])

    static, dynamic = rows(STATIC), rows(config)
    nats, costs = math.fsum(static[0]), {config.what: math.fsum(dynamic[0])}
    members: dict[str, tuple[float, float]] = {}
    weights: dict[str, float] = {}
    if isinstance(model, MixtureModel):
        nats = -math.fsum(mix_log_probs(torch.from_numpy(-static), model.weights).tolist())
        shares = {part: shares_of(model, config) for part in parts}
        costs = {part: math.fsum(shares[part].nats(rows(one), stream[0])) for part, one in parts.items()}
        pairs = zip(map(math.fsum, static), map(math.fsum, dynamic), strict=True)
        members = dict(zip(model.members, pairs, strict=True))
        weights = dict(zip(model.members, shares[config.what].shares, strict=True))
    learned = {key.member: readers[key] for key in _keys(model, config)}
    for reader in learned.values():
        if isinstance(reader, NeuralReader):
            reader.check_end()
    adapted = DynamicEvaluation(
        tokens=documents.tokens,
        size=size,
        nats=costs[config.what],
        what=config.what,
        cache=config.cache,
        parts=costs,
        members=members,
        weights=weights,
        diverged=find_diverged(learned),
        reset=config.dynamic_reset is not None,
        constants=config.adaptation,
    )
    context = Context(kind="stream", segments=len(documents))
    return Evaluation(documents.tokens, size, nats, int(documents.ends.sum()), context, adapted)


def dynamic_nats(
    model: LanguageModel,
    documents: Documents,
    config: AdaptationConfig,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Return the nats of every token and end, [T], by a model that learns from them; arguments and errors as above."""
    check(model, config)
    check_positions(model, documents)
    stream = stream_of(documents)
    readers = _readers_of(model, [config], ends=bool(documents.ends.any()))
    rows = read_stream([readers[key] for key in _keys(model, config)], stream, progress)
    if isinstance(model, MixtureModel):
        return shares_of(model, config).nats(rows, stream[0])
    nats: Floats = rows[0]
    return nats


def read_stream(
    readers: Sequence[AdaptiveReader],
    stream: tuple[Integers, Integers],
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Let each reader learn from a stream; return the nats of all tokens, [readers, T].

    Args:
        readers: of the same stream, each independent of the others.
        stream: inputs and targets, as of `stream_of`.
        progress: receives the number of tokens in each part that all of them have read.
    """
    inputs, targets = stream
    nats = np.empty((len(readers), len(targets)))
    for start in range(0, len(targets), BLOCK):
        part = slice(start, start + BLOCK)
        for row, reader in zip(nats, readers, strict=True):
            row[part] = reader.nats(inputs[part], targets[part])
        if progress is not None:
            progress(len(targets[part]))
    return nats


def find_diverged(readers: Mapping[str, AdaptiveReader]) -> dict[str, int]:
    """Return the members whose weights have diverged, by name, and the tokens that were read before."""
    neural = {name: reader.diverged_at for name, reader in readers.items() if isinstance(reader, NeuralReader)}
    return {name: at for name, at in neural.items() if at is not None}


def check_positions(model: LanguageModel, documents: Documents) -> None:
    """Check that a model with a limit of positions can read each document in one stream.

    Raises:
        ConfigError: it cannot.
    """
    longest = int(documents.lengths.max())
    if model.max_positions is not None and longest > model.max_positions:
        raise ConfigError(
            f"a document of {longest} tokens exceeds this model's {model.max_positions} positions, and a model that "
            "learns from a document cannot cut it; divide it into shorter documents"
        )


class _Key(NamedTuple):
    """A member, and what of it learns."""

    member: str
    learning: Learning


def _keys(model: LanguageModel, settings: AdaptationConfig) -> list[_Key]:
    return [_Key(name, learning_of(member, settings)) for name, member in members_of(model).items()]


def _parts_of(model: LanguageModel, config: AdaptationConfig) -> dict[str, AdaptationConfig]:
    """Return the settings of each part to report: if all learns, those with one kind learning, then `config`."""
    kinds = parts_of(model) if config.dynamic == "all" else []
    alone = kinds if len(kinds) > 1 else []
    return {**{kind: config.model_copy(update={"dynamic": kind}) for kind in alone}, config.what: config}


def _readers_of(
    model: LanguageModel, settings: Iterable[AdaptationConfig], *, ends: bool
) -> dict[_Key, AdaptiveReader]:
    """Return the readers of the members by all `settings`; a member that learns the same by two of them has one."""
    wanted = {key: one for one in settings for key in _keys(model, one)}
    members = members_of(model)
    return {key: member_reader(members[key.member], one, ends=ends) for key, one in wanted.items()}

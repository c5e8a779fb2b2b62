"""Dynamic evaluation of documents: one stream in the order given, static and dynamic figures next to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.adaptive import check, member_reader, members_of, parts_of, shares_of
from seqgen.evaluation.adaptation.config import AdaptationConfig
from seqgen.evaluation.adaptation.reader import AdaptiveReader, Floats, Integers, NeuralReader, StaticReader
from seqgen.evaluation.report import Context, DynamicEvaluation, Evaluation, TextSize
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.models.registry import FAMILIES
from seqgen.tokenizers.base import BOUNDARY

BLOCK = 1024
"""Tokens that each member reads before the next does, and of which progress is reported."""


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
    members, (inputs, targets) = members_of(model), stream_of(documents)
    ends = bool(documents.ends.any())
    readers = {name: member_reader(member, config, ends=ends) for name, member in members.items()}
    static, dynamic = _read(members, readers, inputs, targets, progress)
    nats, parts, weights = _mix(model, config, static, dynamic, inputs)
    cost = parts[config.what]
    adapted = DynamicEvaluation(
        tokens=len(targets),
        size=size,
        nats=cost,
        what=config.what,
        cache=config.cache,
        parts=parts,
        members={name: (math.fsum(static[name]), math.fsum(dynamic[name])) for name in members} if weights else {},
        weights=weights,
        diverged=find_diverged(readers),
        reset=config.dynamic_reset is not None,
        constants=config.adaptation,
    )
    context = Context(kind="stream", segments=len(documents))
    return Evaluation(len(targets), size, nats, int(documents.ends.sum()), context, adapted)


def read_stream(
    reader: AdaptiveReader,
    model: LanguageModel,
    documents: Documents,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Let the reader of a model learn from documents; return the nats of all tokens, [T].

    Args:
        reader: of `model`.
        model: whose positions limit the documents.
        documents: the ids.
        progress: receives how many tokens were read so far.

    Raises:
        ConfigError: a document is longer than the model's positions.
    """
    check_positions(model, documents)
    inputs, targets = stream_of(documents)
    nats = np.empty(len(targets))
    for start in range(0, len(targets), BLOCK):
        part = slice(start, start + BLOCK)
        nats[part] = reader.nats(inputs[part], targets[part])
        if progress is not None:
            progress(min(start + BLOCK, len(targets)))
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
            f"dynamic: a document of {longest} tokens exceeds this model's {model.max_positions} positions"
        )


def _read(
    members: dict[str, LanguageModel],
    readers: dict[str, AdaptiveReader],
    inputs: Integers,
    targets: Integers,
    progress: Callable[[int], None] | None,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the static and the dynamic nats of each member, [T]."""
    fixed = {name: StaticReader(member) for name, member in members.items()}
    static, dynamic = ({name: np.empty(len(targets)) for name in members} for _ in range(2))
    for start in range(0, len(targets), BLOCK):
        part = slice(start, start + BLOCK)
        for name, reader in readers.items():
            static[name][part] = fixed[name].nats(inputs[part], targets[part])
            learns = not isinstance(reader, StaticReader)
            dynamic[name][part] = reader.nats(inputs[part], targets[part]) if learns else static[name][part]
        if progress is not None:
            progress(len(targets[part]))
    return static, dynamic


def _mix(
    model: LanguageModel,
    config: AdaptationConfig,
    static: dict[str, Floats],
    dynamic: dict[str, Floats],
    inputs: Integers,
) -> tuple[float, dict[str, float], dict[str, float]]:
    """Return the static nats, the dynamic nats by what learns, and the weights of a mixture after the text."""
    if not isinstance(model, MixtureModel):
        ((alone, learned),) = zip(static.values(), dynamic.values(), strict=True)
        return math.fsum(alone), {config.what: math.fsum(learned)}, {}
    with np.errstate(divide="ignore"):
        logs = np.log(model.weights.numpy(force=True))
    nats = -math.fsum(np.logaddexp.reduce(logs[:, None] - np.stack([*static.values()])))
    parts, learning = {}, parts_of(model) if config.what == "all" else []
    for what in [*(learning if len(learning) > 1 else []), config.what]:
        rows = [dynamic[name] if _learns(member, what) else static[name] for name, member in members_of(model).items()]
        shares = shares_of(model, config)
        parts[what] = math.fsum(shares.nats(np.stack(rows), inputs))
    return nats, parts, dict(zip(static, shares.shares, strict=True))


def _learns(member: LanguageModel, what: str) -> bool:
    """Return whether a member learns if `what` does."""
    row = FAMILIES[member.config.cell]
    return (row.neural and what != "ngram") or (row.dynamic is not None and what in {"ngram", "all"})

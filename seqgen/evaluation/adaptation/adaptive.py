"""Make the reader of a model by what shall learn: weights, n-gram counts, or all; with a cache or without."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple, cast

from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.cache import NeuralCache
from seqgen.evaluation.adaptation.config import DEFAULTS, AdaptationConfig, AdaptationConstants, Adapting
from seqgen.evaluation.adaptation.mixture import DynamicShares, MixtureReader
from seqgen.evaluation.adaptation.reader import AdaptiveReader, NeuralReader, StaticReader
from seqgen.evaluation.adaptation.weights import DynamicWeights
from seqgen.models.base import LanguageModel, NeuralModel
from seqgen.models.mixture import MixtureModel
from seqgen.models.registry import FAMILIES


def adaptive(
    model: LanguageModel,
    what: Adapting | None = "all",
    constants: AdaptationConstants = DEFAULTS,
    *,
    cache: bool = False,
    reset: bool = False,
    ends: bool = True,
) -> AdaptiveReader:
    """Return a reader of one stream by `model`, which is not changed.

    Args:
        model: any family, in evaluation mode.
        what: what learns; None is nothing, for a cache alone.
        constants: how fast.
        cache: whether neural models get a cache.
        reset: whether the trained model comes back at each document.
        ends: whether the model models the ends of documents: id 0, read later than first, is a target then.

    Raises:
        ConfigError: the model has nothing of what should learn.
    """
    config = AdaptationConfig(
        dynamic=what, dynamic_reset="document" if reset else None, cache=cache, adaptation=constants
    )
    check(model, config)
    members = members_of(model)
    readers = {name: member_reader(member, config, ends=ends) for name, member in members.items()}
    if not isinstance(model, MixtureModel):
        (reader,) = readers.values()
        return reader
    return MixtureReader(model, readers, shares_of(model, config), ends=ends)


def readers_of(model: LanguageModel, reader: AdaptiveReader) -> Mapping[str, AdaptiveReader]:
    """Return the readers of the members of a mixture by name; of any other model its only one."""
    return reader.members if isinstance(reader, MixtureReader) else {model.config.cell: reader}


def members_of(model: LanguageModel) -> dict[str, LanguageModel]:
    """Return the members of a mixture by name; any other model as its only one."""
    if isinstance(model, MixtureModel):
        return cast("dict[str, LanguageModel]", dict(model.members.items()))
    return {model.config.cell: model}


def parts_of(model: LanguageModel) -> list[str]:
    """Return what can learn: `weights` where a member is neural, `ngram` where a member counts."""
    rows = [FAMILIES[member.config.cell] for member in members_of(model).values()]
    return ["weights"] * any(row.neural for row in rows) + ["ngram"] * any(row.dynamic is not None for row in rows)


def check(model: LanguageModel, config: AdaptationConfig) -> None:
    """Check that the model has what should learn.

    Raises:
        ConfigError: it has not.
    """
    parts = parts_of(model)
    if config.dynamic not in {None, "all", *parts}:
        named = "n-gram counts" if config.dynamic == "ngram" else "weights that are trained by gradients"
        raise ConfigError(f"dynamic: {model.config.name} has no {named}; use --dynamic {parts[0]}")
    if config.cache and "weights" not in parts:
        raise ConfigError(f"cache: {model.config.name} has no hidden vectors; leave it out")


class Learning(NamedTuple):
    """What of a model that is not a mixture changes while it reads."""

    learns: bool
    """Whether its weights learn, or its n-gram counts."""
    cached: bool
    """Whether it has a cache."""


def learning_of(member: LanguageModel, config: AdaptationConfig) -> Learning:
    """Return what of a model that is not a mixture changes while it reads."""
    row = FAMILIES[member.config.cell]
    if row.neural:
        return Learning(config.dynamic in {"weights", "all"}, config.cache)
    return Learning(row.dynamic is not None and config.dynamic in {"ngram", "all"}, cached=False)


def member_reader(member: LanguageModel, config: AdaptationConfig, *, ends: bool) -> AdaptiveReader:
    """Return the reader of a model that is not a mixture."""
    row, rates, reset = FAMILIES[member.config.cell], config.adaptation, config.dynamic_reset is not None
    learns, cached = learning_of(member, config)
    if not learns and not cached:
        return StaticReader(member)
    if row.dynamic is not None:
        module, _, name = row.dynamic.rpartition(".")
        made: AdaptiveReader = getattr(import_module(module), name)(member, reset=reset)
        return made
    neural = cast("NeuralModel", member)
    weights = DynamicWeights(neural, rates.rate, rates.decay, rates.epsilon) if learns else None
    cache = NeuralCache(rates.cache_window, rates.cache_theta, rates.cache_share) if cached else None
    return NeuralReader(neural, weights, cache, rates.segment, reset=reset, ends=ends)


def shares_of(mixture: MixtureModel, config: AdaptationConfig) -> DynamicShares:
    """Return the weights of a mixture before the text."""
    rates, reset = config.adaptation, config.dynamic_reset is not None
    return DynamicShares(mixture.weights.tolist(), rates.prior, rates.memory, reset=reset)

"""Search rates and sizes of adaptation by reading a text several times, one constant after the other.

What the members of a mixture cost does not depend on its weights, so the constants of those are searched on nats alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.adaptation.adaptive import check, member_reader, members_of, shares_of
from seqgen.evaluation.adaptation.config import AdaptationConfig, AdaptationConstants
from seqgen.evaluation.adaptation.reader import Floats
from seqgen.evaluation.adaptation.stream import check_positions, read_stream, stream_of
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.models.registry import FAMILIES
from seqgen.utils.text import plural

LEAST_TOKENS = 200
"""A shorter text would choose rates by chance."""
TOKENS = 1 << 15
"""Tokens of the text that are read."""
Factors = Mapping[str, Sequence[float]]
"""Factors of the present constants that are tried, by name."""
WEIGHTS: Factors = {"rate": (0.25, 0.5, 2.0, 4.0), "decay": (0.1, 0.3, 3.0)}
CACHE: Factors = {"cache_theta": (0.3, 3.0), "cache_share": (0.5, 2.0), "cache_window": (0.25, 4.0)}
SHARES: Factors = {"prior": (0.1, 0.3, 3.0, 10.0), "memory": (0.1, 0.3, 3.0, 10.0)}


def tune(
    model: LanguageModel,
    documents: Documents,
    config: AdaptationConfig,
    progress: Callable[[int, int], None] | None = None,
) -> AdaptationConstants:
    """Return the constants that cost the least in the first `TOKENS` tokens of documents.

    Args:
        model: any family, in evaluation mode.
        documents: the ids of a text other than the one to be reported.
        config: what learns, and the constants from which the search begins. A cache is searched with fixed weights.
        progress: receives how many tokens were read, and their total.

    Raises:
        ConfigError: the model has nothing of what should learn, or a document is longer than its positions.
        TextError: the text has fewer than `LEAST_TOKENS`.
    """
    check(model, config)
    check_positions(model, documents)
    _check_tunable(model, documents)
    inputs, targets = (row[:TOKENS] for row in stream_of(documents))
    ends = bool(documents.ends.any())
    members = members_of(model)
    neural = [member for member in members.values() if FAMILIES[member.config.cell].neural]
    searches: list[tuple[AdaptationConfig, Factors]] = []
    if config.dynamic in {"weights", "all"} and neural:
        searches.append((config.model_copy(update={"cache": False}), WEIGHTS))
    if config.cache:
        searches.append((config.model_copy(update={"dynamic": None}), CACHE))
    tries = sum(1 + sum(map(len, factors.values())) for _, factors in searches)
    total, done = (tries * len(neural) + isinstance(model, MixtureModel) * len(members)) * len(targets), 0

    def count(tokens: int) -> None:
        nonlocal done
        done += tokens
        if progress is not None:
            progress(done, total)

    def read(member: LanguageModel, settings: AdaptationConfig, constants: AdaptationConstants) -> Floats:
        settings = settings.model_copy(update={"adaptation": constants})
        nats: Floats = read_stream([member_reader(member, settings, ends=ends)], (inputs, targets), count)[0]
        return nats

    found = config.adaptation
    for settings, factors in searches:

        def cost(tried: AdaptationConstants, settings: AdaptationConfig = settings) -> float:
            return sum(math.fsum(read(member, settings, tried)) for member in neural)

        found = search(found, factors, cost)
    if isinstance(model, MixtureModel):
        rows = np.stack([read(member, config, found) for member in members.values()])

        def cost_of_shares(tried: AdaptationConstants) -> float:
            shares = shares_of(model, config.model_copy(update={"adaptation": tried}))
            return math.fsum(shares.nats(rows, inputs))

        found = search(found, SHARES, cost_of_shares)
    return found


def _check_tunable(model: LanguageModel, documents: Documents) -> None:
    """Refuse a text that is too short, and a model without rates."""
    if documents.tokens < LEAST_TOKENS:
        raise TextError(
            f"tune: the text has {plural(documents.tokens, 'token')}, too few to choose rates by (at least "
            f"{LEAST_TOKENS:,}); name a longer one"
        )
    members = members_of(model).values()
    if len(members) == 1 and not any(FAMILIES[member.config.cell].neural for member in members):
        raise ConfigError(f"tune: {model.config.name} counts what it reads, and has no rates to choose; leave it out")


def search(
    constants: AdaptationConstants, factors: Factors, cost: Callable[[AdaptationConstants], float]
) -> AdaptationConstants:
    """Multiply one constant after the other by each of its factors, and keep what costs least.

    A product outside the bounds of its constant is not tried.
    """
    least = cost(constants)
    for name, tried_factors in factors.items():
        base = getattr(constants, name)
        for factor in tried_factors:
            try:
                tried = AdaptationConstants.of(**{**dict(constants), name: type(base)(base * factor)})
            except ConfigError:
                continue
            if (one := cost(tried)) < least:
                constants, least = tried, one
    return constants

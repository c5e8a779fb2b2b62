"""Mixtures whose weights follow the members' successes: online expectation-maximization with a Dirichlet prior.

The weights are the means of a Dirichlet distribution whose pseudo-counts are `prior` tokens, divided among the members
by their trained weights, and what each member has explained of the tokens read since: its responsibility,

    weight[m] p[m](token) / sum over n of weight[n] p[n](token).

Older responsibilities are forgotten: each token makes their counts smaller by 1 / memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from seqgen.evaluation.adaptation.reader import AdaptiveReader, Floats, Integers
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.tokenizers.base import BOUNDARY


class DynamicShares:
    """The weights of a mixture, as far as a text was read.

    Args:
        trained: the weights at first; they sum to 1.
        prior: the tokens that they count as.
        memory: the tokens after which a responsibility counts 1/e.
        reset: whether the trained weights come back at each document.
    """

    def __init__(self, trained: Sequence[float], prior: float, memory: float, *, reset: bool = False) -> None:
        self._prior = [prior * share for share in trained]
        self._kept, self._reset = 1 - 1 / memory, reset
        self._counts = [0.0] * len(self._prior)

    def begin_document(self) -> None:
        """Return to the trained weights, if each document does."""
        if self._reset:
            self._counts = [0.0] * len(self._prior)

    @property
    def shares(self) -> list[float]:
        """The present weights."""
        sums = [before + count for before, count in zip(self._prior, self._counts, strict=True)]
        total = sum(sums)
        return [one / total for one in sums]

    def nats(self, members: npt.NDArray[np.float64], inputs: Integers) -> Floats:
        """Mix what tokens cost, [members, T], and learn from each; `inputs` [T] are the tokens before them."""
        mixed = np.empty(members.shape[1])
        begins = (inputs == BOUNDARY).tolist()
        for place, (column, begin) in enumerate(zip(members.T.tolist(), begins, strict=True)):
            if begin:
                self.begin_document()
            mixed[place] = self.learn(column)
        return mixed

    def learn(self, nats: Sequence[float]) -> float:
        """Learn from a token that cost the members `nats`; return what it cost by the weights before."""
        sums = [before + count for before, count in zip(self._prior, self._counts, strict=True)]
        least = min(nats)
        explained = [one * math.exp(least - cost) for one, cost in zip(sums, nats, strict=True)]
        total = sum(explained)
        self._counts = [self._kept * count + part / total for count, part in zip(self._counts, explained, strict=True)]
        return least - math.log(total / sum(sums))


class MixtureReader:
    """The members of a mixture, each of which learns from its own loss, and their weights.

    Args:
        mixture: the trained mixture.
        members: a reader of each member.
        shares: its weights.
        ends: whether id 0 is a target, for `read`.
    """

    def __init__(
        self, mixture: MixtureModel, members: Mapping[str, AdaptiveReader], shares: DynamicShares, *, ends: bool = True
    ) -> None:
        self._mixture, self.members, self.shares, self._ends = mixture, members, shares, ends
        self._rows: Floats | None = None
        self._begun = False

    def nats(self, inputs: Integers, targets: Integers) -> Floats:
        """Return -ln p of each target, [T], and learn from them."""
        return self.shares.nats(np.stack([one.nats(inputs, targets) for one in self.members.values()]), inputs)

    def log_probs(self) -> Floats:
        """Return ln p of every token as the next one: [V], normalized in fp64."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.shares.shares)
        mixed: Floats = np.logaddexp.reduce(self._member_rows() + logs[:, None])
        return mixed

    def _member_rows(self) -> Floats:
        """Return ln p by member, [members, V]."""
        if self._rows is None:
            self._rows = np.stack([one.log_probs() for one in self.members.values()])
        return self._rows

    def read(self, token: int) -> None:
        """Take the token that came, and learn from it."""
        if self._begun and (token != BOUNDARY or self._ends):
            self.shares.learn((-self._member_rows()[:, token]).tolist())
        if token == BOUNDARY:
            self.shares.begin_document()
        for one in self.members.values():
            one.read(token)
        self._begun, self._rows = True, None

    def model(self) -> LanguageModel:
        """Return a mixture of the members as they are now, with the present weights."""
        members = {name: one.model() for name, one in self.members.items()}
        adapted = MixtureModel(self._mixture.config, self._mixture.vocab_size, members)
        adapted.weights = torch.tensor(self.shares.shares, dtype=torch.float64, device=self._mixture.device)
        return adapted.eval()

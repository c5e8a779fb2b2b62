"""The n-gram model in the contract of all families: states are the ranks of the last tokens, nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgen.device import StepperPrecision
from seqgen.errors import RunError
from seqgen.models.base import IGNORED, LanguageModel, Stepper
from seqgen.models.config import NgramConfig
from seqgen.models.ngram.fit import FALLBACK, RANGE, Documents, fit_tables
from seqgen.models.ngram.tables import UNSEEN, Integers, NgramTables
from seqgen.models.state import State
from seqgen.tokenizers.config import TokenizerKind
from seqgen.utils.text import plural

MOST_ORDER: dict[TokenizerKind, int] = {"char": 10, "byte": 10, "word": 5, "unigram": 8, "bpe": 8}
"""The highest order that is chosen for a kind of tokens."""


@dataclass(frozen=True)
class NgramState(State):
    """The ranks of the last 1, 2, ... n - 1 tokens, int64 [B, n - 1]."""

    contexts: Tensor


class NgramModel(LanguageModel):
    """Kneser-Ney probabilities by lookups in numpy, in fp64, on the CPU."""

    config: NgramConfig

    def __init__(self, config: NgramConfig, vocab_size: int) -> None:
        super().__init__()
        if config.order is None:
            raise ValueError("the order of an n-gram model is chosen before it is built")
        self.config = config
        self.vocab_size = vocab_size
        self.burn_in = config.order - 1
        self._stored: dict[str, Tensor] = {}
        self._allocated_on = torch.empty(0).device  # "meta" for a skeleton
        self._tables: NgramTables | None = None

    @property
    def tables(self) -> NgramTables:
        """The n-grams and their counts."""
        if self._tables is None:
            self._tables = self._read_stored()
        return self._tables

    @tables.setter
    def tables(self, tables: NgramTables) -> None:
        levels = range(1, tables.order)
        self._stored = {
            "discounts": torch.from_numpy(tables.discounts),
            "ends": torch.tensor([tables.ends], dtype=torch.uint8),
            **{f"counts.{k + 1}": torch.from_numpy(tables.counts[k]) for k in range(tables.order)},
            **{f"tokens.{k + 1}": torch.from_numpy(tables.tokens[k]) for k in levels},
            **{f"children.{k}": torch.from_numpy(tables.children[k - 1]) for k in levels},
            **({f"sums.{k}": torch.from_numpy(tables.sums[k - 1]) for k in levels} if tables.sums else {}),
        }
        self._tables = tables

    def stored_tensors(self) -> dict[str, Tensor]:
        return self._stored

    def allocate(self, shapes: Mapping[str, Sequence[int]]) -> None:
        order = self.config.order or 0
        pruned = self.config.min_count > 1
        names = {f"counts.{k + 1}" for k in range(order)}
        names |= {f"{name}.{k + add}" for k in range(1, order) for name, add in (("tokens", 1), ("children", 0))}
        names |= {f"sums.{k}" for k in range(1, order)} if pruned else set()
        dtypes = {"discounts": torch.float64, "ends": torch.uint8, **dict.fromkeys(names, torch.int32)}
        expected = {"discounts": [order, 3], "ends": [1], "counts.1": [self.vocab_size]}
        self._tables = None
        self._stored = {
            name: torch.empty(expected.get(name, shapes.get(name, [0])), dtype=dtype, device=self._allocated_on)
            for name, dtype in dtypes.items()
        }

    def _read_stored(self) -> NgramTables:
        arrays = {name: tensor.numpy() for name, tensor in self._stored.items()}
        order = self.config.order or 0
        if not arrays:
            raise RunError("this n-gram model has not been fitted")
        return NgramTables(
            self.vocab_size,
            bool(arrays["ends"][0]),
            arrays["discounts"],
            [arrays[f"counts.{k}"] for k in range(1, order + 1)],
            [np.empty(0, np.int32), *(arrays[f"tokens.{k}"] for k in range(2, order + 1))],
            [arrays[f"children.{k}"] for k in range(1, order)],
            [arrays[f"sums.{k}"] for k in range(1, order)] if "sums.1" in arrays else [],
        )

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order."""
        return self.tables.sizes

    @property
    def notices(self) -> list[str]:
        """What the user should know of the fit, a sentence each."""
        notices, sizes = [], self.tables.sizes
        if not sizes[-1]:
            longest, rare = plural(sum(map(bool, sizes)), "token"), self.config.min_count
            notices.append(
                f"the text has no n-grams of more than {longest}: a lower --order gives the same model"
                if rare == 1
                else f"no n-gram of more than {longest} occurs {rare:,} times; a lower --min-count keeps some"
            )
        discounts = self.tables.discounts.tolist()
        fallen = [str(k) for k, row in enumerate(discounts, 1) if sizes[k - 1] and tuple(row) == FALLBACK]
        if fallen:
            notices.append(
                f"order {', '.join(fallen)}: too few n-grams occur once to four times to compute discounts, so "
                f"{', '.join(map(str, FALLBACK))} are used"
            )
        return notices

    def initial_state(self, batch_size: int, capacity: int) -> NgramState:
        del capacity  # the size of the state is fixed
        return NgramState(torch.full((batch_size, self.burn_in), UNSEEN))

    def forward(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, NgramState]:
        """Return ln p in fp64 as logits: of the documents' end, if it is not modeled, -inf."""
        return self.log_probs(tokens, state, starts)

    def log_probs(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, NgramState]:
        del starts  # 0 itself says where a document starts
        contexts, columns = self._contexts(state, len(tokens)), []
        for column in tokens.cpu().numpy().T:
            contexts = self.tables.read(contexts, column)
            columns.append(self.tables.distributions(contexts))
        return _log(np.stack(columns, axis=1), tokens.device), NgramState(torch.from_numpy(contexts))

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, NgramState]:
        del starts
        inputs, wanted = tokens.cpu().numpy(), targets.cpu().numpy()
        ignored = wanted == IGNORED
        following = np.concatenate([inputs[:, 1:], np.zeros_like(inputs[:, :1])], axis=1)
        wanted = np.where(ignored, following, wanted)
        probability, contexts = self.tables.walk(self._contexts(state, len(inputs)), inputs, wanted)
        nats = -_log(np.where(ignored, 1.0, probability), tokens.device)
        return nats, NgramState(torch.from_numpy(contexts))

    def last_logits(self, tokens: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, NgramState]:
        del starts
        contexts = self._contexts(state, len(tokens))
        for column in tokens.cpu().numpy().T:
            contexts = self.tables.read(contexts, column)
        return _log(self.tables.distributions(contexts), tokens.device), NgramState(torch.from_numpy(contexts))

    def _contexts(self, state: State | None, rows: int) -> Integers:
        state = self.initial_state(rows, 0) if state is None else state
        return cast("NgramState", state).contexts.numpy()

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        del precision  # the tables are fp64
        return _NgramStepper(self)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


class _NgramStepper(Stepper):
    """One lookup for each order, and the whole distribution."""

    def __init__(self, model: NgramModel) -> None:
        self._tables = model.tables

    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, NgramState]:
        del starts
        contexts = self._tables.read(cast("NgramState", state).contexts.numpy(), token.cpu().numpy())
        logits = _log(self._tables.distributions(contexts), token.device)
        return logits.float(), NgramState(torch.from_numpy(contexts))


def _log(probability: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    """Return ln p; -inf for what cannot occur."""
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(probability)).to(device)


def fit(
    config: NgramConfig,
    documents: Documents,
    vocab_size: int,
    *,
    tokenizer: TokenizerKind,
    models_ends: bool,
    validation: Documents | None = None,
    memory: float = math.inf,
) -> NgramModel:
    """Fit a model to documents; arguments and errors as of `fit_tables`.

    An order that the config leaves open is chosen by the validation documents, if there are some, and if the text is
    not so long that it would take long; else by the length of the text. The model's config has it.
    """
    order, tokens = config.order, len(documents[0])
    chosen = validation if order is None and tokens <= RANGE else None
    if order is None:
        order = MOST_ORDER[tokenizer] if chosen is not None else default_order(tokenizer, tokens)
    tables = fit_tables(
        documents,
        vocab_size,
        order,
        models_ends=models_ends,
        min_count=config.min_count,
        memory=memory,
        validation=chosen,
    )
    model = NgramModel(config.model_copy(update={"order": tables.order}), vocab_size)
    model.tables = tables
    return model


def default_order(tokenizer: TokenizerKind, tokens: int) -> int:
    """Return an order for a text of so many tokens: one more for ten times the text; docs/lab-notes.md."""
    highest = MOST_ORDER[tokenizer] - 2  # suits a million and more
    return max(3, highest - max(0, 6 - len(str(max(1, tokens)))))

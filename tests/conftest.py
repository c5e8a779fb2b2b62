"""Shared fixtures: a small text, a small model of each family, and isolation between tests."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

import seqgen
from seqgen import models
from seqgen.models.base import LanguageModel
from seqgen.models.config import (
    FamilyConfig,
    GruConfig,
    GruTranslateConfig,
    LstmConfig,
    LstmTranslateConfig,
    NgramConfig,
    RnnConfig,
    RnnTranslateConfig,
    TransformerConfig,
    TransformerTranslateConfig,
)
from seqgen.models.ngram.fit import fit_tables
from seqgen.models.ngram.model import NgramModel
from seqgen.models.registry import FAMILIES, MixtureConfig

from .small_runs import NEURAL, PAIRS, SMALL, SMALL_RUNS

# Small models gain nothing from threads, and lose much on a busy machine.
torch.set_num_threads(1)

hypothesis_settings.register_profile("seqgen", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis_settings.register_profile(
    "campaign", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow], database=None
)
hypothesis_settings.load_profile("seqgen")

CONFIGS: dict[str, FamilyConfig] = {
    **{cell: family.config(hidden_size=16, layers=2) for cell, family in FAMILIES.items() if cell in NEURAL},
    "lstm": LstmConfig(hidden_size=16, layers=2, embedding_size=8),
    "window": FAMILIES["window"].config(hidden_size=16, layers=2, context_size=6),
    "lstm-tied": LstmConfig(hidden_size=16, tie_weights=True),
    "gru-before": GruConfig(hidden_size=16, layers=2, gru_reset="before"),
    "transformer": TransformerConfig(hidden_size=32, layers=2, heads=2, block_size=8),
    "ngram": NgramConfig(order=3),
    "lstm+ngram": MixtureConfig(members={"lstm": LstmConfig(hidden_size=16), "ngram": NgramConfig(order=3)}),
    "lstm+transformer": MixtureConfig(
        members={
            "lstm": LstmConfig(hidden_size=16),
            "transformer": TransformerConfig(hidden_size=32, layers=1, heads=2, block_size=16),
        }
    ),
    "transformer-sinusoidal": TransformerConfig(
        hidden_size=32, layers=2, heads=2, block_size=64, positions="sinusoidal", tie_weights=True
    ),
}
"""A small model of every family that continues a text, and of its forms, by the name in test ids."""

ACTIVATIONS: dict[str, FamilyConfig] = {
    "rnn-relu": RnnConfig(hidden_size=16, layers=2, activation="relu"),
    "rnn-sigmoid": RnnConfig(hidden_size=16, layers=2, activation="sigmoid"),
}
"""The rnn with other activations. The laws of models hold for them too (with `-m slow`); other code cannot tell them
apart."""

TRANSLATORS: dict[str, FamilyConfig] = {
    "lstm-translate": LstmTranslateConfig(hidden_size=16, layers=2, embedding_size=8),
    "gru-translate": GruTranslateConfig(hidden_size=16, layers=2, input_feeding=True),
    "rnn-translate": RnnTranslateConfig(hidden_size=16, attention="none", two_way=False, tie_weights=True),
    "transformer-translate": TransformerTranslateConfig(hidden_size=32, layers=2, heads=2),
    "rope-translate": TransformerTranslateConfig(hidden_size=32, heads=2, positions="rope", tie_weights=True),
}
"""A small encoder-decoder of every family, and of its forms."""

MODELS = CONFIGS | ACTIVATIONS | TRANSLATORS
ENLARGED = {"rnn-relu": 1.0}
"""The factor of the matrices, where it is not 2: the states of a relu would grow from token to token."""

neural = pytest.mark.parametrize(
    "model", [name for name, config in CONFIGS.items() if FAMILIES[config.cell].neural], indirect=True
)
"""Only families with hidden vectors and gradients."""
trained = pytest.mark.parametrize(
    "model",
    [name for name, config in (CONFIGS | TRANSLATORS).items() if FAMILIES[config.cell].neural],
    indirect=True,
)
"""All families that are trained by gradients, encoder-decoders included."""


def first_with_every_model(
    names: str, cases: Sequence[Sequence[Any]], few: Sequence[str] = ("lstm", "transformer")
) -> pytest.MarkDecorator:
    """Parametrize a test by `model` and `names`: the first case with every model of `CONFIGS`, the others with `few`.

    For faults of the code around a model, which do not depend on its family.
    """
    first, *others = cases
    pairs = [*((model, *first) for model in CONFIGS), *((model, *case) for model in few for case in others)]
    return pytest.mark.parametrize(f"model, {names}", pairs, indirect=["model"])


def some_by_default(names: Iterable[str], some: Collection[str]) -> list[Any]:
    """Return parameters: `some` of the names run by default, the others with `-m slow`."""
    return [pytest.param(name, marks=[] if name in some else pytest.mark.slow) for name in names]


VOCAB_SIZE = 11

TEXT = "".join(
    f"{subject} {verb} the {thing}.\n"
    for subject in ("The sailor", "A child", "My uncle", "The old king", "No one")
    for verb in ("watches", "forgets", "paints", "follows")
    for thing in ("river", "quiet moon", "garden gate", "seventh door", "rain", "letter", "harbour", "bread")
)
"""160 short sentences, over 4,320 characters: enough for a training and a validation part."""


def build_model(name: str, *, seed: int = 0, vocab_size: int = VOCAB_SIZE) -> LanguageModel:
    """Build the model `name` of `MODELS`, with enlarged matrices: every weight affects the logits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.build(MODELS[name], vocab_size).eval()
        fit_members(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(ENLARGED.get(name, 2.0))
    return model


def fit_members(model: LanguageModel) -> None:
    """Fit each n-gram model in `model` to a text of random tokens."""
    for module in model.modules():
        if isinstance(module, NgramModel):
            size = module.vocab_size
            ids = np.random.default_rng(0).zipf(1.5, 500) % (size - 1) + 1
            module.tables = fit_tables(
                (ids, np.array([0, 200, 500]), np.ones(2, bool)), size, module.burn_in + 1, models_ends=True
            )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Restore one thread after each test (numba changes it): runs record the number of threads."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


FORMS = {"lstm-tied", "gru-before", "lstm+transformer", "transformer-sinusoidal"}
"""Models that differ from another one of `CONFIGS` in a setting: the laws hold them by default, other tests if slow."""


@pytest.fixture(params=some_by_default(CONFIGS, CONFIGS.keys() - FORMS))
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """A small model of each family."""
    return build_model(request.param)


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a cache separate from the user's, and find the texts of files that were just written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("seqgen.data.cache.cache.SETTLED_SECONDS", 0.0)
        yield


@pytest.fixture(autouse=True, scope="session")
def _quick_runs() -> Iterator[None]:
    """Skip fsync and shorten the samples of training in this process: both take longer than the steps of small runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # raises OSError for a closed file, as fsync does
        patch.setattr("seqgen.training.samples.SAMPLE_TOKENS", 20)
        yield


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """`TEXT` in a file."""
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """`PAIRS` in a file."""
    path = tmp_path / "pairs.tsv"
    path.write_text(PAIRS, encoding="utf-8", newline="")
    return path


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=SMALL_RUNS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a small run of each family."""
    return {**SMALL, **SMALL_RUNS[request.param]}


@pytest.fixture(scope="session")
def _straight_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("straight")


@pytest.fixture
def straight(corpus: Path, _straight_runs: Path, settings: dict[str, Any]) -> Path:
    """An uninterrupted run of each family; do not change it."""
    path = _straight_runs / settings["cell"]
    if not path.exists():
        seqgen.train(corpus, out=path, **settings).run()
    return path


@pytest.fixture(autouse=True)
def _random_state() -> Iterator[None]:
    """Isolate the random state of each test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield

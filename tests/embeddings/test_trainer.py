"""Steps, learning rates and the choice of the engine."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from seqgen.embeddings import trainer as trainer_module
from seqgen.embeddings.config import EmbeddingModelConfig, EmbeddingTrainingConfig
from seqgen.embeddings.state import first_state
from seqgen.embeddings.trainer import EmbeddingTrainer, choose_engine
from seqgen.errors import ConfigError, TrainingError


@pytest.fixture
def make(corpus, monkeypatch):
    """Make a trainer whose steps have about 33 words, of a corpus of 100."""
    monkeypatch.setitem(trainer_module.STEP_WORDS, "torch", 33)

    def made(**training):
        state = first_state(60, 4, seed=0)
        config = EmbeddingTrainingConfig(**{"lr": 0.2, **training})
        return EmbeddingTrainer(corpus, EmbeddingModelConfig(vector_size=4), config, state, "torch"), state

    return made


def test_rate_falls_linearly_by_words(make):
    trainer, _ = make(epochs=2)

    taken = [trainer.take(step) for step in range(trainer.total_steps)]

    assert trainer.steps_per_epoch == 3
    assert [step.words for step in taken] == [40, 26, 34] * 2
    begins = np.cumsum([0, *(step.words for step in taken)])[:-1]
    assert [step.rate for step in taken] == pytest.approx((0.2 * (1 - begins / 200)).tolist())


def test_rate_falls_by_time_where_that_is_further(make):
    trainer, _ = make(max_time=10.0)
    both, _ = make(max_time=10.0, epochs=1)

    assert trainer.total_steps is None
    assert trainer.take(0, share=0.25).rate == pytest.approx(0.15)
    assert both.take(1, share=0.25).rate == pytest.approx(0.2 * 0.6)
    assert trainer.take(1, share=1.2).rate == pytest.approx(0.2e-4)


def test_step_depends_on_its_number_alone(make):
    (first, one), (second, other) = make(epochs=2), make(epochs=2)

    for step in (0, 4):
        first.take(step)
        second.take(step)
    np.testing.assert_array_equal(one.vectors, other.vectors)
    first.take(1)
    second.take(2)
    assert (one.vectors != other.vectors).any()


def test_loss_that_is_not_finite_names_the_step(make):
    trainer, state = make()
    state.contexts[:] = np.nan

    with pytest.raises(TrainingError, match="step 2"):
        trainer.take(1)


def test_engine_is_numba_where_it_is_installed(monkeypatch):
    model, auto = EmbeddingModelConfig(), EmbeddingTrainingConfig()
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert choose_engine(model, auto) == "numba"
    assert choose_engine(EmbeddingModelConfig(loss="softmax"), auto) == "torch"
    monkeypatch.setitem(sys.modules, "numba", None)
    assert choose_engine(model, auto) == "torch"


def test_engine_numba_is_refused_for_the_softmax_and_where_it_is_not_installed(monkeypatch):
    model, numba = EmbeddingModelConfig(), EmbeddingTrainingConfig(engine="numba")
    assert choose_engine(model, numba) == "numba"
    with pytest.raises(ConfigError, match="softmax"):
        choose_engine(EmbeddingModelConfig(loss="softmax"), numba)

    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "seqgen.embeddings.kernels", raising=False)
    monkeypatch.delattr("seqgen.embeddings.kernels", raising=False)
    with pytest.raises(ConfigError, match=r"^engine: .*seqgen\[fast\].*--engine torch"):
        choose_engine(model, numba)

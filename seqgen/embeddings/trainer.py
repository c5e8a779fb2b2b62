"""Train word vectors a step at a time: which blocks, at which rate, by which engine. No torch with numba."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqgen.embeddings.config import EmbeddingModelConfig, EmbeddingTrainingConfig
from seqgen.embeddings.corpus import BLOCK_WORDS, WordCorpus
from seqgen.embeddings.draws import epoch_key, stride
from seqgen.embeddings.state import EmbeddingState
from seqgen.errors import ConfigError, TrainingError

STEP_WORDS = {"numba": 320_000, "torch": 20_000, "softmax": BLOCK_WORDS}
"""Words of a step by engine: about half a second, after which a run can end or save."""
PARTS = 4
"""Parts of a step for each thread: a thread that is ready early takes the next one."""
LOWEST_RATE = 1e-4
"""The share of the first learning rate below which it does not fall, as in word2vec.c."""
Learn = Callable[[tuple[int, int], int, npt.NDArray[np.float64]], tuple[float, int]]
"""Learns blocks, with the key of the epoch and the rate of each; returns the sum of losses, and their number."""


class Step(NamedTuple):
    """What a step has learned."""

    words: int
    nats: float
    """The mean loss of a prediction."""
    rate: float
    """The learning rate of its first block."""


class EmbeddingTrainer:
    """Trains the vectors of a state in place.

    What step `n` does depends on the settings, the text and `n` alone, if it runs on one thread and is not timed.

    Raises:
        ConfigError: numba is asked for, and cannot be used here.
    """

    def __init__(
        self,
        corpus: WordCorpus,
        model: EmbeddingModelConfig,
        training: EmbeddingTrainingConfig,
        state: EmbeddingState,
        engine: str,
    ) -> None:
        self._corpus, self._training = corpus, training
        words = STEP_WORDS[engine if model.loss == "negative" else model.loss]
        marks = np.arange(words, corpus.starts[-1], words)
        self._cuts = np.unique([0, *np.searchsorted(corpus.starts, marks), len(corpus.starts) - 1]).tolist()
        self.steps_per_epoch = len(self._cuts) - 1
        make = compiled_learner if engine == "numba" else plain_learner
        self._learn = make(corpus, model, training, state)
        if training.lr is None:
            raise ValueError("the learning rate is not chosen yet")
        self._rate = training.lr

    @property
    def total_steps(self) -> int | None:
        """How many steps the epochs have; None where the time alone ends the run."""
        epochs = self._training.total_epochs
        return None if epochs is None else epochs * self.steps_per_epoch

    def take(self, step: int, share: float = 0.0) -> Step:
        """Take step `step`, counted from 0; `share` is the share of the time that is over, of a timed run.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        epoch, part = divmod(step, self.steps_per_epoch)
        first, last = self._cuts[part], self._cuts[part + 1]
        starts = self._corpus.starts
        rates = self._rates(epoch, starts[first:last], share)
        loss, count = self._learn((first, last), epoch_key(self._training.seed, epoch), rates)
        if not math.isfinite(loss):
            raise TrainingError(f"step {step + 1}: the loss is {loss}; use a smaller --lr")
        return Step(int(starts[last] - starts[first]), loss / max(count, 1), float(rates[0]))

    def _rates(self, epoch: int, begins: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.float64]:
        """Return the learning rate of blocks that begin at these words of an epoch."""
        epochs, words = self._training.total_epochs, int(self._corpus.starts[-1])
        done = np.zeros(len(begins)) if epochs is None else (epoch * words + begins) / (epochs * words)
        return self._rate * np.maximum(1.0 - np.maximum(done, share), LOWEST_RATE)


def choose_engine(model: EmbeddingModelConfig, training: EmbeddingTrainingConfig) -> str:
    """Return numba or torch.

    Raises:
        ConfigError: numba is asked for, and cannot be used for this, or not here.
    """
    if model.loss == "softmax":
        if training.engine == "numba":
            raise ConfigError("engine: numba trains by negative sampling only; leave --engine out with --loss softmax")
        return "torch"
    if training.engine == "auto":
        try:
            import numba  # noqa: F401
        except ImportError:
            return "torch"
        return "numba"
    check_engine(training.engine)
    return training.engine


def check_engine(engine: str) -> None:
    """Refuse numba where it cannot be used.

    Raises:
        ConfigError: it is not installed, or finds no directory for its cache.
    """
    if engine == "numba":
        _load_kernels()


def compiled_learner(
    corpus: WordCorpus, model: EmbeddingModelConfig, training: EmbeddingTrainingConfig, state: EmbeddingState
) -> Learn:
    """Return the learner that numba compiles; it is compiled now.

    Raises:
        ConfigError: numba is not installed, or cannot write its cache.
    """
    kernels = _load_kernels()
    train_blocks = kernels.compile_for(model.vector_size)
    accept, alias = corpus.vocabulary.noise
    kept, skipgram = corpus.vocabulary.kept(training.sample), model.method == "skipgram"

    def learn_part(first: int, last: int, key: int, rates: npt.NDArray[np.float32]) -> tuple[float, int]:
        result: tuple[float, int] = train_blocks(
            corpus.rows, corpus.starts, first, last, np.uint64(key), np.uint64(stride(model)), kept, accept, alias,
            state.vectors, state.contexts, kernels.SIGMOID, skipgram, model.window, model.negative, rates,
        )  # fmt: skip
        return result

    def learn(blocks: tuple[int, int], key: int, rates: npt.NDArray[np.float64]) -> tuple[float, int]:
        first, last = blocks
        wanted = 1 if training.threads == 1 else PARTS * training.threads
        cuts = np.linspace(first, last, min(wanted, last - first) + 1).astype(int).tolist()
        parts = [
            (begin, end, key, rates[begin - first : end - first].astype(np.float32)) for begin, end in pairwise(cuts)
        ]
        if len(parts) == 1:
            return learn_part(*parts[0])
        losses, counts = zip(*pool.map(lambda part: learn_part(*part), parts), strict=True)
        return sum(losses), sum(counts)

    pool = ThreadPoolExecutor(training.threads)
    try:
        learn_part(0, 0, 0, np.empty(0, np.float32))  # compiles
    except OSError as error:
        raise ConfigError(
            f"engine: numba cannot write its cache: {error}; free some space, or set NUMBA_CACHE_DIR to another "
            "directory"
        ) from error
    return learn


def _load_kernels() -> ModuleType:
    try:
        from seqgen.embeddings import kernels
    except ModuleNotFoundError as error:
        raise ConfigError(
            "engine: numba is not installed; pip install 'seqgen[fast]', or start a new run with --engine torch"
        ) from error
    except (ImportError, RuntimeError) as error:  # RuntimeError: numba found no cache directory
        raise ConfigError(f"engine: numba cannot be used here: {error}; start a new run with --engine torch") from error
    return kernels


def plain_learner(
    corpus: WordCorpus, model: EmbeddingModelConfig, training: EmbeddingTrainingConfig, state: EmbeddingState
) -> Learn:
    """Return the learner in plain torch."""
    from seqgen.embeddings.batches import train_in_batches

    kept = corpus.vocabulary.kept(training.sample)

    def learn(blocks: tuple[int, int], key: int, rates: npt.NDArray[np.float64]) -> tuple[float, int]:
        return train_in_batches(
            corpus, model, kept, state.vectors, state.contexts, blocks, key, rates.tolist(), training.threads
        )

    return learn

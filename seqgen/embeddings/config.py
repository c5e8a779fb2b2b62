"""The settings of word vectors and of their training. No torch, no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from seqgen.config import MODEL, TEXT, TRAINING, Config, setting
from seqgen.training.config import MOST_THREADS, Count, Duration

DEFAULT_EPOCHS = 5
RATES = {"cbow": 0.075, "skipgram": 0.025}
"""First learning rates. That of CBOW is for its true gradient, which is that of word2vec.c divided by the number of
context words (Irsoy, Benton and Stratos, 2021)."""


class EmbeddingModelConfig(Config):
    """What is learned: which words get a vector, and from what.

    Each word has a vector, and a second one as a word that is predicted, as in word2vec.
    """

    method: Literal["cbow", "skipgram"] = setting(
        "cbow",
        "cbow predicts a word from the mean of the vectors around it, skipgram from each of them by itself.",
        MODEL,
    )
    loss: Literal["negative", "softmax"] = setting(
        "negative",
        "negative scores a few noise words for each prediction; softmax scores all words, for small vocabularies.",
        MODEL,
    )
    vector_size: int = setting(100, "Number of dimensions of a vector.", MODEL, ge=1, le=4096)
    window: int = setting(
        5, "Words on each side, at most: for each word a width is drawn from 1 to this.", MODEL, ge=1, le=1000
    )
    negative: int = setting(5, "Noise words for each prediction (--loss negative).", MODEL, ge=1, le=100)
    min_count: int = setting(5, "Leave out words that occur fewer times than this.", TEXT, ge=1)
    lowercase: bool = setting(False, "Count words that differ only in case as one word.", TEXT)

    @property
    def name(self) -> str:
        """The name of the model, as the name of a run has it."""
        return self.method

    @property
    def shape(self) -> str:
        """The size of the model."""
        return f"{self.vector_size}d"


class EmbeddingTrainingConfig(Config):
    """How vectors are trained: over `epochs` passes, for `max_time`, or until the first of the two ends."""

    epochs: Count | None = setting(
        None,
        "Passes over the text.",
        TRAINING,
        shown=f"{DEFAULT_EPOCHS}; with --max-time as many as it takes",
    )
    max_time: Duration | None = setting(
        None, "Training time: 90s, 5m, 1h.", TRAINING, metavar="TIME", accepts=float | str | None
    )
    lr: float | None = setting(
        None,
        "First learning rate; it falls linearly to almost 0.",
        TRAINING,
        shown=f"{RATES['cbow']}; skipgram {RATES['skipgram']}",
        gt=0.0,
    )
    sample: float = setting(
        0.001, "Leave out words at random that are more than 2.6 times this share of the text; 0 is off.",
        TRAINING, ge=0.0, le=1.0,
    )  # fmt: skip
    seed: int = setting(0, "Random seed.", TRAINING, ge=0, lt=2**63)
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] = setting(
        1, "CPU threads. Several are faster, but then no two runs are the same.", TRAINING
    )
    engine: Literal["auto", "numba", "torch"] = setting(
        "auto", "numba compiles the training; auto uses it where it is installed, and torch elsewhere.", TRAINING
    )

    @property
    def total_epochs(self) -> int | None:
        """How many passes at most; None where the time alone decides."""
        return self.epochs or (None if self.max_time is not None else DEFAULT_EPOCHS)

"""Load the word vectors of a run. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pydantic_core

from seqgen.embeddings.corpus import Vocabulary
from seqgen.embeddings.state import EmbeddingState, load_state
from seqgen.embeddings.vectors import WordVectors
from seqgen.errors import RunError
from seqgen.runs.directory import RunDirectory, find_run
from seqgen.runs.embeddings.config import EmbeddingRunConfig
from seqgen.utils.files import read_at_most

MAX_VOCABULARY_BYTES = 1 << 28
"""A million long words."""


def load_embeddings(path: str | Path | None = None) -> WordVectors:
    """Load the word vectors of a run of `seqgen embed train`; of the newest one, if `path` is None.

    Raises:
        RunError: there is no such run, it has not been trained, or one of its files is missing, damaged or of another
            run.
    """
    directory = find_run(path, kinds=(EmbeddingRunConfig,))
    config = directory.read_embedding_config()
    vocabulary, state = read_vocabulary(directory, config), read_state(directory, config)
    if not state.progress.step:
        raise RunError(
            f"{directory.path} has random vectors: its training ended before the first step; continue it with "
            f"`seqgen embed train --resume --out {directory.path}`, or name another run"
        )
    return WordVectors(vocabulary.words, state.vectors, vocabulary.counts)


def read_state(directory: RunDirectory, config: EmbeddingRunConfig) -> EmbeddingState:
    """Read the vectors of a run and how far it has come; raises a RunError as `load_embeddings` does."""
    return load_state(directory.vectors, (config.text.vocabulary, config.model.vector_size), config.identity)


def read_vocabulary(directory: RunDirectory, config: EmbeddingRunConfig) -> Vocabulary:
    """Read the words of a run; raises a RunError as `load_embeddings` does."""
    try:
        content = read_at_most(directory.vocabulary, MAX_VOCABULARY_BYTES)
    except FileNotFoundError as error:
        raise RunError(f"{directory.vocabulary} is missing: the run was copied only in part") from error
    except OSError as error:
        raise RunError(f"{directory.vocabulary} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != config.text.vocabulary_sha256:
        raise RunError(f"{directory.vocabulary} is not as this run wrote it; restore it from a backup")
    values = pydantic_core.from_json(content)
    return Vocabulary(values["words"], values["counts"])

"""The file of a run's vectors, which is its checkpoint too: both matrices, and how far the training has come. No torch.

Its header has a SHA-256 over the numbers, the progress and the identity of the run, so that damaged files and those of
other runs are refused. It is replaced as a whole, so a run always has one that is complete.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from seqgen.config import Config
from seqgen.embeddings.vectors import Matrix
from seqgen.errors import ConfigError, RunError
from seqgen.utils.files import open_regular_file, write_atomically

NAMES = ("vectors", "contexts")
_HEADER = "seqgen"


class EmbeddingProgress(Config):
    """How far a run has come."""

    step: int
    seconds: float
    metrics_bytes: int
    """Length of metrics.jsonl."""


class _Header(Config):
    sha256: str
    progress: EmbeddingProgress


@dataclass(frozen=True, eq=False)
class EmbeddingState:
    """The vectors of the words [V, D], their vectors as words that are predicted [V, D], and the progress."""

    vectors: Matrix
    contexts: Matrix
    progress: EmbeddingProgress


def first_state(words: int, size: int, seed: int) -> EmbeddingState:
    """Return the state before the first step, as in word2vec.c: vectors drawn from ±1 / 2D, contexts of 0."""
    drawn = np.random.default_rng(seed).random((words, size), np.float32)
    vectors = (drawn - np.float32(0.5)) / np.float32(size)
    return EmbeddingState(vectors, np.zeros_like(vectors), EmbeddingProgress(step=0, seconds=0.0, metrics_bytes=0))


def save_state(path: Path, state: EmbeddingState, identity: str) -> None:
    """Write the state of the run with this identity, atomically.

    Raises:
        SaveError: it cannot be written; the file before it is unchanged.
    """
    header = _Header(sha256=_hash(state, identity), progress=state.progress)
    arrays = {name: np.ascontiguousarray(getattr(state, name)) for name in NAMES}
    write_atomically(path, safetensors.numpy.save(arrays, metadata={_HEADER: header.model_dump_json()}))


def load_state(path: Path, shape: tuple[int, int], identity: str) -> EmbeddingState:
    """Read the state of the run with this identity, whose matrices have this shape.

    Raises:
        RunError: the file is missing, damaged, or belongs to another run.
    """
    try:
        open_regular_file(path).close()
        with safetensors.safe_open(path, framework="numpy") as file:
            if set(file.keys()) != set(NAMES):
                raise RunError(f"{path} does not have the matrices of word vectors; restore it from a backup")
            for name in NAMES:
                found = file.get_slice(name)
                if (tuple(found.get_shape()), found.get_dtype()) != (shape, "F32"):
                    raise RunError(
                        f"{path}: {name} has shape {found.get_shape()} and dtype {found.get_dtype()}, but config.json "
                        f"describes {list(shape)} and F32; restore it from a backup"
                    )
            header = _Header.from_json((file.metadata() or {}).get(_HEADER, ""), str(path))
            state = EmbeddingState(*(file.get_tensor(name) for name in NAMES), header.progress)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the run was copied only in part") from error
    except (safetensors.SafetensorError, OSError, ConfigError) as error:
        raise RunError(f"{path} is not a whole file of word vectors ({error}); restore it from a backup") from error
    if header.sha256 != _hash(state, identity):
        raise RunError(
            f"{path} is not as this run wrote it: it is damaged or from another run, or config.json was changed; "
            "restore both from a backup"
        )
    return state


def _hash(state: EmbeddingState, identity: str) -> str:
    digest = hashlib.sha256(f"{identity} {state.progress.model_dump_json()}".encode())
    for name in NAMES:
        digest.update(np.ascontiguousarray(getattr(state, name)).data)
    return digest.hexdigest()

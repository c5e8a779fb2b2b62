"""Read vectors from a run of any kind, or from a file. No torch for those of word vectors and for files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seqgen.embeddings.vectors import WordVectors, read_text
from seqgen.errors import ConfigError, RunError
from seqgen.runs.directory import RUNS, RunDirectory, find_runs
from seqgen.runs.embeddings.config import EmbeddingRunConfig
from seqgen.runs.embeddings.load import load_embeddings


def newest_source() -> Path:
    """Return the newest run of word vectors in runs/, or without one the newest trained run.

    Raises:
        RunError: there is none.
    """
    found = [(run.path, config) for run, config in find_runs() if run.has_weights and not isinstance(config, RunError)]
    of_words = [path for path, config in found if isinstance(config, EmbeddingRunConfig)]
    candidates = of_words or [path for path, _ in found]
    if not candidates:
        raise RunError(
            f"no trained run in {RUNS}/ here; train word vectors with `seqgen embed train FILE`, or name a run with "
            "--run, or name a file with --vectors"
        )
    return candidates[-1]


def read_vectors(
    source: str | Path, member: str | None = None, note: Callable[[str], None] = lambda _: None
) -> WordVectors:
    """Return the vectors of a run, or if `source` is not a directory, of a file in the text format of word2vec.

    Of a run that is not of word vectors, they are the input embedding of its model, by the pieces of its tokenizer.

    Args:
        source: the directory or the file.
        member: the member of a mixture; None is the only one with an embedding.
        note: receives what was left out of a file, as a sentence.

    Raises:
        TextError: the file cannot be read or has another format.
        RunError: the directory is not a complete run.
        ConfigError: the model has no embedding, or several, or the source has no members.
    """
    path = Path(source)
    has_members = path.is_dir() and not isinstance(RunDirectory(path).read_any_config(), EmbeddingRunConfig)
    if has_members:
        from seqgen.runs.embeddings.model import load_input_embedding

        return load_input_embedding(path, member)
    if member is not None:
        raise ConfigError(f"member: {source} has no members; leave it out")
    return load_embeddings(path) if path.is_dir() else read_text(path, note)

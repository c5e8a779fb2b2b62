"""The input embedding of a trained model as vectors of the pieces of its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn

from seqgen.embeddings.corpus import word_of
from seqgen.embeddings.vectors import WordVectors
from seqgen.errors import ConfigError
from seqgen.models.mixture import MixtureModel
from seqgen.runs.load import load
from seqgen.runs.run import Run
from seqgen.tokenizers.base import Tokenizer


def load_input_embedding(path: str | Path, member: str | None = None) -> WordVectors:
    """Load the input embedding of a trained run, or of a member of a mixture.

    Raises:
        RunError: it is not a run, or is not complete.
        ConfigError: the model has no embedding, or several and none is chosen.
    """
    run: Run = load(path, device="cpu")
    return token_vectors(run.tokenizer, find_embedding(run, member))


def token_vectors(tokenizer: Tokenizer, embedding: nn.Embedding) -> WordVectors:
    """Return the rows of an embedding by the pieces of its tokenizer, without those that are white space alone.

    Two pieces that are written alike have the vector of the first.
    """
    ids: dict[str, int] = {}
    for token in range(tokenizer.vocab_size):
        if (word := word_of(tokenizer, token)) is not None:
            ids.setdefault(word, token)
    return WordVectors(list(ids), embedding.weight.detach().float().numpy()[list(ids.values())])


def find_embedding(run: Run, member: str | None = None) -> nn.Embedding:
    """Return the embedding of a run's model, or of a member; errors as of `load_input_embedding`."""
    model = run.model
    parts = dict(model.members.items()) if isinstance(model, MixtureModel) else {run.config.model.name: model}
    found = {
        name: cast("nn.Embedding", part.get_submodule("embedding"))
        for name, part in parts.items()
        if "embedding" in dict(part.named_children())
    }
    if not found:
        raise ConfigError(f"run: {run.path} is a model of {' + '.join(parts)}, without an embedding; name another run")
    if member is None and len(found) > 1:
        raise ConfigError(f"member: {run.path} has several embeddings, of {', '.join(found)}; choose one with --member")
    if member is not None and member not in found:
        raise ConfigError(f"member: {run.path} has no {member} with an embedding, only {', '.join(found)}")
    return found[member or next(iter(found))]

"""Trace a text: what a trained model computes at each of its tokens, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from seqgen.device import evaluation_mode
from seqgen.errors import ConfigError, TextError
from seqgen.models.base import NeuralModel
from seqgen.models.registry import FAMILIES
from seqgen.models.state import State
from seqgen.runs.text import TextRun
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer

CHUNK = 512
"""Tokens in one call of the model; the state is carried from each to the next."""
LONGEST_TOKEN = 100
"""Characters of a token, about, at most: a longer text is cut before it is encoded."""


@dataclass(frozen=True, eq=False)
class TextTrace:
    """What a model computes after reading each of the N tokens of a text."""

    tokens: list[str]
    """The characters of each token; together they are the text."""
    ids: Ids
    """[N]."""
    values: dict[str, npt.NDArray[np.float32]]
    """[N, ...] each, by the names of `model.trace`: `layers.0.hidden`, `layers.0.forget`, ..."""


def neural_part(run: TextRun, member: str | None = None) -> TextRun:
    """Return the run itself, or of a mixture its member that was trained by gradients.

    Args:
        run: any run that continues texts.
        member: the member's name; None is the only one that was trained by gradients.

    Raises:
        ConfigError: the member does not exist, several could be meant, or the model has no hidden states.
    """
    parts = run.members or {run.config.model.cell: run}
    neural = [name for name, part in parts.items() if FAMILIES[part.config.model.cell].neural]
    if member is None and len(neural) == 1:
        return parts[neural[0]]
    if not neural:
        raise ConfigError(
            f"run: {run.path} is a model of {' + '.join(parts)}, which has no hidden states and no gradients; name "
            "another run"
        )
    if member is None:
        raise ConfigError(f"member: {run.path} has several, {', '.join(neural)}; choose one with --member")
    if member not in neural:
        raise ConfigError(f"member: {run.path} has no {member} with hidden states, only {', '.join(neural)}")
    return parts[member]


def part_name(run: TextRun, part: TextRun, name: str = "") -> str:
    """Return how a part of a run is called: as the run, or of a mixture `lstm of runs/novel-lstm+ngram`.

    Args:
        run: the run.
        part: what `neural_part` returns of it.
        name: of the run; by default its path.
    """
    name = name or str(run.path)
    return name if part.path == run.path else f"{part.path.name} of {name}"


def cut_tokens(run: TextRun, text: str, most: int) -> str:
    """Return a text, or its first `most` tokens if it has more."""
    begin = text[: most * LONGEST_TOKEN]
    tokens = run.tokenizer.token_texts(begin)
    return begin if len(tokens) <= most else "".join(tokens[:most])


def fit_positions(run: TextRun, documents: Sequence[str]) -> list[str]:
    """Return documents that are not empty, those longer than the model's positions in parts that fit into them."""
    limit = run.model.max_positions
    if limit is None:
        return [document for document in documents if document]
    return [part for document in documents for part in _parts(run.tokenizer, document, limit - 1)]


def _parts(tokenizer: Tokenizer, document: str, most: int) -> Iterator[str]:
    """Yield parts of a document that have at most `most` tokens."""
    tokens, start = tokenizer.token_texts(document), 0
    while start < len(tokens):
        size = most
        # Alone, a part may have other tokens than in the document.
        while size > 1 and len(tokenizer.encode("".join(tokens[start : start + size]))) > most:
            size -= 1
        if part := "".join(tokens[start : start + size]):
            yield part
        start += size


def trace_text(run: TextRun, text: str, *patterns: str) -> TextTrace:
    """Trace one document, with the state carried through it.

    Args:
        run: a run whose model is neural; `neural_part` returns it.
        text: the document.
        patterns: the names to keep, as file name patterns: `layers.*.hidden`.

    Raises:
        TextError: the text is empty, or longer than the model's positions.
    """
    kept: dict[str, list[npt.NDArray[np.float32]]] = {}
    for chunk in trace_chunks(run, text, *patterns):
        for name, value in chunk.items():
            kept.setdefault(name, []).append(value)
    values = {name: np.concatenate(parts) for name, parts in kept.items()}
    return TextTrace(run.tokenizer.token_texts(text), run.tokenizer.encode(text), values)


def encode_whole(run: TextRun, text: str) -> Ids:
    """Return the ids of a text that the model can read at once, after the boundary.

    Raises:
        TextError: the text is empty, or longer than the model's positions.
    """
    ids = run.tokenizer.encode(text)
    if not len(ids):
        raise TextError("the text is empty; give a text, or name a file with one")
    limit = run.model.max_positions
    if limit is not None and len(ids) + 1 > limit:
        raise TextError(
            f"the text has {len(ids):,} tokens, more than the {limit - 1:,} positions of {run.path}; give a shorter one"
        )
    return ids


def trace_chunks(run: TextRun, text: str, *patterns: str) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Yield what `trace_text` returns, a part of the tokens at a time; arguments and errors as there."""
    ids = encode_whole(run, text)
    begin = 1  # without the boundary
    for chunk in _chunks(run, ids):
        yield {
            name: value[0, begin:].float().cpu().numpy()
            for name, value in chunk.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        begin = 0


def _chunks(run: TextRun, ids: Ids) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the traces of the boundary and the text, a part at a time."""
    model = cast("NeuralModel", run.model)
    inputs = np.concatenate([np.array([BOUNDARY], ids.dtype), ids]).astype(np.int64)
    state: State = model.initial_state(1, len(inputs))
    for start in range(0, len(inputs), CHUNK):
        tokens = torch.from_numpy(inputs[None, start : start + CHUNK]).to(model.device)
        starts = tokens == BOUNDARY if start == 0 else None
        with evaluation_mode(model):
            trace = model.trace(tokens, state, starts)
            _, state = model.features(tokens, state, starts)
        yield trace

"""Summarize a run in a few figures, from its files. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import safetensors

from seqgen.config import Config
from seqgen.errors import RunError
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory
from seqgen.runs.embeddings.config import EmbeddingRunConfig
from seqgen.sources.config import CORPUS_PREFIX, Task
from seqgen.training.metrics import read_metrics


class Summary(Config):
    """The figures of one run."""

    run: str
    created: str
    task: Task | Literal["embed"]
    """`embed`: the run has word vectors, and no model of text."""
    cell: str
    shape: str
    """The size of the model: `2x384`."""
    parameters: int | None
    tokenizer: str
    normalization: str
    vocab_size: int
    text: str
    best_bits_per_byte: float | None
    best_bits_per_character: float | None
    best_accuracy: float | None
    """The share of labels that are right, of classifiers and taggers, which have no bits."""
    best_step: int | None
    steps: int
    total_steps: int
    seconds: float
    state: Literal["running", "complete", "patience", "stopped", "unfinished", "empty"]
    """How the run ended; `running`: is being trained, `unfinished`: was killed, `empty`: has no weights."""


def summarize(
    directory: RunDirectory, config: RunConfig | EmbeddingRunConfig, note: Callable[[str], None] | None = None
) -> Summary:
    """Return a run's figures, from config.json, metrics.jsonl and the header of the weights.

    With `note`, damaged lines of metrics.jsonl are left out, and it receives a sentence about them.

    Raises:
        RunError: the file of the weights is damaged, or without `note` metrics.jsonl.
    """
    parameters = _count_all(directory, config) if directory.has_weights else None
    try:
        return _combine(directory, config, parameters, read_metrics(directory.metrics, every_step=False, note=note))
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{directory.metrics} has lines that are not events of seqgen; restore it from a backup"
        ) from error


def _combine(
    directory: RunDirectory,
    config: RunConfig | EmbeddingRunConfig,
    parameters: int | None,
    events: Iterable[dict[str, Any]],
) -> Summary:
    last: dict[str, Any] = {}
    best: dict[str, Any] = {}
    steps, seconds, total = 0, 0.0, 0
    for event in events:
        last = event
        total = event.get("total_steps", total)
        steps, seconds = max(steps, event["step"]), max(seconds, event.get("seconds", 0.0))
        nats = event["nats_per_token"] if event["event"] in {"evaluated", "mixed"} else None
        if nats is not None and nats < best.get("nats_per_token", math.inf):
            best = event
    state: Any = last["reason"] if last.get("event") == "finished" else "unfinished"
    if last.get("event") == "saved" and last["step"] >= total > 0:
        state = "complete"  # and was killed before it could say so
    if parameters is None:
        state = "empty"
    return Summary(
        run=str(directory.path),
        created=config.created,
        task="embed" if isinstance(config, EmbeddingRunConfig) else config.data.task,
        cell=config.model.name,
        shape=config.model.shape,
        parameters=parameters,
        tokenizer=config.tokenizer.kind,
        normalization=config.tokenizer.normalization,
        vocab_size=(config.text.vocabulary if isinstance(config, EmbeddingRunConfig) else config.tokenizer.vocab_size),
        text=config.data.name if config.data.text[0].startswith(CORPUS_PREFIX) else Path(config.data.name).name,
        best_bits_per_byte=best.get("bits_per_byte"),
        best_bits_per_character=best.get("bits_per_character"),
        best_accuracy=best.get("accuracy"),
        best_step=best.get("step"),
        steps=steps,
        total_steps=total,
        seconds=seconds,
        state="running" if directory.is_locked() else state,
    )


def _count_all(directory: RunDirectory, config: RunConfig | EmbeddingRunConfig) -> int:
    """Count the numbers of a model, of a mixture those of its members, of word vectors both of each word."""
    if isinstance(config, EmbeddingRunConfig):
        return count_parameters(directory.vectors)
    if directory.weights.is_file():
        return count_parameters(directory.weights)
    return sum(count_parameters(directory.member(name).weights) for name in config.members)


def count_parameters(path: Path) -> int:
    """Count the numbers in a safetensors file from its header.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 (no dict)
            return sum(math.prod(shape) for shape in shapes if shape)  # a labeler's temperature is not trained
    except (safetensors.SafetensorError, OSError) as error:
        raise RunError(f"{path} is not a valid safetensors file ({error}); restore it from a backup") from error

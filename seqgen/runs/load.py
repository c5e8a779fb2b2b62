"""seqgen.load: load a trained run, and the models of mixtures with those of their members."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from seqgen import models, tokenizers
from seqgen.device import RandomState, select_device
from seqgen.errors import ConfigError, RunError
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.models.registry import FAMILIES, MixtureConfig
from seqgen.models.skeleton import skeleton
from seqgen.models.weights import check_weights, checksum_of, load_weights
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory, find_run
from seqgen.runs.pairs.labeler import LabelerRun
from seqgen.runs.pairs.translator import TranslatorRun
from seqgen.runs.text import TextRun
from seqgen.training.config import MOST_THREADS

RUNS = {task: kind for kind in (TextRun, TranslatorRun, LabelerRun) for task in kind.tasks}
"""What the run of a task is loaded as."""


def load(path: str | Path | None = None, *, device: str = "auto", threads: int | None = None) -> TextRun | Any:
    """Load a trained run: a `TextRun`, or by the task of its training a `TranslatorRun` or a `LabelerRun`.

    Editors and type checkers take it for a `TextRun`. `load(path).expect(TranslatorRun)` gives them another class, and
    refuses a run that is not of it.

    Args:
        path: its directory; None is the newest in runs/.
        device: `auto`, `cpu`, `cuda`, ...
        threads: torch's threads on a CPU; None is torch's default.

    Raises:
        ConfigError: the device or the number of threads is not available.
        RunError: the run or its weights are missing, or its files do not belong together.
        TokenizerError: its tokenizer is missing, or not the one that it was trained with.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"threads: should be from 1 to {MOST_THREADS:,}, not {threads}")
    directory = find_run(path)
    config = directory.read_config()
    tokenizer = tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint)
    with RandomState(0, torch.device("cpu")):  # initial weights, soon replaced, must not use the caller's random state
        model = load_model(directory, config, tokenizer.vocab_size)
    return RUNS[config.data.task](directory, config, model.to(select_device(device)), tokenizer, threads)


def load_model(directory: RunDirectory, config: RunConfig, vocab_size: int) -> LanguageModel:
    """Load the model of a run, on the CPU; errors as of `load`. It draws from torch's random state."""
    if FAMILIES[config.model.cell].is_mixture:
        return _load_mixture(directory, config, vocab_size)
    check_weights(skeleton(config.model, vocab_size), directory.weights)
    model = models.build(config.model, vocab_size).eval()
    load_weights(model, directory.weights, config.identity)
    return model


def _load_mixture(directory: RunDirectory, config: RunConfig, vocab_size: int) -> MixtureModel:
    record, described = directory.read_mixture(), cast("MixtureConfig", config.model)
    if record.members.keys() != described.members.keys():
        raise RunError(f"{directory.mixture} and {directory.config} have different members; restore one of them")
    members: dict[str, LanguageModel] = {}
    for name in described.members:
        member, own = directory.member(name), directory.read_member(config, name)
        if checksum_of(member.weights) != record.members[name].checksum:
            raise RunError(
                f"{member.weights} has changed since the weights of the members were set; set them again with seqgen "
                f"train --resume --out {directory.path}"
            )
        members[name] = load_model(member, own, vocab_size)
    model = MixtureModel(described, vocab_size, members).eval()
    model.weights.copy_(torch.tensor([record.members[name].weight for name in members], dtype=torch.float64))
    return model

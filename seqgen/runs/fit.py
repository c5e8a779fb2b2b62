"""Runs of families that are fitted in one pass over the training part, instead of being trained step by step.

The fit is done while the run is prepared, as the config records what it has chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from seqgen.device import describe_environment, select_device, torch_threads, total_memory
from seqgen.errors import ConfigError, RunError
from seqgen.models.base import LanguageModel
from seqgen.models.config import FamilyConfig
from seqgen.models.registry import FAMILIES
from seqgen.models.weights import to_bytes
from seqgen.runs.config import RunConfig, RunSettings, TokenizerRecord, resolve_settings
from seqgen.runs.create import corpus_notices, make_config, read_corpus
from seqgen.runs.directory import RunDirectory, check_out_is_free, write_run
from seqgen.runs.setup import EncodedCorpus, RunRequest, Session, read_same_corpus
from seqgen.training.config import FitConfig
from seqgen.training.events import Evaluated, Event, Finished, Fitted, Sampled, Saved
from seqgen.training.metrics import MetricsLog
from seqgen.training.samples import generate_sample
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import DocumentValidation
from seqgen.utils.files import remove_temporary_files, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock


class FittedModel(Protocol):
    """What a fitted model tells about itself."""

    @property
    def notices(self) -> list[str]:
        """What the user should know, a sentence each."""

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order."""


@dataclass
class FitRun:
    """A run whose model is fitted, and not saved yet. Its lock is held."""

    directory: RunDirectory
    config: RunConfig
    corpus: EncodedCorpus
    model: LanguageModel
    lock: BaseFileLock
    notices: list[str]
    started: float
    """The clock's value when the run's time started."""
    plan: None = None
    first_step: int = 0
    member: Session | None = None

    def events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        """Score the validation part, draw a sample and save.

        Raises:
            SaveError: the model cannot be written.
        """
        with MetricsLog(self.directory.metrics) as log, torch_threads(self.config.training.threads):
            for event in self._events(stop, clock):
                log.write(event)
                yield event

    def _events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        def seconds() -> float:
            return round(clock() - self.started, 3)

        if stop():
            yield Finished(0, 1, "stopped", None, None, None, 0, seconds())
            return
        corpus, text, model = self.corpus, self.config.text, self.model
        about = cast("FittedModel", model)
        yield Fitted(1, 1, tuple(about.sizes), tuple(about.notices), seconds())
        report = None if corpus.validation is None else corpus.validation.evaluate(model, "fp32")
        if report is not None:
            yield Evaluated(
                step=1,
                nats_per_token=report.nats_per_token,
                perplexity=report.perplexity,
                bits_per_character=report.bits_per_character,
                bits_per_byte=report.bits_per_byte,
                is_best=True,
                seconds=seconds(),
            )
        yield Sampled(
            1, generate_sample(model, corpus.tokenizer, self.config.training.seed, text.line_end, ends=text.ends)
        )
        write_atomically(self.directory.weights, to_bytes(model.stored_tensors(), self.config.identity))
        yield Saved(1, self.directory.weights.name)
        yield Finished(
            step=1,
            total_steps=1,
            reason="complete",
            best_step=None if report is None else 1,
            best_bits_per_byte=None if report is None else report.bits_per_byte,
            best_bits_per_character=None if report is None else report.bits_per_character,
            skipped=0,
            seconds=seconds(),
        )


def fit_model(config: FamilyConfig, corpus: EncodedCorpus, device: str, memory: int | None) -> LanguageModel:
    """Fit a model to the training part; its config has what the fit has chosen by the validation part.

    Raises:
        ConfigError: the device cannot be used, or the fit would take more than `memory`, by default the machine's.
    """
    chosen = select_device(device)
    module, _, name = str(FAMILIES[config.cell].fit).rpartition(".")
    fit = getattr(import_module(module), name)
    valid = corpus.validation.documents if isinstance(corpus.validation, DocumentValidation) else None
    model: LanguageModel = fit(
        config,
        (corpus.train.ids, corpus.train.starts, corpus.train.ends),
        corpus.tokenizer.vocab_size,
        tokenizer=corpus.tokenizer.kind,
        models_ends=corpus.record.ends,
        validation=None if valid is None else (valid.ids, valid.starts, valid.ends),
        memory=memory or total_memory(torch.device("cpu")) or math.inf,
    )
    return model.to(chosen)


def new_fit(request: RunRequest) -> FitRun:
    """Create a run that is fitted; errors as in `seqgen.train`."""
    refuse_weights_and_plan(request, request.settings["cell"])
    settings = resolve_settings(request.settings)
    check_out_is_free(request.out)
    corpus, tokenizer = read_corpus(request, settings, is_counted=True)
    request.report("counting the training text")
    model = fit_model(settings.model, corpus, settings.training.device, request.memory)
    run = create_fit(request, settings, corpus, tokenizer, model)
    run.notices = corpus_notices(settings, corpus)
    return run


def refuse_weights_and_plan(request: RunRequest, cell: str) -> None:
    """Refuse another run's weights, vectors or plan, which this kind of run cannot start from.

    Raises:
        ConfigError: the request names one.
    """
    for name in ("init_from", "init_embeddings", "plan_from"):
        if getattr(request, name) is not None:
            raise ConfigError(
                f"{name}: it applies to one model that is trained by gradients, not to {cell}; leave it out"
            )


def create_fit(
    request: RunRequest,
    settings: RunSettings,
    corpus: EncodedCorpus,
    tokenizer: TokenizerRecord,
    model: LanguageModel,
) -> FitRun:
    """Create the run of a model that was fitted to an encoded corpus."""
    device = select_device(settings.training.device)
    config = make_config(
        settings.data,
        corpus,
        tokenizer,
        model=model.config,
        training=settings.training.model_copy(update={"device": str(device)}),
        environment=describe_environment(device, "fp32"),
    )
    directory, lock, _ = write_run(request.out, config, corpus.tokenizer, lambda _: None)
    return FitRun(directory, config, corpus, model, lock, [], request.started)


def resume_fit(directory: RunDirectory, changes: dict[str, Any], lock: BaseFileLock, request: RunRequest) -> FitRun:
    """Fit a run again that was interrupted before it was saved.

    Raises:
        RunError: it is complete, or its text has changed.
    """
    refuse_weights_and_plan(request, directory.read_config().model.name)
    if directory.weights.is_file():
        raise RunError(f"{directory.path} is complete: it was fitted in one pass, and there is nothing left to train")
    remove_temporary_files(directory.path)
    recorded = directory.read_config()
    own = {name: value for name, value in changes.items() if name in FitConfig.model_fields}
    config = recorded.model_copy(update={"training": FitConfig.of(**{**recorded.training.model_dump(), **own})})
    corpus = read_same_corpus(directory, config, request.report)
    model = fit_model(config.model, corpus, config.training.device, request.memory)
    return FitRun(directory, config, corpus, model, lock, [], request.started)

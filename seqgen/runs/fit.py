"""Runs of families that are fitted in one pass over the training part, instead of being trained step by step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from seqgen.device import describe_environment, select_device, torch_threads
from seqgen.errors import ConfigError, RunError, SeqgenError
from seqgen.models.base import LanguageModel
from seqgen.models.registry import FAMILIES
from seqgen.models.weights import to_bytes
from seqgen.runs.config import RunConfig, RunSettings, TokenizerRecord, resolve_settings
from seqgen.runs.create import corpus_notices, make_config, read_corpus, write_run
from seqgen.runs.directory import RunDirectory, check_out_is_free
from seqgen.runs.setup import EncodedCorpus, RunRequest, Session, read_same_corpus
from seqgen.training.config import FitConfig
from seqgen.training.events import Evaluated, Event, Finished, Fitted, Sampled, Saved
from seqgen.training.metrics import MetricsLog
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import generate_sample
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
    """A run that is ready to be fitted. Its lock is held."""

    directory: RunDirectory
    config: RunConfig
    corpus: EncodedCorpus
    lock: BaseFileLock
    notices: list[str]
    started: float
    """The clock's value when the run's time started."""
    is_new: bool
    model: LanguageModel | None = None
    plan: None = None
    first_step: int = 0
    member: Session | None = None

    def events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        """Fit the model, score the validation part, draw a sample and save; a new run that cannot be is removed.

        Raises:
            ConfigError: the model would not fit into memory.
            SaveError: the model cannot be written.
        """
        try:
            with MetricsLog(self.directory.metrics) as log, torch_threads(self.config.training.threads):
                for event in self._events(stop, clock):
                    log.write(event)
                    yield event
        except SeqgenError:
            if self.is_new and not self.directory.weights.is_file():
                shutil.rmtree(self.directory.path, ignore_errors=True)
            raise

    def _events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        def seconds() -> float:
            return round(clock() - self.started, 3)

        if stop():
            yield Finished(0, 1, "stopped", None, None, None, 0, seconds())
            return
        corpus, text = self.corpus, self.config.text
        model = fit_model(self.config, corpus)
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


def fit_model(config: RunConfig, corpus: EncodedCorpus) -> LanguageModel:
    """Fit the model of a run to the training part."""
    module, _, name = str(FAMILIES[config.model.cell].fit).rpartition(".")
    train = corpus.train
    fit = getattr(import_module(module), name)
    model: LanguageModel = fit(
        config.model, train.ids, train.starts, train.ends, corpus.tokenizer.vocab_size, models_ends=config.text.ends
    )
    return model.to(select_device(config.training.device))


def new_fit(request: RunRequest) -> FitRun:
    """Create a run that is fitted; errors as in `seqgen.train`."""
    refuse_weights_and_plan(request, request.settings["cell"])
    settings = resolve_settings(request.settings)
    check_out_is_free(request.out)
    corpus, tokenizer = read_corpus(request, settings)
    run = create_fit(request, settings, corpus, tokenizer)
    run.notices = corpus_notices(settings, corpus)
    return run


def refuse_weights_and_plan(request: RunRequest, cell: str) -> None:
    """Refuse another run's weights or plan, which this kind of run cannot start from.

    Raises:
        ConfigError: the request names one.
    """
    for name in ("init_from", "plan_from"):
        if getattr(request, name) is not None:
            raise ConfigError(
                f"{name}: it applies to one model that is trained by gradients, not to {cell}; leave it out"
            )


def create_fit(request: RunRequest, settings: RunSettings, corpus: EncodedCorpus, tokenizer: TokenizerRecord) -> FitRun:
    """Create a run on an encoded corpus."""
    device = select_device(settings.training.device)
    model = settings.model.for_text(tokenizer.kind, corpus.record.train_tokens)
    config = make_config(
        settings.data,
        corpus,
        tokenizer,
        model=model,
        training=settings.training.model_copy(update={"device": str(device)}),
        environment=describe_environment(device, "fp32"),
    )
    directory, lock, _ = write_run(request.out, config, corpus.tokenizer, lambda _: None)
    return FitRun(directory, config, corpus, lock, [], request.started, is_new=True)


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
    return FitRun(directory, config, corpus, lock, [], request.started, is_new=False)

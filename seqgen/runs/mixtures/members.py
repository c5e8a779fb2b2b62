"""Train several models on one text, one after another, and mix them: `--cell lstm+ngram`.

Each member is an ordinary run in members/NAME/ of the mixture's directory. Families that are fitted come first; those
that are trained by gradients then share the time that is left.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from seqgen.device import describe_environment, select_device, torch_threads
from seqgen.errors import ConfigError, RunError, SeqgenError
from seqgen.models.base import LanguageModel
from seqgen.models.registry import FAMILIES, MixtureConfig, name_members
from seqgen.runs.config import (
    LENGTH_SETTINGS,
    MembersConfig,
    RunConfig,
    RunSettings,
    accepted_settings,
    describe_unknown_setting,
    resolve_settings,
)
from seqgen.runs.create import corpus_notices, create_run, make_config, read_corpus
from seqgen.runs.directory import RunDirectory, check_out_is_free, write_run
from seqgen.runs.fit import create_fit, fit_model, refuse_weights_and_plan, resume_fit
from seqgen.runs.mixtures.mix import check_unlearned, finished_event, mixed_event, weigh_members
from seqgen.runs.resume import is_complete, resume_run
from seqgen.runs.setup import EncodedCorpus, RunRequest, Session, check_memory
from seqgen.runs.summary import summarize
from seqgen.runs.training_run import TrainingRun
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.config import FitConfig, TrainingConfig
from seqgen.training.events import Event, Finished, MemberStarted, NotMixed, Sampled
from seqgen.training.metrics import MetricsLog, kept_length
from seqgen.training.presets import DEFAULT_TIME
from seqgen.training.samples import generate_sample
from seqgen.training.time_budget import Clock
from seqgen.training.trainer import DocumentValidation
from seqgen.utils.files import write_atomically
from seqgen.utils.locks import released_on_error

if TYPE_CHECKING:
    from filelock import BaseFileLock

SHORTEST_TIME = 1.0
"""Seconds that a member gets at least, where those before it took all the time."""
MIXING_SHARE = 0.02
"""Share of the time that is kept for setting the weights and drawing a sample of the mixture."""


@dataclass
class MixtureRun:
    """A mixture that is ready to be trained. Its lock is held."""

    directory: RunDirectory
    config: RunConfig
    corpus: EncodedCorpus
    lock: BaseFileLock
    notices: list[str]
    request: RunRequest
    changes: dict[str, Any] = field(default_factory=dict)
    """The settings of a resumed run that change, without its length: the config has that of each member."""
    fitted: dict[str, LanguageModel] = field(default_factory=dict)
    """The members that were fitted while the mixture was created: its config has what the fits have chosen."""
    member: Session | None = None
    model: None = None
    plan: None = None
    first_step: int = 0
    _reason: str = "complete"

    @property
    def members(self) -> dict[str, RunDirectory]:
        """The members by name, in the order in which they are trained."""
        configs = self.config.members
        ordered = sorted(configs, key=lambda name: FAMILIES[configs[name].model.cell].neural)
        return {name: self.directory.member(name) for name in ordered}

    def events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        """Train the members that are not complete, then mix them; yield the events of both.

        Errors are those of the members' runs. A mixture of which no member could be prepared is removed.
        """
        try:
            yield from self._events(stop, clock)
        except SeqgenError:
            if not any(one.config.is_file() or has_learned(one) for one in self.members.values()):
                shutil.rmtree(self.directory.path, ignore_errors=True)
            raise

    def _events(self, stop: Callable[[], bool], clock: Clock) -> Iterator[Event]:
        metrics = self.directory.metrics
        length = kept_length(metrics, metrics.stat().st_size) if metrics.exists() else 0
        with MetricsLog(metrics, length) as log:
            for number, (name, directory) in enumerate(self.members.items()):
                self.member = self._prepare(name, directory, clock, first=number == 0)
                if self.member is None:
                    continue
                started = MemberStarted(self._totals()[0], name, f"members/{name}")
                log.write(started)
                yield started
                yield from self._train(TrainingRun(self.member, stop, clock))
                if self._reason == "stopped":
                    break
            self.member = None
            for event in self._mix(clock):
                log.write(event)
                yield event

    def _prepare(self, name: str, directory: RunDirectory, clock: Clock, *, first: bool) -> Session | None:
        """Prepare the run of a member, new or resumed; return None if it is complete."""
        config = self.config.members[name]
        neural = FAMILIES[config.model.cell].neural
        request = replace(self.request, out=directory.path, settings={})
        if not directory.config.is_file():
            refuse_lost_config(directory)
            shutil.rmtree(directory.path, ignore_errors=True)  # of a process that was killed while it made the run
            if not first:
                request = replace(request, started=clock())
            self._set_time(name)
            config = self.config.members[name]
            asked = config.tokenizer.asked or TokenizerConfig()
            settings = RunSettings(model=config.model, tokenizer=asked, data=config.data, training=config.training)
            if neural:
                return create_run(request, settings, self.corpus, config.tokenizer)
            fitted = self.fitted.pop(name, None)
            fitted = fitted or fit_model(config.model, self.corpus, config.training.device, request.memory)
            return create_fit(request, settings, self.corpus, config.tokenizer, fitted)
        accepted = accepted_settings(config.model.cell)
        changes = {setting: value for setting, value in self.changes.items() if setting in accepted}
        longer = neural and is_planned_longer(directory, config)
        if is_complete(directory) and not longer:
            return None
        if longer:
            changes |= {setting: getattr(config.training, setting) for setting in LENGTH_SETTINGS}
        lock = directory.acquire_lock()
        with released_on_error(lock):
            return (resume_run if neural else resume_fit)(directory, changes, lock, replace(request, started=clock()))

    def _train(self, run: TrainingRun) -> Iterator[Event]:
        events = iter(run)
        try:
            for event in events:
                if isinstance(event, Finished):
                    self._reason = event.reason
                yield event
        finally:
            events.close()

    def _set_time(self, name: str) -> None:
        """Record the seconds that a new member gets: its share of what the members before it have left."""
        training = cast("MembersConfig", self.config.training)
        neural = [other for other in self.members if FAMILIES[self.config.members[other].model.cell].neural]
        if training.max_time is None or name not in neural:
            return
        left = training.max_time * (1 - MIXING_SHARE) - self._totals()[2]
        seconds = max(SHORTEST_TIME, left / (len(neural) - neural.index(name)))
        own = training.members[name].model_copy(update={"max_time": seconds})
        training = training.model_copy(update={"members": {**training.members, name: own}})
        self.config = self.config.model_copy(update={"training": training})
        self.directory.write_config(self.config)

    def _totals(self) -> tuple[int, int, float]:
        """Return the steps, the planned steps and the seconds of all members so far."""
        made = [directory for directory in self.members.values() if directory.config.is_file()]
        found = [summarize(directory, directory.read_config()) for directory in made]
        return (
            sum(one.steps for one in found),
            sum(one.total_steps for one in found),
            sum(one.seconds for one in found),
        )

    def _planned_threads(self) -> int | None:
        """Return the threads of the last plan, which were measured on this machine; None without a plan."""
        checkpoints = [newest_checkpoint(directory.checkpoints) for directory in self.members.values()]
        threads = [one.plan.current.threads for one in checkpoints if one is not None]
        return threads[-1] if threads else None

    def _mix(self, clock: Clock) -> Iterator[Event]:
        """Set the weights if every member has a model, and draw a sample of the mixture."""
        started, (steps, total, seconds) = clock(), self._totals()
        text, training, record = self.config.text, self.config.training, None
        missing = tuple(name for name, directory in self.members.items() if not directory.weights.is_file())
        if missing:
            yield NotMixed(steps, missing)
        else:
            members = {name: self.directory.member(name) for name in self.config.members}
            self.request.report("scoring the members")
            with torch_threads(training.threads or self._planned_threads()):
                model, record = weigh_members(
                    self.config, members, cast("DocumentValidation", self.corpus.validation), text
                )
                write_atomically(self.directory.mixture, record.to_json())
                yield mixed_event(record, steps, total, round(seconds + clock() - started, 3))
                sample = generate_sample(model, self.corpus.tokenizer, training.seed, text.line_end, ends=text.ends)
                yield Sampled(steps, sample)
        finished = finished_event(record, steps, total, round(seconds + clock() - started, 3))
        yield replace(finished, reason="stopped" if missing or self._reason == "stopped" else "complete")


def new_mixture(request: RunRequest, cells: list[str]) -> MixtureRun:
    """Create a mixture whose members are to be trained; errors as in `seqgen.train`."""
    refuse_weights_and_plan(request, "+".join(cells))
    names = name_members(cells)
    total, members = resolve_members(request.settings, names, cells)
    first = members[names[0]]
    check_out_is_free(request.out)
    is_counted = not any(FAMILIES[cell].neural for cell in cells)
    corpus, tokenizer = read_corpus(request, first, is_counted=is_counted)
    if corpus.validation is None:
        raise ConfigError(
            "valid_split: the weights of a mixture are set on the validation part, and there is none; withhold one, or "
            "name a validation text with --valid FILE"
        )
    check_unlearned(first.data, corpus, "the training text; name another text with --valid, or train one --cell")
    for settings in members.values():
        if FAMILIES[settings.model.cell].neural:
            check_memory(settings.model, cast("TrainingConfig", settings.training), corpus)
    request.report("counting the training text")
    fitted = {
        name: fit_model(settings.model, corpus, settings.training.device, request.memory)
        for name, settings in members.items()
        if not FAMILIES[settings.model.cell].neural
    }
    device = select_device(first.training.device)
    config = make_config(
        first.data,
        corpus,
        tokenizer,
        model=MixtureConfig(
            members={
                name: fitted[name].config if name in fitted else settings.model for name, settings in members.items()
            }
        ),
        training=MembersConfig(
            max_time=total,
            seed=first.training.seed,
            device=str(device),
            threads=first.training.threads,
            members={name: settings.training for name, settings in members.items()},
        ),
        environment=describe_environment(device, "fp32"),
    )
    directory, lock, _ = write_run(request.out, config, corpus.tokenizer, lambda _: None)
    quiet = replace(corpus, notices=[])  # the members would repeat them
    return MixtureRun(directory, config, quiet, lock, corpus_notices(first, corpus), request, fitted=fitted)


def resolve_members(
    settings: dict[str, Any], names: list[str], cells: list[str]
) -> tuple[float | None, dict[str, RunSettings]]:
    """Return the time of all members together, if it is limited, and the settings of each, by name.

    A setting goes to every member that has it. Members that gradients train share the time equally; of two equal cells
    the second has the next seed.

    Raises:
        ConfigError: no member has a setting, or its value is impossible.
    """
    for name in settings.keys() - {"cell"}:
        if not any(name in accepted_settings(cell) for cell in cells):
            raise ConfigError(describe_unknown_setting(name, "+".join(cells)))
    total = FitConfig.of(max_time=settings.get("max_time")).max_time
    if settings.keys().isdisjoint(LENGTH_SETTINGS):
        total = DEFAULT_TIME
    neural = sum(FAMILIES[cell].neural for cell in cells)
    resolved: dict[str, RunSettings] = {}
    for number, (name, cell) in enumerate(zip(names, cells, strict=True)):
        own = {setting: value for setting, value in settings.items() if setting in accepted_settings(cell)}
        own.pop("max_time", None)
        if total is not None and FAMILIES[cell].neural:
            own["max_time"] = total / neural
        if twins := cells[:number].count(cell):
            own["seed"] = FitConfig.of(seed=settings.get("seed", 0)).seed + twins
        resolved[name] = resolve_settings({**own, "cell": cell})
    return total, resolved


def has_learned(directory: RunDirectory) -> bool:
    """Whether a run has weights, or a checkpoint after its first step."""
    return directory.weights.is_file() or any(directory.checkpoints.glob("step-*[1-9]*"))


def refuse_lost_config(directory: RunDirectory) -> None:
    """Refuse a member that was trained and has lost its config.json, which must not be trained from the start.

    Raises:
        RunError: it has lost it.
    """
    if not directory.config.is_file() and has_learned(directory):
        raise RunError(
            f"{directory.config} is missing, but {directory.path} has been trained; copy config.json from its newest "
            f"checkpoint, or remove {directory.path} to train this member again"
        )


def is_planned_longer(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether the mixture gives this member a greater length than it is trained for; `config` is the mixture's of it.

    It may have been trained further by itself; then it is not.
    """
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is None:
        return False
    asked, recorded = config.training, directory.read_config().training
    done = {"max_steps": checkpoint.plan.total_steps, "max_epochs": 0.0, "max_time": checkpoint.progress.seconds}
    return any(
        getattr(asked, name) is not None and getattr(asked, name) > max(getattr(recorded, name) or 0, done[name])
        for name in LENGTH_SETTINGS
    )

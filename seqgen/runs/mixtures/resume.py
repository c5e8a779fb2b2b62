"""Resume a mixture: what its members still have to learn, and what a longer run divides among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from seqgen.errors import ConfigError, RunError
from seqgen.models.registry import FAMILIES
from seqgen.models.weights import checksum_of
from seqgen.runs.config import (
    LENGTH_SETTINGS,
    MembersConfig,
    MemberTraining,
    RunConfig,
    accepted_settings,
)
from seqgen.runs.directory import RunDirectory
from seqgen.runs.fit import refuse_weights_and_plan
from seqgen.runs.mixtures.members import (
    MIXING_SHARE,
    SHORTEST_TIME,
    MixtureRun,
    is_planned_longer,
    refuse_lost_config,
)
from seqgen.runs.resume import is_complete
from seqgen.runs.setup import EncodedCorpus, RunRequest, build_stream, read_same_corpus
from seqgen.runs.summary import summarize
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.config import FitConfig, TrainingConfig
from seqgen.training.time_budget import steps_for
from seqgen.utils.files import remove_temporary_files
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from filelock import BaseFileLock


def resume_mixture(
    directory: RunDirectory, changes: dict[str, Any], lock: BaseFileLock, request: RunRequest
) -> MixtureRun:
    """Continue a mixture: train the members that are not complete, and set the weights again.

    Nothing is changed before everything is checked.

    Raises:
        ConfigError: a setting is impossible, or would make a member shorter.
        RunError: it is complete or cannot be trained further, a member is damaged, or a text has changed.
    """
    recorded = directory.read_config()
    refuse_weights_and_plan(request, recorded.model.name)
    members = _members_of(directory, recorded)
    for name, member in members.items():
        refuse_lost_config(member)
        if member.config.is_file():
            directory.read_member(recorded, name)
    remove_temporary_files(directory.path)
    longer = bool(changes.keys() & set(LENGTH_SETTINGS))
    fixed = _describe_fixed_members(recorded, members)
    if longer and fixed:
        raise RunError(f"{directory.path} cannot be trained further: {fixed}")
    config = recorded.model_copy(update={"training": _change_training(directory, recorded, changes)})
    if not longer and _is_mixed(directory, config):
        raise RunError(
            f"{directory.path} is complete; {fixed or 'to train its members further, raise --max-time or --max-steps'}"
        )
    corpus = read_same_corpus(directory, config, request.report)
    if longer:
        _refuse_fewer_steps(config, members, corpus, changes)
    if config != recorded:
        directory.write_config(config)
    others = {name: value for name, value in changes.items() if name not in LENGTH_SETTINGS}
    return MixtureRun(directory, config, replace(corpus, notices=[]), lock, [], request, others)


def _members_of(directory: RunDirectory, config: RunConfig) -> dict[str, RunDirectory]:
    return {name: directory.member(name) for name in config.members}


def _describe_fixed_members(config: RunConfig, members: dict[str, RunDirectory]) -> str:
    """Return why the members cannot be trained further, and what to do; empty if they can."""
    neural = [member for name, member in members.items() if FAMILIES[config.members[name].model.cell].neural]
    if not neural:
        return "its members are fitted in one pass, and there is nothing left to train"
    if copies := [str(one.path) for one in neural if one.weights.is_file() and not any(one.checkpoints.glob("step-*"))]:
        return (
            f"{', '.join(copies)} {singular_or_plural(len(copies), 'is a copy', 'are copies')} without checkpoints; "
            "train the original further, and mix again"
        )
    return ""


def _change_training(directory: RunDirectory, config: RunConfig, changes: dict[str, Any]) -> MembersConfig:
    """Return the training settings with the changes, of the mixture and of every member that has them.

    Raises:
        ConfigError: a value is impossible, or the time becomes shorter.
    """
    training = cast("MembersConfig", config.training)
    own = {name: value for name, value in changes.items() if name in FitConfig.model_fields}
    changed = MembersConfig.of(**{**dict(training), **own})
    seconds: dict[str, float] = {}
    if changes.get("max_time") is not None:
        total = cast("float", changed.max_time)
        if training.max_time is not None and total < training.max_time:
            raise ConfigError(f"max_time: this run is planned for {training.max_time:g} s; it can only become longer")
        seconds = _divide_time(directory, config, total)
    members: dict[str, MemberTraining] = {}
    for name, one in training.members.items():
        cell = config.members[name].model.cell
        refused = set() if FAMILIES[cell].neural else set(LENGTH_SETTINGS)
        accepted = accepted_settings(cell) - refused
        values = {setting: value for setting, value in changes.items() if setting in accepted}
        if name in seconds:
            values["max_time"] = seconds[name]
        members[name] = type(one).of(**{**one.model_dump(), **values})
    return changed.model_copy(update={"members": members})


def _divide_time(directory: RunDirectory, config: RunConfig, total: float) -> dict[str, float]:
    """Return the seconds that each neural member gets of the time of a resumed mixture, those before included.

    They become equal, except where a member has already trained for longer.

    Raises:
        ConfigError: no time is left.
    """
    members = _members_of(directory, config)
    seconds = {
        name: summarize(member, member.read_config()).seconds if member.config.is_file() else 0.0
        for name, member in members.items()
    }
    neural = [name for name in members if FAMILIES[config.members[name].model.cell].neural]
    spent = sum(seconds.values())
    if total <= spent:
        raise ConfigError(f"max_time: {directory.path} has trained for {spent:.0f} s already; set a longer time")
    left = total * (1 - MIXING_SHARE) - sum(seconds[name] for name in members if name not in neural)
    divided: dict[str, float] = {}
    for number, name in enumerate(sorted(neural, key=lambda name: -seconds[name])):
        divided[name] = max(SHORTEST_TIME, seconds[name], left / (len(neural) - number))
        left -= divided[name]
    return divided


def _refuse_fewer_steps(
    config: RunConfig, members: dict[str, RunDirectory], corpus: EncodedCorpus, changes: dict[str, Any]
) -> None:
    """Refuse steps or epochs that make a member shorter.

    Raises:
        ConfigError: they do.
    """
    for name, member in members.items():
        own = config.members[name]
        checkpoint = newest_checkpoint(member.checkpoints)
        if checkpoint is None or not FAMILIES[own.model.cell].neural:
            continue
        training = cast("TrainingConfig", own.training)
        limit = steps_for(training, build_stream(own.model, training, corpus.train, corpus.pairs))
        planned = checkpoint.plan.total_steps if training.max_time is None else checkpoint.progress.step + 1
        if limit is not None and limit < planned:
            setting = "max_steps" if changes.get("max_steps") is not None else "max_epochs"
            raise ConfigError(
                f"{setting}: {member.path} is planned for {plural(planned, 'step')}; it can only become longer"
            )


def _is_mixed(directory: RunDirectory, config: RunConfig) -> bool:
    """Whether every member is complete, and the weights were set after that."""
    members = _members_of(directory, config)
    if not directory.mixture.is_file() or not all(map(is_complete, members.values())):
        return False
    if any(is_planned_longer(member, config.members[name]) for name, member in members.items()):
        return False
    record = directory.read_mixture()
    return all(record.members[name].checksum == checksum_of(member.weights) for name, member in members.items())

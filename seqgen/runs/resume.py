"""Resume a run from its newest complete checkpoint, or refuse with the reason."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.device import describe_environment
from seqgen.errors import ConfigError, RunError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import (
    CHANGEABLE_SETTINGS,
    LENGTH_SETTINGS,
    RunConfig,
    TokenizerRecord,
    accepted_settings,
    describe_unknown_setting,
    differing_settings,
)
from seqgen.runs.directory import MAX_CONFIG_BYTES, RunDirectory, find_run, find_runs
from seqgen.runs.follow import FollowedRun
from seqgen.runs.setup import RunRequest, RunSetup, build_learner, read_same_corpus
from seqgen.sources.config import absolute
from seqgen.tokenizers.auto import AUTO
from seqgen.tokenizers.config import TokenizerConfig, TokenizerKind
from seqgen.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, publish_best
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner
from seqgen.training.metrics import kept_length
from seqgen.training.time_budget import Clock, extend_plan, steps_for
from seqgen.training.trainer import end_reason
from seqgen.utils.files import read_at_most, remove_temporary_files
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from filelock import BaseFileLock


def find_resumed(request: RunRequest) -> tuple[RunDirectory, dict[str, Any]]:
    """Return the run to resume, in `out` or the newest one, and the settings that change.

    `CHANGEABLE_SETTINGS` may change. Other settings may be repeated, so that the command that started a run also
    resumes it; one that differs is refused.

    Raises:
        ConfigError: a setting is unknown, impossible, or differs and cannot change; or the text is a run.
        RunError: there is no such run.
    """
    text = request.settings.get("text")
    for name in [text] if isinstance(text, str) else text or ():
        if _is_run(Path(name)):
            raise ConfigError(
                f"resume: {name} is a run, not a text: seqgen train --resume --out {shlex.quote(str(name))}"
            )
    settings = request.settings
    for name in ("init_from", "init_embeddings"):
        if (source := getattr(request, name)) is not None:
            settings = {**settings, name: str(source)}
    directory = _find(request.out, settings)
    return directory, _changed_settings(directory, settings)


def resume_run(directory: RunDirectory, changes: dict[str, Any], lock: BaseFileLock, request: RunRequest) -> RunSetup:
    """Resume a locked run that is trained by gradients; errors as in `seqgen.train`.

    Before everything is checked only temporary files are removed, and the best weights of a complete run restored.
    """
    if request.plan_from is not None:
        _check_plan(directory, request.plan_from)
    recorded = directory.read_config()
    for folder in (directory.path, directory.checkpoints):
        remove_temporary_files(folder)
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is None:
        raise RunError(
            f"{directory.path} has no checkpoint; restore one from a backup, or start a new run from its weights with "
            "--init-from"
        )
    notices = [f"{damage}: resuming from {checkpoint.path.name}, the one before it" for damage in checkpoint.damaged]
    before = cast("TrainingConfig", _check_same_config(directory, recorded, checkpoint).training)
    training = TrainingConfig.of(**{**recorded.training.model_dump(), **changes})
    config = recorded.model_copy(update={"training": training})
    lengths_differ = any(getattr(training, name) != getattr(before, name) for name in LENGTH_SETTINGS)
    if not lengths_differ and end_reason(checkpoint.progress, checkpoint.plan, training) is not None:
        raise _complete(directory, checkpoint, _restore_best(directory, checkpoint))

    corpus = read_same_corpus(directory, config, request.report)
    learner = build_learner(config.model, training, corpus)
    load_checkpoint(checkpoint, learner, config.identity)
    if lengths_differ:
        limit = steps_for(training, learner.stream)
        _refuse_shorter(directory, training, before, checkpoint, named=changes, limit=limit)
        lengths_differ = training.max_time is not None or limit != checkpoint.plan.total_steps
    if lengths_differ:
        checkpoint = _extend(learner, checkpoint, request.clock)
        about = "" if training.max_time is None else "about "
        steps = plural(learner.total_steps, "step")
        notices.append(f"the run is now {about}{steps} long, and the learning rate follows a new schedule from here on")
    elif training.threads is not None and training.threads != learner.plan.current.threads:
        checkpoint = _change_threads(learner, checkpoint, training.threads)
    if end_reason(checkpoint.progress, learner.plan, training) is not None:
        raise _complete(directory, checkpoint, _restore_best(directory, checkpoint))

    environment = describe_environment(learner.model.device, learner.precision)
    notices += _environment_notices(recorded, environment)
    config = config.model_copy(update={"seqgen": __version__, "environment": environment})
    notices += _metrics_notice(directory, checkpoint)
    notices += _restore_best(directory, checkpoint)
    if config != recorded:
        directory.write_config(config)
    return RunSetup(directory, config, corpus, learner, checkpoint, lock, notices)


def is_complete(directory: RunDirectory) -> bool:
    """Whether a run has ended, or is a copy without checkpoints, so that nothing is left to train."""
    checkpoint = newest_checkpoint(directory.checkpoints)
    config = directory.read_config()
    if checkpoint is None or not FAMILIES[config.model.cell].neural:
        return directory.weights.is_file()
    return end_reason(checkpoint.progress, checkpoint.plan, cast("TrainingConfig", config.training)) is not None


# --- which run, and what changes


def _find(out: str | Path | None, settings: dict[str, Any]) -> RunDirectory:
    """Return the run in `out`; else the newest one, on the text and with the cell in `settings`, if it names any."""
    if out is None and settings.keys() & {"text", "cell"}:
        for directory, config in reversed(find_runs()):
            if isinstance(config, RunConfig):
                named = {name: settings[name] for name in ("text", "cell") if name in settings}
                if all(then == now for then, now in (_values(config, *item) for item in named.items())):
                    return directory
    return find_run(out, trained=False)


def _is_run(path: Path) -> bool:
    try:
        return RunDirectory(path).config.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _changed_settings(directory: RunDirectory, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the `settings` that differ from the run's.

    Raises:
        ConfigError: a setting is unknown, impossible, or differs and cannot change; the message names it.
    """
    recorded = directory.read_config()
    differing: dict[str, tuple[Any, Any]] = {}
    for name, value in settings.items():
        then, now = _values(recorded, name, value)
        if then != now and not (name in {"device", "precision"} and now == "auto"):
            differing[name] = (then, now)
    fixed = [f"{name} is {_format(then)}, not {_format(now)}" for name, (then, now) in differing.items()
             if name not in CHANGEABLE_SETTINGS]  # fmt: skip
    if fixed:
        raise ConfigError(
            f"resume: in {directory.path} {'; '.join(fixed)}; leave that out to resume this run, name another run with "
            "--out, or start a new one without --resume"
        )
    lengths = {name: settings.get(name) for name in LENGTH_SETTINGS} if differing.keys() & set(LENGTH_SETTINGS) else {}
    return {**lengths, **{name: settings[name] for name in differing if name not in LENGTH_SETTINGS}}


def _values(recorded: RunConfig, name: str, value: Any) -> tuple[Any, Any]:
    """Return the run's value of a setting, and `value` in the same form; errors as in `_changed_settings`."""
    if name == "cell":
        return recorded.model.name, value
    if name in {"init_from", "init_embeddings"}:
        return getattr(recorded, name), absolute(value)
    if name == "valid":  # checked alone: a config with `valid` has another default of valid_split
        return recorded.data.valid, absolute(value)
    if name == "tokenizer":
        return _tokenizer_values(recorded.tokenizer, value)
    built = recorded.tokenizer.asked or TokenizerConfig(kind=recorded.tokenizer.kind)
    for part in (recorded.model, built, recorded.data, recorded.training):
        if name in type(part).model_fields:
            then, now = (getattr(part, name), getattr(type(part).of(**{**part.model_dump(), name: value}), name))
            if name in {"text", "valid", "cache_dir"} and now is not None:
                now = tuple(map(absolute, now)) if isinstance(now, tuple) else absolute(now)
            return then, now
    owner = next((config for config in recorded.members.values() if name in accepted_settings(config.model.cell)), None)
    if owner is None:
        raise ConfigError(describe_unknown_setting(name, recorded.model.name))
    return _values(owner, name, value)


def _tokenizer_values(recorded: TokenizerRecord, value: str) -> tuple[str, str]:
    """Return the run's tokenizer and `value` in the same form: `auto`, a kind, or the fingerprint of a directory."""
    if value == AUTO:
        return AUTO if recorded.auto else recorded.kind, value
    if value in get_args(TokenizerKind):
        return recorded.kind, value
    return recorded.fingerprint, tokenizers.load(Path(value)).fingerprint


def _format(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


# --- what changes the plan


def _extend(learner: Learner, checkpoint: Checkpoint, clock: Clock) -> Checkpoint:
    progress = checkpoint.progress
    learner.plan = extend_plan(learner, progress.step, progress.seconds, progress.timings, clock)
    return checkpoint.with_new_plan(longer=True)


def _change_threads(learner: Learner, checkpoint: Checkpoint, threads: int) -> Checkpoint:
    step, warmup = checkpoint.progress.step, learner.config.warmup_steps
    learner.plan = learner.plan.replanned(step, learner.total_steps, threads=threads, warmup_steps=warmup)
    return checkpoint.with_new_plan(longer=False)


# --- refusals


def _check_plan(directory: RunDirectory, plan_from: str | Path) -> None:
    """Refuse a plan that is not the one that the run follows."""
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is not None and checkpoint.progress.followed_plan != FollowedRun.read(plan_from).plan:
        raise ConfigError(f"plan_from: {directory.path} does not follow the plan of {plan_from}; leave it out")


def _complete(directory: RunDirectory, checkpoint: Checkpoint, notices: Sequence[str]) -> RunError:
    """Return the error that the run has ended, with notices about it."""
    steps = plural(checkpoint.progress.step, "step")
    complete = (
        f"{directory.path} is complete after {steps}; to train it further, raise --max-steps, or give a --max-time "
        f"above the {checkpoint.progress.seconds:.0f} s that it has trained"
    )
    return RunError(". ".join((complete, *notices)))


def _refuse_shorter(
    directory: RunDirectory,
    training: TrainingConfig,
    before: TrainingConfig,
    checkpoint: Checkpoint,
    *,
    named: dict[str, Any],
    limit: int | None,
) -> None:
    """Refuse a length that makes the run shorter: its time, or the steps of `limit`; `named` are the user's changes."""
    planned, progress = checkpoint.plan.total_steps, checkpoint.progress
    if training.max_time is not None:
        if training.max_time <= progress.seconds:
            raise ConfigError(
                f"max_time: {directory.path} has trained for {progress.seconds:.0f} s already; set a longer time"
            )
        if before.max_time is not None and training.max_time < before.max_time:
            raise _shorter(directory, "max_time", f"{training.max_time:g} s", f"{before.max_time:g} s", named)
        planned = progress.step + 1  # the length is a time now
    if limit is not None and limit < planned:
        name = "max_steps" if limit == training.max_steps else "max_epochs"
        raise _shorter(directory, name, str(getattr(training, name)), plural(planned, "step"), named)


def _shorter(
    directory: RunDirectory, name: str, now: str, planned: str, named: dict[str, Any]
) -> ConfigError | RunError:
    if name in named:
        return ConfigError(f"{name}: this run is planned for {planned}; it can only become longer")
    return RunError(
        f"{directory.config}: training.{name} is {now}, and was {planned}; restore it, as a run cannot become shorter; "
        f"to make it longer, raise --{name.replace('_', '-')} on the command line"
    )


def _check_same_config(directory: RunDirectory, config: RunConfig, checkpoint: Checkpoint) -> RunConfig:
    """Return the checkpoint's copy of the config; refuse a config.json that differs in a setting that is fixed."""
    try:
        then = RunConfig.from_json(read_at_most(checkpoint.config, MAX_CONFIG_BYTES), str(checkpoint.config))
    except OSError as error:
        raise RunError(f"{checkpoint.config} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunError(f"{error}; another version of seqgen wrote it") from error
    free = ["seqgen", *(f"training.{name}" for name in CHANGEABLE_SETTINGS)]
    changed = [
        f"{name} is {now}, and was {before}"
        for name, (before, now) in differing_settings(then, config, ignored=free).items()
        if not name.startswith("environment.")
    ]
    if changed:
        raise RunError(
            f"{directory.config} was changed since the last checkpoint: {'; '.join(changed)}; restore it from "
            f"{checkpoint.config}, or start a new run"
        )
    return then


# --- notices


def _environment_notices(recorded: RunConfig, environment: dict[str, str | int]) -> Sequence[str]:
    now: dict[str, str | int] = {"seqgen": __version__, **environment}
    then = {"seqgen": recorded.seqgen, **recorded.environment}
    return [
        f"{name} is {now.get(name)}, and was {before}: the run continues, but no longer bit for bit as it would have"
        for name, before in then.items()
        if now.get(name) != before
    ]


def _restore_best(directory: RunDirectory, checkpoint: Checkpoint) -> list[str]:
    """Restore model.safetensors from the checkpoint if it differs; return a notice about it."""
    if checkpoint.progress.step == 0 or not publish_best(checkpoint, directory.weights):
        return []
    return [f"{directory.weights} was missing or changed, and has been restored from {checkpoint.path.name}"]


def _metrics_notice(directory: RunDirectory, checkpoint: Checkpoint) -> list[str]:
    try:
        complete = kept_length(directory.metrics, checkpoint.progress.metrics_bytes)
    except OSError as error:
        raise RunError(f"{directory.metrics} cannot be read: {error.strerror or error}; remove it") from error
    if complete == checkpoint.progress.metrics_bytes:
        return []
    return [f"{directory.metrics} is missing or damaged: some events before {checkpoint.path.name} are lost"]

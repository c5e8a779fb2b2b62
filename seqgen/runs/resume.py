"""A run that goes on: from a directory to where its last whole checkpoint left it, or a refusal that says why not."""

from __future__ import annotations

import itertools
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.pipeline import read_texts
from seqgen.device import describe_environment
from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.runs.config import CHANGEABLE, LENGTHS, RunConfig, flatten, unknown_setting
from seqgen.runs.directory import CONFIG_CAP, RunDirectory, find_run, find_runs
from seqgen.runs.follow import PlannedRun
from seqgen.runs.setup import RunSetup, build_learner, check_same_text, encode_corpus
from seqgen.sources.config import absolute
from seqgen.tokenizers.config import TokenizerConfig, TokenizerKind
from seqgen.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, publish_best
from seqgen.training.config import TrainingConfig
from seqgen.training.metrics import is_as_known
from seqgen.training.time_budget import Clock, extended, steps_for
from seqgen.training.trainer import ended
from seqgen.utils.files import read_at_most, sweep
from seqgen.utils.progress import Report
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from filelock import BaseFileLock


def resume_run(
    out: str | Path | None,
    init_from: str | Path | None,
    plan_from: str | Path | None,
    settings: dict[str, Any],
    report: Report,
    clock: Clock,
) -> RunSetup:
    """Continue the run in `out`, or the newest one, with those of the `CHANGEABLE` settings changed.

    Other settings may be repeated, so that the command that began a run continues it; what differs is refused by name.
    Errors as of `seqgen.train`.
    """
    text = settings.get("text")
    for name in [text] if isinstance(text, str) else text or ():
        if _is_run(Path(name)):
            raise ConfigError(
                f"resume: {name} is a run, not a text: seqgen train --resume --out {shlex.quote(str(name))}"
            )
    if init_from is not None:
        settings = {**settings, "init_from": str(init_from)}
    directory = _find(out, settings)
    changes = _changes(directory, settings)  # or it is no run, and nothing to be locked
    lock = directory.hold()
    try:
        if plan_from is not None:
            _check_plan(directory, plan_from)
        return _go_on(directory, changes, lock, report, clock)
    except BaseException:
        lock.release()
        raise


def _check_plan(directory: RunDirectory, plan_from: str | Path) -> None:
    """Refuse a plan that is not the one which the run follows."""
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is not None and checkpoint.progress.given_plan != PlannedRun.read(plan_from).plan:
        raise ConfigError(f"plan_from: {directory.path} does not follow the plan of {plan_from}; leave it out")


def _find(out: str | Path | None, settings: dict[str, Any]) -> RunDirectory:
    """The run that is meant: the newest, where a text is named the newest on that text."""
    if out is None and settings.keys() & {"text", "cell"}:
        for directory, config in reversed(find_runs()):
            if isinstance(config, RunConfig):
                named = {name: settings[name] for name in ("text", "cell") if name in settings}
                if all(then == now for then, now in (_values(config, *item) for item in named.items())):
                    return directory
    return find_run(out, trained=False)


def _changes(directory: RunDirectory, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that continues which change it.

    Raises:
        ConfigError: one is unknown or impossible, or differs from the run's and cannot change; the message names it.
    """
    recorded = directory.read_config()
    differing: dict[str, tuple[Any, Any]] = {}
    for name, value in settings.items():
        then, now = _values(recorded, name, value)
        if then != now and not (name in {"device", "precision"} and now == "auto"):
            differing[name] = (then, now)
    fixed = [f"{name} is {_shown(then)}, not {_shown(now)}" for name, (then, now) in differing.items()
             if name not in CHANGEABLE]  # fmt: skip
    if fixed:
        raise ConfigError(
            f"resume: in {directory.path} {'; '.join(fixed)}; leave that out to continue this run, name another by "
            "--out, or start a new one without --resume"
        )
    lengths = {name: settings.get(name) for name in LENGTHS} if differing.keys() & set(LENGTHS) else {}
    return {**lengths, **{name: settings[name] for name in differing if name not in LENGTHS}}


def _values(recorded: RunConfig, name: str, value: Any) -> tuple[Any, Any]:
    """A setting as the run has it, and as `value` would be; errors as of `_changes`."""
    if name == "cell":
        return recorded.model.cell, value
    if name == "init_from":
        return recorded.init_from, absolute(value)
    if name == "tokenizer":
        if value in get_args(TokenizerKind):
            return recorded.tokenizer.kind, value
        return recorded.tokenizer.fingerprint, tokenizers.load(Path(value)).fingerprint
    built = recorded.tokenizer.asked or TokenizerConfig(kind=recorded.tokenizer.kind)
    for part in (recorded.model, built, recorded.data, recorded.training):
        if name in type(part).model_fields:
            then, now = (getattr(part, name), getattr(type(part).of(**{**part.model_dump(), name: value}), name))
            if name in {"text", "valid", "cache_dir"} and now is not None:
                now = tuple(map(absolute, now)) if isinstance(now, tuple) else absolute(now)
            return then, now
    raise ConfigError(unknown_setting(name, recorded.model.cell))


def _is_run(path: Path) -> bool:
    try:
        return RunDirectory(path).config.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _go_on(
    directory: RunDirectory, changes: dict[str, Any], lock: BaseFileLock, report: Report, clock: Clock
) -> RunSetup:
    recorded = directory.read_config()
    for folder in (directory.path, directory.checkpoints):
        sweep(folder)
    checkpoint = newest_checkpoint(directory.checkpoints)
    if checkpoint is None:
        raise RunError(
            f"{directory.path} has no checkpoint to go on from; restore one from a copy, or start a new run from its "
            "weights, if it has any, by --init-from"
        )
    notices = [f"{damage}: going on from {checkpoint.path.name}, before it" for damage in checkpoint.damaged]
    before = _check_same_config(directory, recorded, checkpoint).training
    training = TrainingConfig.of(**{**recorded.training.model_dump(), **changes})
    config = recorded.model_copy(update={"training": training})
    changed = [getattr(training, name) for name in LENGTHS] != [getattr(before, name) for name in LENGTHS]
    if changed:
        _refuse_shorter(directory, training, before, checkpoint, changes, training.max_steps)
    else:
        _refuse_complete(directory, training, checkpoint)
    texts = read_texts(config.data, report, config.text)
    check_same_text(texts, config.text, config.data)
    corpus = encode_corpus(texts, tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint), report)
    learner = build_learner(config.model, training, corpus)
    load_checkpoint(checkpoint, learner, config.identity)
    if changed:
        limit = steps_for(training, learner.stream)
        _refuse_shorter(directory, training, before, checkpoint, changes, limit)
        changed = training.max_time is not None or limit != checkpoint.plan.total_steps
    if changed:
        progress = checkpoint.progress
        learner.plan = extended(learner, progress.step, progress.seconds, progress.pace, clock)
        steps = plural(learner.total_steps, "step")
        notices.append(
            f"{steps if training.max_time is None else f'about {steps}'} are a new schedule: the learning rate follows "
            "that one from here on"
        )
        checkpoint = checkpoint.with_new_plan(longer=True)
    elif training.threads is not None and training.threads != learner.plan.now.threads:
        step = checkpoint.progress.step
        learner.plan = learner.plan.replanned(
            step, learner.total_steps, threads=training.threads, warmup=training.warmup_steps
        )
        checkpoint = checkpoint.with_new_plan(longer=False)
    _refuse_complete(directory, training, replace(checkpoint, plan=learner.plan))
    environment = describe_environment(learner.model.device, learner.precision)
    here = {"seqgen": __version__, **environment}
    notices += [
        f"{name} is {here.get(name)}, and was {then}: the run goes on, but not to the bit as it would have"
        for name, then in {"seqgen": recorded.seqgen, **recorded.environment}.items()
        if here.get(name) != then
    ]
    config = config.model_copy(update={"seqgen": __version__, "environment": environment})
    # Only now that nothing can be refused any more is anything written.
    notices += _restore_best(directory, checkpoint)
    if not is_as_known(directory.metrics, checkpoint.progress.metrics_bytes, checkpoint.progress.metrics_sha256):
        notices.append(_set_aside(directory.metrics, checkpoint))
        checkpoint = checkpoint.with_metrics_begun_anew()
    if config != recorded:
        directory.write_config(config)
    return RunSetup(directory, config, corpus, learner, checkpoint, lock, notices)


def _refuse_complete(directory: RunDirectory, training: TrainingConfig, checkpoint: Checkpoint) -> None:
    """Refuse a run that has ended."""
    if ended(checkpoint.progress, checkpoint.plan, training) is None:
        return
    ways = [
        "--max-steps with a larger number, or --max-time with more seconds than it has had",
        *_restore_best(directory, checkpoint),
    ]
    steps = plural(checkpoint.progress.step, "step")
    raise RunError(f"{directory.path} is complete after {steps}; to train it further say {'; '.join(ways)}")


def _refuse_shorter(
    directory: RunDirectory,
    training: TrainingConfig,
    before: TrainingConfig,
    checkpoint: Checkpoint,
    changes: dict[str, Any],
    limit: int | None,
) -> None:
    """Refuse a length that makes the run shorter: by its time, or by `limit`, the steps that it allows."""
    planned, progress = checkpoint.plan.total_steps, checkpoint.progress
    if training.max_time is not None:
        if training.max_time <= progress.seconds:
            raise ConfigError(
                f"max_time: {directory.path} has trained for {progress.seconds:.0f} s already; give more than that"
            )
        if before.max_time is not None and training.max_time < before.max_time:
            raise _shorter(directory, "max_time", f"{training.max_time:g} s", f"{before.max_time:g} s", changes)
        planned = progress.step + 1  # what is asked for is a time now
    if limit is not None and limit < planned:
        name = "max_steps" if limit == training.max_steps else "max_epochs"
        raise _shorter(directory, name, str(getattr(training, name)), plural(planned, "step"), changes)


def _shorter(
    directory: RunDirectory, name: str, now: str, planned: str, changes: dict[str, Any]
) -> ConfigError | RunError:
    if name in changes:
        return ConfigError(f"{name}: this run was planned for {planned}; it can only be longer")
    return RunError(
        f"{directory.config}: training.{name} is {now}, and was {planned}; restore it: a run cannot become shorter, "
        f"and is made longer by a larger --{name.replace('_', '-')} on the command line"
    )


def _check_same_config(directory: RunDirectory, config: RunConfig, checkpoint: Checkpoint) -> RunConfig:
    """The config of the checkpoint, from which config.json may differ in what may change in a run that goes on."""
    try:
        then = RunConfig.from_json(read_at_most(checkpoint.config, CONFIG_CAP), str(checkpoint.config))
    except OSError as error:
        raise RunError(f"{checkpoint.config} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunError(f"{error}; another version of seqgen wrote it") from error
    before, now = (flatten(one.model_dump(mode="json")) for one in (then, config))
    changed = sorted(
        f"{name} is {now.get(name)}, and was {before.get(name)}"
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name)
        and not name.startswith("environment.")
        and name != "seqgen"
        and name not in {f"training.{setting}" for setting in CHANGEABLE}
    )
    if changed:
        raise RunError(
            f"{directory.config} is not what this run was trained with: {'; '.join(changed)}; restore it "
            f"(as in {checkpoint.config}), or start a new run"
        )
    return then


def _restore_best(directory: RunDirectory, checkpoint: Checkpoint) -> list[str]:
    """Put the best weights that the checkpoint knows back in their place; what to say of it."""
    if checkpoint.progress.step == 0 or not publish_best(checkpoint, directory.weights):
        return []
    return [f"{directory.weights} was not as {checkpoint.path.name} knew it, and has been restored from there"]


def _set_aside(metrics: Path, checkpoint: Checkpoint) -> str:
    """Take metrics that are not those of the run out of its way, whatever they are; what to say of it."""
    said = f"{metrics} is not as {checkpoint.path.name} knew it: its lines begin anew at this step"
    if not os.path.lexists(metrics):
        return said
    names = (metrics.with_name(f"metrics.damaged-{number}.jsonl") for number in itertools.count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    try:
        metrics.rename(aside)
    except OSError as error:
        raise SaveError(f"{metrics} cannot be set aside: {error.strerror or error}; remove it") from error
    return f"{said}, and what was there is {aside.name}"

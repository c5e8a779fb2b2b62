"""A run that goes on: from a directory to where its last whole checkpoint left it, or a refusal that says why not."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.data.progress import Report
from seqgen.data.texts import read_texts
from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.files import read_at_most, sweep
from seqgen.preparation import Prepared, build_learner, check_same_text, encode_corpus
from seqgen.run import CHANGEABLE, CONFIG_CAP, RunConfig, RunDirectory
from seqgen.runtime import describe_environment
from seqgen.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, publish_best
from seqgen.training.config import TrainingConfig
from seqgen.training.loop import ended
from seqgen.training.metrics import is_as_known
from seqgen.wording import counted

if TYPE_CHECKING:
    from filelock import BaseFileLock


def resume(directory: RunDirectory, settings: dict[str, Any], report: Report) -> Prepared:
    """The run in `directory`, with those of the `CHANGEABLE` settings changed; errors as of `seqgen.train`."""
    others = sorted(set(settings) - set(CHANGEABLE))
    if others:
        raise ConfigError(f"resume: {', '.join(others)} cannot change in a run that goes on; start a new one instead")
    directory.read_config()  # or it is no run, and nothing to be locked
    lock = directory.hold()
    try:
        return _go_on(directory, settings, lock, report)
    except BaseException:
        lock.release()
        raise


def _go_on(directory: RunDirectory, settings: dict[str, Any], lock: BaseFileLock, report: Report) -> Prepared:
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
    planned = _check_same_config(directory, recorded, checkpoint).training.max_steps or 0
    if "max_steps" not in settings and (recorded.training.max_steps or 0) < planned:
        raise RunError(
            f"{directory.config}: training.max_steps is {recorded.training.max_steps or 'null'}, and was {planned}; "
            "restore it: a run cannot become shorter, and is made longer by a larger --max-steps on the command line"
        )
    config = _change(recorded, settings, planned)
    steps = config.training.max_steps or 0
    if steps > planned:
        notices.append(f"{steps} steps are a new schedule: the learning rate goes on by that one")
        checkpoint = checkpoint.with_patience()  # which begins anew too
    if ended(checkpoint.progress, config.training) is not None:
        raise RunError(
            f"{directory.path} is complete after {counted(checkpoint.progress.step, 'step')}; to train it further say "
            + "; ".join(["--max-steps with a larger number", *_restore_best(directory, checkpoint)])
        )
    texts = read_texts(config.data, report, config.text)
    check_same_text(texts, config.text, config.data)
    corpus = encode_corpus(texts, tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint), report)
    learner = build_learner(config.model, config.training, corpus)
    learner.set_length(config.training)
    load_checkpoint(checkpoint, learner, config.identity)
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
    return Prepared(directory, config, corpus, learner, checkpoint, lock, notices)


def _check_same_config(directory: RunDirectory, config: RunConfig, checkpoint: Checkpoint) -> RunConfig:
    """The config of the checkpoint, from which config.json may differ in what may change in a run that goes on."""
    try:
        then = RunConfig.from_json(read_at_most(checkpoint.config, CONFIG_CAP), str(checkpoint.config))
    except OSError as error:
        raise RunError(f"{checkpoint.config} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunError(f"{error}; another version of seqgen wrote it") from error
    before, now = (_flatten(one.model_dump(mode="json")) for one in (then, config))
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


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: `training.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


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


def _change(config: RunConfig, settings: dict[str, Any], planned: int) -> RunConfig:
    """The config of a run that goes on, which may be longer than `planned` and on another device."""
    training = TrainingConfig.of(**{**config.training.model_dump(), **settings})
    if (training.max_steps or 0) < planned:
        raise ConfigError(f"max_steps: this run was planned for {counted(planned, 'step')}; it can only be longer")
    return config.model_copy(update={"training": training})

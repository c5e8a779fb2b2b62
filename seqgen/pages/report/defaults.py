"""The settings of a run that differ from the defaults. No torch."""

from __future__ import annotations

from typing import Any

from seqgen.config import Config, settings_of
from seqgen.data.config import DataConfig
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import LENGTH_SETTINGS, RunConfig, default_cell, resolve_settings
from seqgen.tokenizers.auto import AUTO
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.config import FitConfig
from seqgen.training.presets import DEFAULT_TIME, SIZE_SETTINGS

_NOT_COMPARED = {"cell", "task", "tokenizer", "order", "device", "precision", "cache_dir", *LENGTH_SETTINGS}
"""Settings whose default depends on the text or the machine, or that `nondefault_settings` compares in another way."""


def nondefault_settings(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a run that differ from the defaults, with their values and the defaults.

    Defaults are those of the run's cell, training time, sizes and optimizer. A setting of a mixture's member has the
    name of the member before its own: `lstm.hidden_size`.
    """
    data, training, task = config.data, config.training, config.data.task
    usual_cell = default_cell({"task": task, "valid": data.valid, "valid_split": data.valid_split})
    found: dict[str, tuple[Any, Any]] = {}
    if config.model.name != usual_cell:
        found["cell"] = config.model.name, usual_cell
    trained = [training, *(member.training for member in config.members.values())]
    given = [(name, getattr(one, name, None)) for name in LENGTH_SETTINGS for one in reversed(trained)]
    lengths = {name: value for name, value in given if value is not None}  # of a mixture its own, else its members'
    usual_lengths = {"max_time": DEFAULT_TIME} if FAMILIES[config.model.cell].neural or config.members else {}
    if lengths != usual_lengths:
        found |= {name: (value, usual_lengths.get(name)) for name, value in lengths.items()}
    found |= _tokenizer_differences(config)
    found |= _differences(data, DataConfig(task=task, valid_split="none" if data.valid else "auto"))
    for name in ("init_from", "init_embeddings"):
        if (source := getattr(config, name)) is not None:
            found[name] = source, None
    if not config.members:
        return found | _model_differences(config, lengths)
    found |= _differences(training, FitConfig())
    shared = sum(FAMILIES[member.model.cell].neural for member in config.members.values())
    if training.max_time is not None and shared:
        lengths["max_time"] = training.max_time / shared  # by which the presets of the members were chosen
    for name, member in config.members.items():
        own = _model_differences(member, lengths)
        found |= {f"{name}.{setting}": values for setting, values in own.items() if setting not in {"seed", "threads"}}
    return found


def _tokenizer_differences(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    record, asked = config.tokenizer, config.tokenizer.asked
    if asked is None:
        return {"tokenizer": (record.kind, AUTO)}
    usual = TokenizerConfig(kind=asked.kind, raw=asked.raw)
    if record.auto:
        usual = usual.model_copy(update={"vocab_size": asked.vocab_size})
    named = {} if record.auto or config.data.is_raw else {"tokenizer": (record.kind, AUTO)}
    return named | _differences(asked, usual)


def _model_differences(config: RunConfig, lengths: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings of model and training of a run that is not a mixture; `lengths` choose its preset."""
    named = {"cell": config.model.name, "task": config.data.task}
    if FAMILIES[config.model.cell].neural:
        named |= lengths
    usual, values = resolve_settings(named), {**dict(config.model), **dict(config.training)}
    decisive = {
        name: (values[name], value)
        for name, value in {**dict(usual.model), **dict(usual.training)}.items()
        if name in {*SIZE_SETTINGS, "optimizer"} and values[name] != value
    }
    given = resolve_settings({**named, **{name: value for name, (value, _) in decisive.items()}})
    return decisive | _differences(config.model, given.model) | _differences(config.training, given.training)


def _differences(config: Config, usual: Config) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a config that differ from another of its class, with both values."""
    names = settings_of(type(usual)).keys() & type(usual).model_fields.keys()
    return {
        name: (value, getattr(usual, name))
        for name, value in config
        if name in names - _NOT_COMPARED and value != getattr(usual, name)
    }

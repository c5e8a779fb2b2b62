"""Follow another run's plan (`--plan-from`), so that a run with a time limit can be repeated exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from seqgen.errors import ConfigError, RunError
from seqgen.runs.config import (
    CHANGEABLE_SETTINGS,
    IDENTITY_PARTS,
    LENGTH_SETTINGS,
    RunConfig,
    differing_settings,
)
from seqgen.runs.directory import RunDirectory
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.plan import Plan


@dataclass(frozen=True)
class FollowedRun:
    """The config of a run, and its plan so far."""

    path: Path
    config: RunConfig
    plan: Plan

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the run in the directory `path`.

        Raises:
            RunError: it is not a run, or has no complete checkpoint.
        """
        directory = RunDirectory(Path(path))
        config, checkpoint = directory.read_config(), newest_checkpoint(directory.checkpoints)
        if checkpoint is None:
            raise RunError(f"{path} has no checkpoint, so it has no plan to follow")
        return cls(directory.path, config, checkpoint.plan)

    def fill_in(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return `settings` with the length, threads, device and precision of this run.

        Raises:
            ConfigError: `settings` names a length or threads.
        """
        of_the_plan = (*LENGTH_SETTINGS, "threads")
        if named := [name for name in of_the_plan if name in settings]:
            raise ConfigError(f"plan_from: {', '.join(named)} comes with the plan of {self.path}; leave it out")
        training = self.config.training
        filled = (*of_the_plan, *(name for name in ("device", "precision") if name not in settings))
        asked = {name: value for name in filled if (value := getattr(training, name)) is not None}
        return {**settings, **asked}

    @property
    def chosen_tokenizer(self) -> dict[str, Any] | None:
        """What `--tokenizer auto` chose for this run, as settings: a run that follows it has the same.

        This run may have got more time since, for which another tokenizer would be chosen.
        """
        record = self.config.tokenizer
        return record.asked.model_dump(include={"kind", "vocab_size", "grow"}) if record.auto and record.asked else None

    def check_same(self, config: RunConfig) -> None:
        """Refuse a run that would not have the weights of this one.

        Raises:
            ConfigError: a setting or the text differs; the message names it.
        """
        free = {f"training.{name}" for name in CHANGEABLE_SETTINGS if name not in {"device", "precision"}}
        differing = differing_settings(
            self.config, config, parts={**IDENTITY_PARTS, "init_from": True, "init_embeddings": True}, ignored=free
        )
        if differing:
            shown = "; ".join(f"{name} is {now}, there {then}" for name, (then, now) in differing.items())
            raise ConfigError(f"plan_from: the settings differ from those of {self.path}: {shown}")

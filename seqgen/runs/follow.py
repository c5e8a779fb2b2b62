"""A run whose plan another one follows, and what that one has to have in common with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from seqgen.errors import ConfigError, RunError
from seqgen.runs.config import CHANGEABLE, LENGTHS, OF_THE_WEIGHTS, RunConfig, flatten
from seqgen.runs.directory import RunDirectory
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.plan import Plan


@dataclass(frozen=True)
class PlannedRun:
    """The config and the plan of a run, as far as it has come."""

    path: Path
    config: RunConfig
    plan: Plan

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the run in the directory `path`.

        Raises:
            RunError: it is no run, or has no whole checkpoint.
        """
        directory = RunDirectory(Path(path))
        config, checkpoint = directory.read_config(), newest_checkpoint(directory.checkpoints)
        if checkpoint is None:
            raise RunError(f"{path} has no checkpoint, so it has no plan to follow")
        return cls(directory.path, config, checkpoint.plan)

    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return `settings` with the length, the threads, and where none is named the device and precision of the run.

        Raises:
            ConfigError: they name one of these.
        """
        of_the_plan = (*LENGTHS, "threads")
        if named := [name for name in of_the_plan if name in settings]:
            raise ConfigError(f"plan_from: {', '.join(named)} comes with the plan of {self.path}; leave it out")
        training = self.config.training
        filled = (*of_the_plan, *(name for name in ("device", "precision") if name not in settings))
        asked = {name: value for name in filled if (value := getattr(training, name)) is not None}
        return {**settings, **asked}

    def check_same(self, config: RunConfig) -> None:
        """Refuse a run that would not have the weights of this one.

        Raises:
            ConfigError: a setting or the text is not the same; the message names it.
        """
        parts = {*OF_THE_WEIGHTS, "init_from"}
        then, now = (flatten(one.model_dump(mode="json", include=parts)) for one in (self.config, config))
        free = {f"training.{name}" for name in CHANGEABLE if name not in {"device", "precision"}}
        differing = [name for name in then.keys() | now.keys() if then.get(name) != now.get(name) and name not in free]
        if differing:
            shown = "; ".join(f"{name} is {now.get(name)}, there {then.get(name)}" for name in sorted(differing))
            raise ConfigError(f"plan_from: this would be another run than {self.path}: {shown}")

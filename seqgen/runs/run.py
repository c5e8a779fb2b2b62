"""The base of trained runs: what runs of every task have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from seqgen.data.pipeline import read_texts
from seqgen.data.split import Split
from seqgen.errors import ConfigError, RunError
from seqgen.models.base import LanguageModel
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory
from seqgen.runs.setup import check_same_text
from seqgen.sources.config import BYTES, Reading, Task
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.base import Tokenizer

R = TypeVar("R", bound="Run")


class Run:
    """A trained model with its tokenizer. `model` is a plain torch module.

    It is a `TextRun`, a `TranslatorRun` or a `LabelerRun`, by the task that it was trained for.
    """

    tasks: ClassVar[tuple[Task, ...]]
    """What runs of this class were trained for."""
    commands: ClassVar[str]
    """The commands that use them."""

    def __init__(
        self,
        directory: RunDirectory,
        config: RunConfig,
        model: LanguageModel,
        tokenizer: Tokenizer,
        threads: int | None = None,
    ) -> None:
        self.path = directory.path
        self._directory = directory
        self.config = config
        self.model = model
        self.tokenizer = tokenizer
        self._threads = threads

    def expect(self, kind: type[R]) -> R:
        """Return this run if it is of this class, which has the methods for its tasks.

        Raises:
            ConfigError: it was trained for another task.
        """
        if not isinstance(self, kind):
            tasks = " or ".join(f"--task {task}" for task in kind.tasks)
            raise ConfigError(
                f"run: {self.path} was trained with --task {self.config.data.task}, not {tasks}; use it with "
                f"{self.commands}, or name another run"
            )
        return self

    def reading(self, **settings: Any) -> Reading:
        """Return how to read texts for this model: as bytes for a model of bytes, else by `settings` of `Reading`.

        By default a document is what it was in the training text: a file, a line or a paragraph. Pairs in JSON lines
        have the fields that they had there.

        Raises:
            ConfigError: a setting is unknown or impossible, or the encoding does not fit this model.
        """
        data, raw = self.config.data, self.config.data.is_raw
        fixed = {"encoding": BYTES if raw else "utf-8", **({"task": data.task} if data.has_pairs else {})}
        reading = Reading.of(**{**fixed, **settings})
        reading = reading.with_defaults_of(data)
        if reading.is_raw != raw:
            kind = "bytes; use --encoding bytes, or leave it out" if raw else "text, so it cannot read raw bytes"
            raise ConfigError(f"encoding: this model is a model of {kind}")
        return reading

    def validation_texts(self) -> LoadedDocuments:
        """Return the run's validation texts.

        Raises:
            RunError: the run has none, or its text has changed.
        """
        split = self._split(self.config)
        texts = split.valid.documents()
        if not texts:
            raise RunError(f"{self.path} has no validation part; name a text to evaluate")
        return LoadedDocuments.of(texts, split.end_bytes(split.valid).tolist(), split.ends(split.valid).tolist())

    def _split(self, config: RunConfig) -> Split:
        texts = read_texts(config.data, record=config.text)
        check_same_text(texts, config.text, config.data)
        return texts.split


def short_names(runs: Sequence[Run]) -> list[str]:
    """Return names of runs for tables and charts: those of their directories, or their paths where two are alike."""
    names = [run.path.name for run in runs]
    return [str(run.path) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]

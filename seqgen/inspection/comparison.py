"""Compare runs on texts: bits per byte with intervals, paired differences, and the spread over seeds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen.errors import ConfigError, RunError
from seqgen.evaluation.adaptation.config import AdaptationConfig
from seqgen.evaluation.bootstrap import (
    BLOCK_CELLS,
    Difference,
    Floats,
    Integers,
    block_length,
    cut_cells,
    least_permutation_p,
    nats_by_cell,
    permutation_p,
    resample,
)
from seqgen.evaluation.config import EvaluationConfig
from seqgen.runs.config import CHANGEABLE_SETTINGS, IDENTITY_PARTS, LENGTH_SETTINGS, RunConfig, differing_settings
from seqgen.runs.directory import RunDirectory
from seqgen.sources.config import GENERATE
from seqgen.sources.source import LoadedDocuments, load_documents
from seqgen.utils.text import without_surrogates

if TYPE_CHECKING:
    from seqgen.runs.text import TextRun

VALIDATION = "validation part"
"""The name of the text that the runs withheld."""
Progress = Callable[["TextRun", str, int, int], None]
"""Receives a run, the name of a text, how many of its tokens were scored, and their total."""


@dataclass(frozen=True)
class RunOnText:
    """What a text costs a run."""

    bits_per_byte: float
    """As `evaluate_documents` reports it."""
    interval: tuple[float, float] | None
    """Of `CONFIDENCE`; None if the text has too few blocks."""
    tokens: int
    seconds: float
    """Of scoring."""

    @property
    def tokens_per_second(self) -> float:
        """The speed of scoring."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class ComparedText:
    """A text, with what it costs every run."""

    name: str
    dynamic: bool
    """Whether the models learned while they read."""
    bytes: int
    block_bytes: int
    """The length of the blocks of the bootstrap."""
    blocks: int
    """How many blocks the text has."""
    runs: tuple[RunOnText, ...]
    """In the order in which the runs were given."""
    differences: tuple[Difference, ...]
    """Of every two runs, by their numbers; none if the text has too few blocks."""

    @property
    def bits_per_byte(self) -> list[float]:
        """The figure of each run."""
        return [one.bits_per_byte for one in self.runs]


@dataclass(frozen=True)
class SeedSpread:
    """The figures of runs that differ only in their seed, on one text."""

    mean: float
    deviation: float | None
    """The standard deviation; None of a single run."""
    low: float
    """The least."""
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedSpread:
        """Return the spread of some values."""
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, min(values), max(values))


@dataclass(frozen=True)
class MethodDifference:
    """By how many bits per byte the mean of the second of two groups of seeds is above the mean of the first.

    This one is a claim about two methods, on one text: the seeds are what would be drawn anew.
    """

    first: int
    second: int
    bits_per_byte: float
    p: float
    """By a permutation test of the seeds."""
    least_p: float
    """The least `p` that so few seeds can have."""


def compare(
    runs: Iterable[TextRun],
    texts: Sequence[str] = (),
    *,
    reading: Mapping[str, Any] | None = None,
    block: int | None = None,
    note: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda *_: None,
    **settings: Any,
) -> list[ComparedText]:
    """Score each text under each run, and compare the runs on it.

    With `dynamic` or `cache` there are two results for each text: of the models as they are, and as they learn.

    Args:
        runs: an iterator may load each when its turn comes, so that only one is in memory.
        texts: files, folders, `corpus:NAME`; none is the validation part, as `read_comparable` allows it.
        reading: the fields of `Reading`, which set how the texts are read.
        block: bytes of a block of the bootstrap; None is `block_length` of the text.
        note: receives what was skipped or replaced in a text, a sentence each.
        progress: receives how much was scored.
        settings: the fields of `EvaluationConfig`.

    Raises:
        TextError: a text cannot be read, or is empty.
        ConfigError: a setting is impossible, or two runs do not read the same bytes.
    """
    ways = {False: {name: value for name, value in settings.items() if name not in AdaptationConfig.model_fields}}
    if EvaluationConfig.of(**settings).adapts:
        ways[True] = settings
    sources = _Sources(list(dict.fromkeys(texts)), reading or {}, note)
    costs: dict[tuple[str, bool], _Costs] = {}
    for run in runs:
        for name, documents in sources.read(run):
            if len(documents) == 1 and run.is_training_text(documents[0]):
                note(f"{run.path} was trained on {name}, so its figures show how well it was memorized")
            for dynamic, way in ways.items():
                own = costs.setdefault((name, dynamic), _Costs(name, block, dynamic=dynamic))
                own.add(run, documents, progress, way)
    return [one.compare() for one in costs.values()]


def require_different(runs: Iterable[str | Path], option: str | None = None) -> None:
    """Check that no run is named twice; `option` is as of `read_comparable`.

    Raises:
        ConfigError: the message names it.
    """
    seen: set[Path] = set()
    for run in runs:
        path = Path(run).resolve()
        if path in seen:
            raise ConfigError(f"{_prefix(option)}{run} would be compared with itself; name another run")
        seen.add(path)


def read_comparable(
    runs: Sequence[str | Path], *, on_validation: bool, option: str | None = None
) -> dict[str, RunConfig]:
    """Return the configs of runs by name, if the runs can be compared; the weights are not read.

    Args:
        runs: their directories.
        on_validation: whether they are compared on their validation part, which must be the same then, and not on a
            text that is named.
        option: the option that names a run, for messages; None if runs are arguments.

    Raises:
        ConfigError: a run is named twice, was trained for another task than to continue texts, or has another
            validation part.
        RunError: a run is missing, or has no weights.
    """
    require_different(runs, option)
    configs = {}
    for run in runs:
        directory = RunDirectory(Path(run))
        config = directory.read_config()
        if config.data.task != GENERATE:
            raise ConfigError(
                f"{_prefix(option)}{run} was trained with --task {config.data.task}, and only runs of --task "
                f"{GENERATE} are compared; name another run, or measure it alone with seqgen eval"
            )
        if not directory.has_weights:
            raise RunError(f"{run} has no weights yet; continue its training, or leave it out")
        configs[str(run)] = config
    if on_validation:
        require_same_validation(configs, option or "text")
    return configs


def require_same_validation(configs: Mapping[str, RunConfig], option: str = "text") -> None:
    """Check that runs have the same validation part.

    Args:
        configs: of the runs, by name.
        option: the option that the message begins with.

    Raises:
        ConfigError: they have not, or have none.
    """
    parts = {name: _validation_part(config) for name, config in configs.items()}
    first = next(iter(parts))
    for name, part in parts.items():
        if not configs[name].text.valid_tokens:
            raise ConfigError(f"{option}: {name} has no validation part; name a text")
        if part != parts[first]:
            raise ConfigError(
                f"{option}: {first} and {name} have different validation parts, of {configs[first].data.name} and "
                f"{configs[name].data.name}; name a text"
            )


def require_same_bytes(name: str, runs: Mapping[str, bytes], option: str = "text") -> None:
    """Check that runs read the same bytes of a text, so that their bits per byte can be compared.

    Args:
        name: of the text.
        runs: what `bytes_read` returns, by the name of the run.
        option: the option that the message begins with.

    Raises:
        ConfigError: two runs read other bytes.
    """
    (first, content), *others = runs.items()
    for other, read in others:
        if read != content:
            raise ConfigError(
                f"{option}: {first} reads {len(content):,} bytes of {name}, and {other} {len(read):,} or other ones, "
                "because their documents, ends of documents or encodings differ; compare runs that read alike"
            )


def bytes_read(run: TextRun, documents: LoadedDocuments) -> bytes:
    """Return the bytes of documents that a run is scored on."""
    return without_surrogates(run.scored_documents(documents).in_file).encode(run.tokenizer.text_encoding)


def group_by_seed(configs: Mapping[str, RunConfig]) -> dict[str, list[int]]:
    """Return the numbers of the runs that differ only in their seed, by a name of the group.

    The name is what the names of its runs begin with, and where two groups begin alike, the cell with its size.
    """
    groups: list[list[int]] = []
    values = list(configs.values())
    for number, config in enumerate(values):
        alike = (group for group in groups if all(_differ_in_seed_only(values[one], config) for one in group))
        own = next(alike, None)
        if own is None:
            groups.append([number])
        else:
            own.append(number)
    names, found = list(configs), dict[str, list[int]]()
    common = [_common_name([names[one] for one in group]) for group in groups]
    for name, group in zip(common, groups, strict=True):
        model = values[group[0]].model
        full = name if common.count(name) == 1 else f"{name} ({model.name} {model.shape})"
        same = sum(other.startswith(full) for other in found)
        found[f"{full} {same + 1}" if full in found else full] = group
    return found


def compare_methods(text: ComparedText, groups: Sequence[Sequence[int]]) -> list[MethodDifference]:
    """Compare every two groups of at least two seeds on a text."""
    figures = [[text.bits_per_byte[run] for run in group] for group in groups]
    return [
        MethodDifference(
            first,
            second,
            statistics.fmean(figures[second]) - statistics.fmean(figures[first]),
            permutation_p(figures[first], figures[second]),
            least_permutation_p(len(figures[first]), len(figures[second])),
        )
        for first, second in combinations(range(len(groups)), 2)
        if min(len(figures[first]), len(figures[second])) > 1
    ]


def _validation_part(config: RunConfig) -> tuple[object, ...]:
    """Return what a validation part is determined by: its text, or the whole text and how it is divided."""
    data, text = config.data, config.text
    if text.valid_sha256 is not None:
        return text.valid_sha256, data.documents
    return text.sha256, text.split, data.valid_split, data.valid_share, data.documents


def _differ_in_seed_only(one: RunConfig, another: RunConfig) -> bool:
    """Return whether two runs have other seeds, and else only what does not matter, or was measured."""
    differing = {name.rpartition(".") for name in differing_settings(one, another, parts=IDENTITY_PARTS)}
    named = {name for _, _, name in differing}
    lengths = {name for owner, _, name in differing if owner == "training"} & {*LENGTH_SETTINGS, "precision"}
    return "seed" in named and not lengths and named <= {"seed", *CHANGEABLE_SETTINGS}


def _prefix(option: str | None) -> str:
    return "" if option is None else f"{option}: "


def _common_name(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    return "".join(letter for letter, _ in alike) + "*"


class _Sources:
    """The texts to be read, each of them once for each way of reading."""

    def __init__(self, texts: Sequence[str], reading: Mapping[str, Any], note: Callable[[str], None]) -> None:
        self._texts, self._reading, self._note = texts, reading, note
        self._loaded: dict[tuple[str, str], LoadedDocuments] = {}

    def read(self, run: TextRun) -> list[tuple[str, LoadedDocuments]]:
        """Return each text as a run reads it, with its name; all are read before the first is scored."""
        if not self._texts:
            return [(VALIDATION, run.validation_texts())]
        reading = run.reading(**self._reading)
        way = reading.model_dump_json()
        for name in self._texts:
            if (name, way) not in self._loaded:
                self._loaded[name, way] = load_documents([name], reading, self._note)
        return [(name, self._loaded[name, way]) for name in self._texts]


class _Costs:
    """What a text costs each run, cell by cell."""

    def __init__(self, name: str, block: int | None, *, dynamic: bool) -> None:
        self._name, self._block, self._dynamic = name, block, dynamic
        self._edges: Integers = np.zeros(0, np.int64)
        self._content = (b"", "")
        self._nats: list[Floats] = []
        self._tokens: list[int] = []
        self._seconds: list[float] = []

    def add(self, run: TextRun, documents: LoadedDocuments, progress: Progress, settings: Mapping[str, Any]) -> None:
        """Score the text under the next run."""
        name = f"{self._name}, dynamic" if self._dynamic else self._name
        begun = time.perf_counter()
        documents, scores = run.score_documents(
            documents, progress=lambda done, total: progress(run, name, done, total), **settings
        )
        self._seconds.append(time.perf_counter() - begun)
        self._tokens.append(sum(len(one.ids) for one in scores))
        edges = self._cut(run, documents)
        self._nats.append(nats_by_cell(scores, documents, run.tokenizer, edges))

    def _cut(self, run: TextRun, documents: LoadedDocuments) -> Integers:
        """Return the edges of the cells, which the first run sets.

        Raises:
            ConfigError: this run reads other bytes than the first.
        """
        content = bytes_read(run, documents)
        if not len(self._edges):
            self._block = self._block or block_length(len(content))
            self._edges = cut_cells(content, max(self._block // BLOCK_CELLS, 1))
            self._content = (content, str(run.path))
        before, first = self._content
        require_same_bytes(self._name, {first: before, str(run.path): content})
        return self._edges

    def compare(self) -> ComparedText:
        """Return the figures of all runs."""
        nats, sizes = np.array(self._nats), np.diff(self._edges)
        bits = nats.sum(axis=1) / math.log(2) / sizes.sum()
        found = resample(nats, sizes)
        intervals = [None if found is None else found.interval(number) for number in range(len(nats))]
        return ComparedText(
            name=self._name,
            dynamic=self._dynamic,
            bytes=int(sizes.sum()),
            block_bytes=self._block or 0,
            blocks=round(len(sizes) / BLOCK_CELLS),
            runs=tuple(map(RunOnText, bits.tolist(), intervals, self._tokens, self._seconds)),
            differences=() if found is None else tuple(found.differences),
        )

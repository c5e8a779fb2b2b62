"""A run: its config, its directory, and where to find it. No torch.

runs/shakespeare-gru/
  config.json         model, tokenizer, data and training settings; versions; fingerprints of corpus and tokenizer
  tokenizer/          the tokenizer, whole
  model.safetensors   the best weights so far: what sample and eval load
  checkpoints/        step-000500/ ...: everything that training needs to go on exactly
  metrics.jsonl       one line an event
  .lock               held by the process that trains
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, PrivateAttr

from seqgen.data.config import BYTES, PREFIX, STDIN, DataConfig
from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.files import blocking, make_directory, read_at_most, write_atomically
from seqgen.models.config import FAMILIES, ModelConfig
from seqgen.settings import FileName, Settings
from seqgen.tokenizers.config import Normalization, TokenizerConfig, TokenizerKind
from seqgen.training.config import DEFAULT_TIME, TrainingConfig, recipe_for

if TYPE_CHECKING:
    from filelock import BaseFileLock

RUNS = Path("runs")
LENGTHS = ("max_steps", "max_epochs", "max_time")
"""How long a run is; those that are named for a run that continues replace all that it had."""
CHANGEABLE = (*LENGTHS, "threads", "device", "precision", "save_every", "on_save_error")
"""What may change in a run that continues."""
OF_THE_WEIGHTS = ("model", "tokenizer", "text", "training")
"""The parts of a config that make the weights what they are."""
NOT_UTF8 = "the name of a run must be UTF-8, as safetensors opens no others"
CONFIG_CAP = 1 << 20
"""Bytes that a config.json may have: a real one has two thousand."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TokenizerRecord(Settings):
    """The tokenizer: its kind, its size, its Unicode form, and the hash that its files must have."""

    kind: TokenizerKind
    vocab_size: int
    fingerprint: str
    normalization: Normalization = "none"
    asked: TokenizerConfig | None = None
    """What it was built by; None for one that was built before the run."""


class TextRecord(Settings):
    """The text that was read: its hash, and how much of it is learnt from and withheld."""

    sha256: Sha256
    characters: int
    train_tokens: int
    valid_tokens: int
    valid_sha256: Sha256 | None = None
    line_end: str = Field(default="", max_length=3)
    """How lines of a single text end: what is read before a sample without a prompt, so that it begins a line."""


class RunConfig(Settings):
    """Everything that a run was made from. With it and the text, the run can be made again."""

    format_version: Literal[1] = 1
    seqgen: str
    created: str
    model: ModelConfig
    tokenizer: TokenizerRecord
    data: DataConfig
    text: TextRecord
    training: TrainingConfig
    environment: dict[str, str | int]
    init_from: FileName | None = None

    _unsaid: dict[str, set[str]] = PrivateAttr(default_factory=dict)
    """By part of it, the settings that the file it was read from does not have: those of a later version than its."""

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        config = super().from_json(text, where)
        for name in OF_THE_WEIGHTS:
            part: Settings = getattr(config, name)
            unsaid = type(part).model_fields.keys() - part.model_fields_set - set(CHANGEABLE)
            if unsaid:
                config._unsaid[name] = unsaid
        return config

    @property
    def identity(self) -> str:
        """A hash of what makes its weights this run's: model, tokenizer, text, and how it is trained.

        A checksum over weights begins with it, so that neither the weights of another run nor a model that was changed
        since is taken for this one. Made twice, a run has one identity; and it keeps it in a later version, which may
        have more settings and other defaults, as what counts is what its config.json says.
        """
        left_out = {**self._unsaid, "training": {*CHANGEABLE, *self._unsaid.get("training", ())}}
        made_of = self.model_dump(include=set(OF_THE_WEIGHTS), exclude=left_out)
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> bytes:
        """The content of config.json: every setting, less those that the file it was read from does not have."""
        return (self.model_dump_json(indent=2, exclude=self._unsaid) + "\n").encode()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: `training.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class Request(Settings):
    """What a user asked for, sorted into the configs that it belongs to."""

    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    training: TrainingConfig
    tokenizer_from: str | None = None
    """The directory of a tokenizer that is there already; `tokenizer` then counts for nothing."""


def compose(settings: dict[str, Any], *, sized: bool = False) -> Request:
    """Sort flat settings, named as the flags are, into configs, over the cell's recipe.

    Args:
        settings: what the user said.
        sized: whether the model, and so its size and vocabulary, comes from another run.

    Raises:
        ConfigError: a setting is unknown, belongs to another cell, or has an impossible value.
    """
    settings = dict(settings)
    cell = settings.pop("cell", "lstm")
    if not isinstance(cell, str) or cell not in FAMILIES:
        raise ConfigError(f"cell: there is no {cell!r}; choose from {', '.join(FAMILIES)}")
    model_class = FAMILIES[cell][0]
    raw = settings.get("encoding") == BYTES
    tokenizer, tokenizer_from = _choose_tokenizer(settings.pop("tokenizer", "byte" if raw else "char"), settings)
    if raw and tokenizer_from is None:
        tokenizer["raw"] = True
    recipe = recipe_for(cell, settings, sized=sized)
    of_the_model = {name: recipe.pop(name) for name in model_class.model_fields.keys() & recipe.keys()}
    if {"max_steps", "max_epochs", "max_time"}.isdisjoint(settings):
        recipe["max_time"] = DEFAULT_TIME
    sorted_in: list[tuple[type[Settings], dict[str, Any]]] = [
        (model_class, of_the_model), (TokenizerConfig, tokenizer), (DataConfig, {}), (TrainingConfig, recipe)
    ]  # fmt: skip
    for name, value in settings.items():
        values = next((values for owner, values in sorted_in if name in owner.model_fields), None)
        if values is None:
            raise ConfigError(unknown_setting(name, cell))
        values[name] = value
    model, tokenizer_config, data, training_config = (owner.of(**values) for owner, values in sorted_in)
    request = Request.of(
        model=model, tokenizer=tokenizer_config, data=data, training=training_config, tokenizer_from=tokenizer_from
    )
    _refuse_idle(settings, request, with_weights=sized)
    return request


def _refuse_idle(settings: dict[str, Any], request: Request, *, with_weights: bool) -> None:
    """Refuse a setting that would change nothing beside the others."""
    cell, tokenizer, data = request.model.cell, request.tokenizer, request.data
    idle = {
        "bptt": cell == "transformer" and "a transformer learns in windows of --block-size tokens",
        "character_coverage": tokenizer.kind not in {"unigram", "bpe"} and "it counts for unigram and bpe alone",
        "allow_unknown": data.allow_unknown
        and not with_weights
        and request.tokenizer_from is None
        and "the vocabulary is built from the text itself, without --init-from or --tokenizer DIR",
        "valid_share": data.valid_split == "none" and "nothing of the text is withheld",
        "patience": data.valid_split == "none" and data.valid is None and "nothing is withheld to measure gain on",
    }
    for name, reason in idle.items():
        if name in settings and reason:
            raise ConfigError(f"{name}: {reason}, so it would change nothing; leave it out")


def _choose_tokenizer(name: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The settings that a kind's name stands for, or the directory that `name` is."""
    if not isinstance(name, str):
        raise ConfigError(f"tokenizer: should be a kind or a directory, not {name!r}")
    if name in get_args(TokenizerKind):
        return {"kind": name}, None
    if not name or not Path(name).is_dir():
        kinds = ", ".join(get_args(TokenizerKind))
        raise ConfigError(f"tokenizer: {name!r} is neither a kind ({kinds}) nor a directory with a tokenizer in it")
    given = sorted(TokenizerConfig.model_fields.keys() & settings.keys())
    if given:
        raise ConfigError(f"tokenizer: {name} is built already, so {', '.join(given)} cannot be chosen; leave it out")
    return {}, name


def unknown_setting(name: str, cell: str) -> str:
    """Say that there is no such setting, and which may be meant."""
    owners = [other for other, (config, *_) in FAMILIES.items() if name in config.model_fields]
    if owners:
        return f"{name}: {cell} has no such setting; it belongs to {', '.join(owners)}"
    known = [*TokenizerConfig.model_fields, *DataConfig.model_fields, *TrainingConfig.model_fields]
    known += FAMILIES[cell][0].model_fields
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")


class RunDirectory:
    """The names of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.tokenizer = path / "tokenizer"
        self.weights = path / "model.safetensors"
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.lock = path / ".lock"

    def read_config(self) -> RunConfig:
        """The run's config.

        Raises:
            RunError: this is no run directory, or its config is not one.
        """
        try:
            if not self.path.is_dir():
                raise RunError(f"{self.path}: there is no such run; `seqgen runs` lists those there are")
            content = read_at_most(self.config, CONFIG_CAP)
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} is not a run: it has no config.json; name a directory that train made, or copy the one "
                f"from its newest checkpoint back"
            ) from error
        except OSError as error:
            raise RunError(f"{self.config} cannot be read: {error.strerror or error}") from error
        try:
            return RunConfig.from_json(content, str(self.config))
        except ConfigError as error:
            raise RunError(f"{error}; the file was changed, or another version of seqgen wrote it") from error

    def write_config(self, config: RunConfig) -> None:
        """Write config.json, atomically."""
        write_atomically(self.config, config.to_json())

    def hold(self) -> BaseFileLock:
        """Keep every other process from training this run, until the lock is released or this process ends.

        Raises:
            RunError: another holds it, or a directory stands in its place.
            SaveError: nothing can be written here.
        """
        from filelock import FileLock, Timeout

        if self.lock.is_dir():
            raise RunError(f"{self.lock} is a directory, where the file has to be by which a run is held: remove it")
        lock = FileLock(self.lock, thread_local=False)  # whoever drops the run releases it, on whatever thread
        try:
            lock.acquire(timeout=0.3, poll_interval=0.05)  # longer than `is_held` holds it
        except Timeout as error:
            raise RunError(
                f"{self.path} is being trained already, by another process or another object of this one; "
                f"wait until it ends, or stop it"
            ) from error
        except OSError as error:
            raise SaveError(
                f"{self.path} cannot be written: {error.strerror or error}; give it back its permissions, or make room"
            ) from error
        return lock

    def is_held(self) -> bool:
        """Whether a process is training this run now."""
        from filelock import FileLock, Timeout

        if not self.lock.is_file():
            return False
        try:
            with FileLock(self.lock).acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # the file cannot be opened: who cannot write there does not see who trains
            return False


def check_free(out: str | Path | None) -> None:
    """Refuse a run directory that is there already or cannot be made, before any work is done for it.

    Raises:
        ConfigError: its name is empty.
        RunError: it is there.
        SaveError: it cannot be.
    """
    if out == "":  # which pathlib takes for the folder that one is in
        raise ConfigError("out: the name is empty; name a directory that is not there yet, or leave it out")
    if out is not None and _is_there(Path(out)):
        raise RunError(_taken(out))
    if (nearest := blocking(Path(out if out is not None else RUNS / "new"))) is not None:
        raise SaveError(
            f"the run directory {out or RUNS} cannot be made: {nearest} cannot be written; choose another --out"
        )


def _is_there(path: Path) -> bool:
    try:
        if not _is_utf8(path):
            raise SaveError(f"the run directory {path} cannot be made: {NOT_UTF8}; choose another --out")
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # too long, or with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"the run directory {str(path)!r} cannot be made: {reason}; choose another --out") from error
    return True


def _is_utf8(path: Path) -> bool:
    """Whether a path has no bytes that are not UTF-8, which Python marks by surrogates."""
    return _utf8(str(path)) == str(path)


def _taken(out: str | Path) -> str:
    run = RunDirectory(Path(out))
    if run.is_held():
        return f"{out} is a run that another process is beginning or training; name another --out"
    if not run.config.exists():
        return f"{out} is already there, and is no run; remove it, or name another --out"
    return f"{out} is already there; name another --out, or go on with it by --resume --out {out}"


def create_run(out: str | Path | None, text: str, cell: str) -> RunDirectory:
    """Make a run's directory: `out`, or runs/<corpus>-<cell>, then -2, -3 ... where that is taken.

    Raises:
        RunError: `out` is there already.
        SaveError: the directory cannot be made.
    """
    check_free(out)
    source = "stdin" if text == STDIN else text.removeprefix(PREFIX).replace(":", "-")
    name = f"{_utf8(Path(source).stem) or 'text'}-{cell}"
    numbered = (RUNS / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    for path in numbered if out is None else [Path(out)]:
        try:
            make_directory(path)
        except FileExistsError:  # taken, perhaps a moment ago
            continue
        except OSError as error:
            raise SaveError(f"the run directory {path} cannot be made: {error.strerror or error}") from error
        return RunDirectory(path)
    raise RunError(_taken(out or RUNS))


def _utf8(name: str) -> str:
    """A name without the bytes in it that are not UTF-8: safetensors opens no path with such."""
    return name.encode("utf-8", "ignore").decode()


def find_runs(root: Path = RUNS) -> list[tuple[RunDirectory, RunConfig | RunError]]:
    """Every directory under `root` with a config.json or weights, the oldest first; what cannot be read is its error,
    last.
    """
    if not root.is_dir():
        return []
    found: list[tuple[RunDirectory, RunConfig | RunError]] = []
    for path in sorted(root.iterdir()):
        run = RunDirectory(path)
        if run.config.is_file() or run.weights.is_file():
            try:
                found.append((run, run.read_config()))
            except RunError as error:
                found.append((run, error))
    return sorted(found, key=lambda pair: pair[1].created if isinstance(pair[1], RunConfig) else "~")


def find_run(path: str | Path | None, *, trained: bool = True) -> RunDirectory:
    """The run at `path`, or the newest one, with `trained` the newest that has weights.

    Raises:
        RunError: there is none.
    """
    if path == "":  # which pathlib takes for the folder that one is in
        raise RunError("the name of the run is empty; name its directory, as `seqgen runs` lists them, or leave it out")
    if path is not None:
        if not _is_utf8(Path(path)):
            raise RunError(f"the run {path} cannot be read: {NOT_UTF8}; rename it")
        return RunDirectory(Path(path))
    readable = [run for run, config in find_runs() if isinstance(config, RunConfig)]
    fitting = [run for run in readable if run.weights.is_file() or not trained]
    if not fitting:
        raise RunError(f"there is no trained run under {RUNS}/ here; train one with `seqgen train FILE`, or say --run")
    return fitting[-1]

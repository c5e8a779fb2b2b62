"""A run's directory: its files, its lock, and where runs are found. No torch.

runs/shakespeare-gru/
  config.json         model, tokenizer, data and training settings; versions; fingerprints of corpus and tokenizer
  tokenizer/          the tokenizer, whole
  model.safetensors   the best weights so far: what sample and eval load
  checkpoints/        step-000500/ ...: everything that training needs to go on exactly
  metrics.jsonl       one line an event
  .lock               held by the process that trains
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.runs.config import RunConfig
from seqgen.sources.config import CORPUS_PREFIX, STDIN
from seqgen.utils.files import blocking, make_directory, read_at_most, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

RUNS = Path("runs")
NOT_UTF8 = "the name of a run must be UTF-8, as safetensors opens no others"
CONFIG_CAP = 1 << 20
"""Bytes that a config.json may have: a real one has two thousand."""


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
    source = "stdin" if text == STDIN else text.removeprefix(CORPUS_PREFIX).replace(":", "-")
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

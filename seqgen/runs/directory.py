"""The run directory: its files, its lock, and how runs are found. No torch.

runs/shakespeare-gru/
  config.json         model, tokenizer, data and training settings; versions; fingerprints of corpus and tokenizer
  tokenizer/          the tokenizer
  model.safetensors   the best weights so far, which sample and eval load
  checkpoints/        step-000500/ ...: everything that an exact resume needs
  metrics.jsonl       one line per event
  members/            of a mixture: lstm/ ngram/ ..., the run of each member; the mixture has no model.safetensors
  mixture.json        of a mixture: the weights of its members, and the text that set them
  vectors.safetensors of word vectors, which have no model.safetensors and no checkpoints: the vectors, to continue too
  vocabulary.json     of word vectors: the words, and how often they occur in the text
  .lock               held by the process that trains
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.runs.config import RunConfig
from seqgen.runs.embeddings.config import EmbeddingRunConfig, is_embedding_config
from seqgen.runs.mixtures.record import MixtureRecord
from seqgen.sources.config import CORPUS_PREFIX, STDIN
from seqgen.utils.files import make_directory, read_at_most, unwritable_parent, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from seqgen.tokenizers.base import Tokenizer

Item = TypeVar("Item")

RUNS = Path("runs")
NOT_UTF8 = "the name of a run must be valid UTF-8 (safetensors requires it)"
MAX_CONFIG_BYTES = 1 << 20
"""A real config.json has about 2,000 bytes."""


class RunDirectory:
    """The paths of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.tokenizer = path / "tokenizer"
        self.weights = path / "model.safetensors"
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.mixture = path / "mixture.json"
        self.vectors = path / "vectors.safetensors"
        self.vocabulary = path / "vocabulary.json"
        self.lock = path / ".lock"

    def read_config(self) -> RunConfig:
        """Read the run's config.

        Raises:
            RunError: this is not a run directory, its config is not valid, or it is a run of word vectors.
        """
        config = self.read_any_config()
        if isinstance(config, EmbeddingRunConfig):
            raise RunError(
                f"{self.path} is a run of word vectors, made by seqgen embed train, and not a model of text; use it "
                "with the commands of `seqgen embed`, or name another run"
            )
        return config

    def read_embedding_config(self) -> EmbeddingRunConfig:
        """Read the config of a run of word vectors.

        Raises:
            RunError: this is not a run directory, its config is not valid, or it is a run of another kind.
        """
        config = self.read_any_config()
        if not isinstance(config, EmbeddingRunConfig):
            raise RunError(f"{self.path} is not a run of word vectors; make one with seqgen embed train")
        return config

    def read_any_config(self) -> RunConfig | EmbeddingRunConfig:
        """Read the config of a run of any kind.

        Raises:
            RunError: this is not a run directory, or its config is not valid.
        """
        try:
            if not self.path.is_dir():
                raise RunError(f"{self.path}: no such run. `seqgen runs` lists the runs in runs/")
            content = read_at_most(self.config, MAX_CONFIG_BYTES)
        except FileNotFoundError as error:
            raise RunError(
                f"{self.path} is not a run: config.json is missing; name a directory that seqgen train made, or copy "
                "config.json from its newest checkpoint"
            ) from error
        except OSError as error:
            raise RunError(f"{self.config} cannot be read: {error.strerror or error}") from error
        try:
            kind = EmbeddingRunConfig if is_embedding_config(content) else RunConfig
            return kind.from_json(content, str(self.config))
        except ConfigError as error:
            raise RunError(f"{error}; the file was edited, or another version of seqgen wrote it") from error

    @property
    def has_weights(self) -> bool:
        """Whether there is a model to load."""
        return self.weights.is_file() or self.mixture.is_file() or self.vectors.is_file()

    def member(self, name: str) -> RunDirectory:
        """Return the run of a mixture's member."""
        return RunDirectory(self.path / "members" / name)

    def read_mixture(self) -> MixtureRecord:
        """Read the weights of a mixture.

        Raises:
            RunError: mixture.json is missing or damaged.
        """
        try:
            content = read_at_most(self.mixture, MAX_CONFIG_BYTES)
            return MixtureRecord.from_json(content, str(self.mixture))
        except FileNotFoundError as error:
            raise RunError(
                f"{self.mixture} is missing: the members have not been mixed yet; continue with seqgen train --resume "
                f"--out {self.path}"
            ) from error
        except OSError as error:
            raise RunError(f"{self.mixture} cannot be read: {error.strerror or error}") from error
        except ConfigError as error:
            raise RunError(f"{error}; the file was edited, so mix the members again") from error

    def read_member(self, config: RunConfig, name: str) -> RunConfig:
        """Read the config of a member of the mixture with this config.

        Raises:
            RunError: it is not a run, or another one than the mixture describes.
        """
        member = self.member(name)
        found, described = member.read_config(), config.members[name].model
        if (found.model, found.tokenizer.fingerprint) != (described, config.tokenizer.fingerprint):
            raise RunError(f"{member.config} is not the member that {self.config} describes; restore it")
        return found

    def write_config(self, config: RunConfig | EmbeddingRunConfig) -> None:
        """Write config.json, atomically."""
        write_atomically(self.config, config.to_json())

    def acquire_lock(self) -> BaseFileLock:
        """Lock the run against training by other processes, until the lock is released or this process ends.

        Raises:
            RunError: the run is locked already, or the lock file is a directory.
            SaveError: the lock file cannot be written.
        """
        from filelock import FileLock, Timeout

        if self.lock.is_dir():
            raise RunError(f"{self.lock} is a directory, but seqgen needs a lock file there; remove it")
        lock = FileLock(self.lock, thread_local=False)  # another thread may drop the run, and release the lock
        try:
            lock.acquire(timeout=0.3, poll_interval=0.05)  # longer than `is_locked` holds the lock
        except Timeout as error:
            raise RunError(
                f"{self.path} is being trained already, by another process or by another object in this one; wait "
                "until it ends, or stop it"
            ) from error
        except OSError as error:
            raise SaveError(
                f"{self.path} cannot be written: {error.strerror or error}; restore its permissions, or free some space"
            ) from error
        return lock

    def is_locked(self) -> bool:
        """Whether a process is training this run now."""
        from filelock import FileLock, Timeout

        if not self.lock.is_file():
            return False
        try:
            with FileLock(self.lock).acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # without permission to write the file, a lock cannot be seen
            return False


def check_out_is_free(out: str | Path | None) -> None:
    """Refuse a run directory that exists or cannot be made, before any work is done.

    Raises:
        ConfigError: its name is empty.
        RunError: it exists.
        SaveError: it cannot be made.
    """
    if out == "":  # Path("") is the current folder
        raise ConfigError("out: the name is empty; name a new directory, or leave it out")
    if out is not None and _exists(Path(out)):
        raise RunError(_describe_existing(out))
    if (nearest := unwritable_parent(Path(out if out is not None else RUNS / "new"))) is not None:
        raise SaveError(
            f"the run directory {out or RUNS} cannot be made: {nearest} is not writable; choose another --out"
        )


def _exists(path: Path) -> bool:
    try:
        if not _is_utf8(path):
            raise SaveError(f"the run directory {path} cannot be made: {NOT_UTF8}; choose another --out")
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # too long, or contains NUL
        reason = getattr(error, "strerror", None) or error
        raise SaveError(f"the run directory {str(path)!r} cannot be made: {reason}; choose another --out") from error
    return True


def _is_utf8(path: Path) -> bool:
    """Whether the path is valid UTF-8; Python represents other bytes by surrogates."""
    return _drop_non_utf8(str(path)) == str(path)


def _describe_existing(out: str | Path) -> str:
    run = RunDirectory(Path(out))
    if run.is_locked():
        return f"{out} is a run that another process is training; choose another --out"
    if not run.config.exists():
        return f"{out} exists already, and is not a run; remove it, or choose another --out"
    return f"{out} exists already; choose another --out, or resume it with --resume --out {out}"


def create_directory(out: str | Path | None, text: str, cell: str) -> RunDirectory:
    """Make a run's directory: `out`, or runs/<corpus>-<cell>, or that with -2, -3 ... if it exists.

    Raises:
        RunError: `out` exists.
        SaveError: the directory cannot be made.
    """
    check_out_is_free(out)
    source = "stdin" if text == STDIN else text.removeprefix(CORPUS_PREFIX).replace(":", "-")
    name = f"{_drop_non_utf8(Path(source).stem) or 'text'}-{cell}"
    numbered = (RUNS / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    for path in numbered if out is None else [Path(out)]:
        try:
            make_directory(path)
        except FileExistsError:  # perhaps made a moment ago
            continue
        except OSError as error:
            raise SaveError(f"the run directory {path} cannot be made: {error.strerror or error}") from error
        return RunDirectory(path)
    raise RunError(_describe_existing(out or RUNS))


def write_run(
    out: str | Path | None,
    config: RunConfig | EmbeddingRunConfig,
    tokenizer: Tokenizer,
    add: Callable[[RunDirectory], Item],
) -> tuple[RunDirectory, BaseFileLock, Item]:
    """Create a run's directory, locked, with what `add` writes into it, and return that function's result.

    config.json is written last: a directory without it is not a run. If anything fails, the directory is removed.
    """
    directory = create_directory(out, config.data.text[0], config.model.name)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, directory.path, ignore_errors=True)
        lock = directory.acquire_lock()
        undo.callback(lock.release)
        tokenizer.save(directory.tokenizer)
        added = add(directory)
        directory.write_config(config)
        undo.pop_all()
    return directory, lock, added


def _drop_non_utf8(name: str) -> str:
    return name.encode("utf-8", "ignore").decode()


def find_runs(root: Path = RUNS) -> list[tuple[RunDirectory, RunConfig | EmbeddingRunConfig | RunError]]:
    """Return every directory under `root` with a config.json or weights, the oldest first, with its config.

    A run whose config cannot be read comes last, with the error.
    """
    if not root.is_dir():
        return []
    found: list[tuple[RunDirectory, RunConfig | EmbeddingRunConfig | RunError]] = []
    for path in sorted(root.iterdir()):
        run = RunDirectory(path)
        if run.config.is_file() or run.has_weights:
            try:
                found.append((run, run.read_any_config()))
            except RunError as error:
                found.append((run, error))
    return sorted(found, key=lambda pair: "~" if isinstance(pair[1], RunError) else pair[1].created)


def find_run(
    path: str | Path | None,
    *,
    trained: bool = True,
    kinds: tuple[type[RunConfig] | type[EmbeddingRunConfig], ...] = (RunConfig,),
) -> RunDirectory:
    """Return the run at `path`, or the newest run of the `kinds`, with `trained` the newest one with weights.

    Raises:
        RunError: there is none.
    """
    if path == "":  # Path("") is the current folder
        raise RunError("the name of the run is empty; name its directory, as listed by `seqgen runs`, or leave it out")
    if path is not None:
        if not _is_utf8(Path(path)):
            raise RunError(f"the run {path} cannot be read: {NOT_UTF8}; rename it")
        return RunDirectory(Path(path))
    readable = [run for run, config in find_runs() if isinstance(config, kinds)]
    candidates = [run for run in readable if run.has_weights or not trained]
    if not candidates:
        command = "seqgen train FILE" if RunConfig in kinds else "seqgen embed train FILE"
        raise RunError(f"no trained run in {RUNS}/ here; train one with `{command}`, or name one with --run")
    return candidates[-1]

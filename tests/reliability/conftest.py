"""Fixtures for hostile inputs: a small run to damage, limits on time and memory, a count of inputs tried."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import seqgen
from seqgen.errors import SeqgenError

collect_ignore_glob = ["test_*.py"] if os.name == "nt" else []  # no select, no alarm, no limits there

LIMIT_SECONDS = 60
LIMIT_BYTES = 300 << 20
TRIED = pytest.StashKey[int]()


class HangError(BaseException):
    """Something took too long. A BaseException, so that no `except Exception` catches it."""


@contextlib.contextmanager
def limited(seconds: float = LIMIT_SECONDS) -> Iterator[None]:
    """Raise a HangError after `seconds`."""

    def ring(number: int, frame: object) -> None:
        raise HangError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.fixture
def attempt(request: pytest.FixtureRequest) -> Callable[..., list[str]]:
    """Make each of these calls, which may succeed or raise a SeqgenError; return the errors' messages.

    The calls of one test may together raise the peak memory by LIMIT_BYTES. Memory used between the calls does not
    count: hypothesis builds tables of some 200 MB while the first test runs.
    """
    stash = request.config.stash
    grown = 0

    def attempt(*calls: Callable[[], object]) -> list[str]:
        nonlocal grown
        stash[TRIED] = stash.get(TRIED, 0) + 1
        refusals = []
        before = peak()
        with limited():
            for call in calls:
                try:
                    call()
                except SeqgenError as error:
                    refusals.append(str(error))
        grown += peak() - before
        assert grown < LIMIT_BYTES
        assert all(refusals)
        return refusals

    return attempt


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tried = config.stash.get(TRIED, 0)
    if tried:
        terminalreporter.write_line(f"{tried:,} hostile inputs tried")


class Specimen:
    """A run that can be damaged and restored."""

    def __init__(self, root: Path, run: Path) -> None:
        self.root, self.run = root, run
        self.whole = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}

    def files(self, *suffixes: str) -> list[Path]:
        """Return the files of the run, or those with these suffixes."""
        return [path for path in self.whole if not suffixes or path.suffix in suffixes]

    @property
    def checkpoint(self) -> Path:
        """Return the newest checkpoint."""
        return max(path.parent for path in self.whole if path.name == "state.json")

    def sign(self) -> None:
        """Update the hashes in state.json to the checkpoint's current files, as a forger would."""
        path = self.checkpoint / "state.json"
        state = json.loads(path.read_bytes())
        state["files"] = {
            name: hashlib.sha256((self.checkpoint / name).read_bytes()).hexdigest() for name in state["files"]
        }
        path.write_text(json.dumps(state), "utf-8")

    def heal(self) -> None:
        """Restore every file, and remove new ones."""
        for path in sorted(self.run.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(whole.is_relative_to(path) for whole in self.whole):
                    path.rmdir()
            elif path not in self.whole or not path.is_file() or path.is_symlink():
                path.unlink()
        for path, content in self.whole.items():
            if not path.exists() or path.stat().st_size != len(content) or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def _make(folder: Path, text: str, tokenizer: str) -> Specimen:
    (folder / "corpus.txt").write_text(text, "utf-8")
    polls = iter([False] * 3 + [True])
    settings = {
        "cell": "gru", "hidden_size": 4, "batch_size": 4, "bptt": 16, "precision": "fp32", "max_steps": 5,
        "eval_every": 2, "valid_share": 0.2, "tokenizer": tokenizer,
        **({"vocab_size": 300} if tokenizer == "bpe" else {}),
    }  # fmt: skip
    run = seqgen.train(folder / "corpus.txt", out=folder / "runs" / "run", stop=lambda: next(polls), **settings)
    list(run)
    return Specimen(folder / "runs", run.path)


@pytest.fixture(scope="session")
def _make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Specimen]:
    text = "the quick brown fox\njumps over the lazy dog, and again\n" * 30
    return functools.cache(lambda tokenizer: _make(tmp_path_factory.mktemp("specimen"), text, tokenizer))


@pytest.fixture
def specimen(_make_once: Callable[[str], Specimen]) -> Iterator[Specimen]:
    """A small run, stopped after 3 of its 5 steps; restored after the test."""
    made = _make_once("char")
    yield made
    made.heal()


@pytest.fixture
def subword_specimen(_make_once: Callable[[str], Specimen]) -> Iterator[Specimen]:
    """The same run with a bpe tokenizer."""
    made = _make_once("bpe")
    yield made
    made.heal()


@pytest.fixture
def damaged(specimen: Specimen, attempt: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Replace a file by `content`, make the calls, and restore the run."""

    def damaged(path: Path, content: bytes, *calls: Callable[[], object], forge: bool = False) -> list[str]:
        try:
            path.write_bytes(content)
            if forge:
                specimen.sign()
            return attempt(*calls)
        finally:
            specimen.heal()

    return damaged

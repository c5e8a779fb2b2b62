"""Fixtures of the command tests: the program in this process, and a small run."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.testing
from seqgen.cli.main import app
from typer.core import TyperCommand
from typer.testing import CliRunner, Result

import seqgen

from ..small_runs import PAIRS, TRANSLATE_RUNS

# Typer builds all commands again for each invocation, which takes half of the time of a small command.
typer.testing._get_command = functools.cache(typer.testing._get_command)

Invoke = Callable[..., Result]

LENGTH = ("--max-new-tokens", 60)
"""Short samples."""
SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 5, "eval_every": 5, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No color or width settings from outside; logs go to the folder of the test."""
    for name in ("FORCE_COLOR", "NO_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def invoke(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run `seqgen ARGUMENTS...` in the test's folder; `terminal` simulates a terminal of that width."""

    def run(*arguments: object, stdin: str | bytes | None = None, terminal: int = 0) -> Result:
        environment = {"TERM": "xterm-256color", "COLUMNS": str(terminal)} if terminal else {}
        with monkeypatch.context() as patch:
            if terminal:
                patch.setattr(typer.testing._NamedTextIOWrapper, "isatty", lambda self: True)
            result = CliRunner().invoke(app, [str(word) for word in arguments], input=stdin, env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Traceback" not in result.output
        return result

    return run


def commands() -> dict[str, tuple[Callable[..., None], TyperCommand]]:
    """Return the function and the typer command of every command by its words."""
    found = {}
    for group, prefix in ((app, ""), *((info.typer_instance, f"{info.name} ") for info in app.registered_groups)):
        made = typer.main.get_group(group).commands
        found |= {f"{prefix}{info.name}": (info.callback, made[info.name]) for info in group.registered_commands}
    return found


@pytest.fixture
def answers(invoke: Invoke) -> Callable[..., str]:
    """Run a command that must succeed, and return its stdout."""

    def run(*arguments: object, **options: object) -> str:
        result = invoke(*arguments, **options)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def refuses(invoke: Invoke) -> Callable[..., str]:
    """Run a command that must end with `code` and one sentence on stderr with `words`; return the sentence."""

    def run(code: int, *arguments: object, words: tuple[str, ...] = (), **options: object) -> str:
        result = invoke(*arguments, **options)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        for word in words:
            assert word in result.stderr
        return result.stderr

    return run


@pytest.fixture(scope="session")
def _workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def finished(corpus: Path, _workshop: Path) -> Path:
    """A complete run, made once for all tests, and not to be changed."""
    run = _workshop / "finished"
    if not run.exists():
        text = Path(shutil.copy(corpus, _workshop))
        for _ in seqgen.train(text, out=run, **SMALL):
            pass
    return run


@pytest.fixture
def run(finished: Path, in_tmp: Path) -> Path:
    """A copy of a complete run under runs/."""
    return Path(shutil.copytree(finished, "runs/corpus-gru"))


@pytest.fixture
def transformer(corpus: Path, _workshop: Path, in_tmp: Path) -> Path:
    """A copy of a complete run of two layers of two heads under runs/."""
    run = _workshop / "transformer"
    if not run.exists():
        text = Path(shutil.copy(corpus, _workshop))
        settings = {"cell": "transformer", "layers": 2, "heads": 2, "block_size": 32}
        seqgen.train(text, out=run, **{**SMALL, **settings}).run()
    return Path(shutil.copytree(run, "runs/corpus-transformer"))


@pytest.fixture
def stopped(corpus: Path, in_tmp: Path) -> Path:
    """A run under runs/ that was stopped after 3 of its 5 steps."""
    polls = iter([False] * 3 + [True])
    training = seqgen.train("corpus.txt", stop=lambda: next(polls), **SMALL)
    for _ in training:
        pass
    return training.path


@pytest.fixture(scope="session")
def label_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier, `classifier`, and of a one-way tagger, `tagger`."""
    folder = tmp_path_factory.mktemp("labels")
    texts = [
        f"{'a' * (number % 5)}{'b' * (number % 3)}x\t{'many' if number % 5 > 2 else 'few'}" for number in range(60)
    ]
    sentences = ["cat sees café\tN V N", "본다 cat .\tV N O"] * 30
    shared = {"hidden_size": 16, "batch_size": 8, "lr": 0.02, "precision": "fp32", "max_steps": 60, "eval_every": 30}
    for name, lines, settings in (
        ("classifier", texts, {"task": "classify", "cell": "lstm", "max_source_length": 6}),
        ("tagger", sentences, {"task": "tag", "cell": "gru", "two_way": False}),
    ):
        path = folder / f"{name}.tsv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        seqgen.train(path, out=folder / name, **shared, **settings).run()
    return folder


@pytest.fixture
def samples(answers, run):
    """The samples of `seqgen sample --json ARGUMENTS...`."""

    def read(*arguments, **options):
        lines = answers("sample", "--json", *LENGTH, *arguments, **options).splitlines()
        return [json.loads(line)["text"] for line in lines]

    return read


@pytest.fixture(scope="session")
def _translators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("translators")


@pytest.fixture
def translator(_translators: Path, in_tmp: Path) -> Callable[..., Path]:
    """Copy a complete run that translates into runs/; each kind is trained once."""

    def translator(name: str = "lstm-translate", **settings: object) -> Path:
        run = _translators / "-".join([name, *(f"{key}={value}" for key, value in sorted(settings.items()))])
        if not run.exists():
            (_translators / "pairs.tsv").write_text(PAIRS, "utf-8")
            seqgen.train(_translators / "pairs.tsv", out=run, **{**TRANSLATE_RUNS[name], **settings}).run()
        return Path(shutil.copytree(run, f"runs/{name}"))

    return translator

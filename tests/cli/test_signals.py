"""Ctrl-C and SIGTERM: the first ends a command cleanly, the second exits immediately, in every phase."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
from safetensors.torch import load_file
from seqgen.cli.signals import Interrupts, exit_on_signal

import seqgen

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
SAID = {130: "interrupted", 143: "terminated"}
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""A background job of a shell ignores Ctrl-C, and so would its child processes."""
MAIN = "from seqgen.cli.main import main; import sys; print('ready', file=sys.stderr, flush=True); main()"
SMALL = ("--cell", "gru", "--hidden-size", "8", "--batch-size", "4", "--precision", "fp32")


@pytest.fixture(autouse=True)
def _signals_are_handled():
    before = {number: signal.getsignal(number) for number, _ in CODES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), CODES)
def test_interrupts_records_first_signal(number, code):
    before = signal.getsignal(number)
    with Interrupts() as stop:
        assert (stop(), stop.exit_code) == (False, None)
        signal.raise_signal(number)
        assert (stop(), stop.exit_code) == (True, code)
        signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == code

    assert signal.getsignal(number) is before


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as stop, exit_on_signal():
            signal.raise_signal(signal.SIGINT)
            assert not stop()
    finally:
        signal.signal(signal.SIGINT, before)


class Process:
    """`seqgen ARGUMENTS...` in a process, on one thread; `before` is run in it first."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, *arguments: str, before: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{HEED}\n{before}\n{MAIN}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.started.append(self._process)
        self.stderr = ""

    def wait_for(self, words: str, stream: str = "stderr") -> None:
        """Read its output until `words` come."""
        for line in getattr(self._process, stream):
            self.stderr += line
            if words in line:
                return
        raise AssertionError(f"it ended without {words!r}: {self.stderr}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> int:
        """Wait until it has ended, and return its exit code."""
        self.stderr += self._process.communicate(timeout=300)[1]
        assert "Traceback" not in self.stderr
        return self._process.returncode


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    while Process.started:
        process = Process.started.pop()
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_signals_at_once_count_as_one(corpus, in_tmp):
    """As `timeout` sends them, to the process and then to its group."""
    process = Process("train", "corpus.txt", *SMALL, "--max-steps", "1000000", "--eval-every", "20", "--out", "run")
    process.wait_for("step 20/")
    process.send(signal.SIGTERM)
    process.send(signal.SIGTERM)

    assert process.end() == 143
    assert "and saved" in process.stderr


@pytest.mark.parametrize(("number", "code"), [CODES[0], pytest.param(*CODES[1], marks=pytest.mark.slow)])
def test_signal_stops_and_saves_training_for_resume(corpus, in_tmp, number, code):
    process = Process("train", "corpus.txt", *SMALL, "--max-steps", "1000000", "--eval-every", "20", "--out", "run")
    process.wait_for("step 20/")
    process.send(number)

    assert process.end() == code
    assert "stopped after" in process.stderr
    assert process.stderr.splitlines()[-1] == "note: continue it: seqgen train --resume --out run"
    metrics = [json.loads(line) for line in (in_tmp / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    saved, finished = metrics[-2:]
    assert (finished["event"], finished["reason"]) == ("finished", "stopped")
    assert (saved["event"], saved["step"]) == ("saved", finished["step"])
    assert (in_tmp / "run" / saved["path"] / "state.json").is_file()
    assert (in_tmp / "run" / "model.safetensors").is_file()
    resumed = seqgen.train(out="run", resume=True)
    assert resumed.first_step == saved["step"] >= 20
    resumed.close()


SLOWLY = """
import sys, time
import {module} as module
original = module.{name}
def slow(*arguments, **options):
    print("here", file=sys.stderr, flush=True)
    {wait}
    return original(*arguments, **options)
module.{name} = slow
"""
OWN = ("--out", "built", "--vocab-size", "333")  # a size that no other test uses, which is not in the cache
PHASES = {
    "reading": ("seqgen.data.cache.cache", "write_text", ("train", "corpus.txt", *SMALL, "--max-steps", "3")),
    "building the tokenizer": ("seqgen.tokenizers", "build", ("tokenizer", "build", "corpus.txt", *OWN)),
    "probing": ("seqgen.training.time_budget", "time_steps", ("train", "corpus.txt", *SMALL, "--max-time", "3s")),
    "making the directory": (
        "seqgen.utils.files",
        "sync_directory",
        ("train", "corpus.txt", *SMALL, "--max-steps", "3"),
    ),
    "creating the run": ("seqgen.runs.create", "save_checkpoint", ("train", "corpus.txt", *SMALL, "--max-steps", "3")),
    "evaluating": ("seqgen.evaluation.scoring", "_read_lanes", ("eval", "corpus.txt")),
    "sampling": ("seqgen.runs.text", "stream_text", ("sample",)),
    "sampling several": ("seqgen.runs.text", "complete", ("sample", "-n", "3")),
    "encoding": ("seqgen.tokenizers", "load", ("tokenizer", "encode", "The king")),
}
"""The function that a phase is spent in, and a command with that phase."""
IN_PYTHON = "while True: time.sleep(0.01)"
IN_C = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
"""A call that releases the interpreter lock and takes many minutes."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number", "code"), [(phase, *CODES[index % 2]) for index, phase in enumerate(PHASES)]
)
def test_signal_ends_every_phase_cleanly(run, phase, number, code):
    module, name, arguments = PHASES[phase]
    before = sorted(Path("runs").iterdir())
    slowly = SLOWLY.format(module=module, name=name, wait=IN_PYTHON)
    process = Process(*arguments, before=slowly.replace("import seqgen.runs.text", "import torch, seqgen.runs.text"))
    process.wait_for("here")
    process.send(number)

    assert process.end() == code
    last = process.stderr.splitlines()[-1]
    assert last.startswith(f"error: {SAID[code]}")
    assert ("nothing was saved" in last) is (arguments[0] == "train")
    assert sorted(Path("runs").iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), CODES[1:])
def test_second_signal_exits_during_call_into_c(run, number, code):
    process = Process("eval", "corpus.txt", before=SLOWLY.format(module="seqgen.runs.text", name="evaluate", wait=IN_C))
    process.wait_for("here")
    process.send(number)
    while process.is_running():  # signals soon after the first count as one with it
        time.sleep(0.05)
        process.send(number)

    assert process.end() == code
    assert process.stderr.splitlines()[-1] == f"error: {SAID[code]}"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), CODES[:1])
def test_signal_during_import_of_torch_exits(corpus, in_tmp, number, code):
    slow_import = """
import sys, time
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "torch.nn":
            print("here", file=sys.stderr, flush=True)
            while True: time.sleep(0.01)
sys.meta_path.insert(0, Slow())
"""
    process = Process("train", "corpus.txt", *SMALL, "--max-steps", "3", before=slow_import)
    process.wait_for("here")
    process.send(number)

    assert process.end() == code
    assert process.stderr.splitlines()[-1].startswith(f"error: {SAID[code]}: ")
    assert "nothing was saved" in process.stderr
    assert not Path("runs").exists()


RANDOM = [pytest.param(seed, marks=pytest.mark.campaign if seed else pytest.mark.slow) for seed in range(50)]
STEPS = ("--max-steps", "800", "--eval-every", "90", "--save-every", "0.05")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The weights of an uninterrupted run, by its text."""
    made = {}

    def weights(text: bytes) -> dict:
        if text not in made:
            folder = tmp_path_factory.mktemp("straight")
            (folder / "corpus.txt").write_bytes(text)
            process = Process("train", str(folder / "corpus.txt"), *SMALL, *STEPS, "--out", str(folder / "run"))
            assert process.end() == 0, process.stderr
            made[text] = load_file(folder / "run" / "model.safetensors")
        return made[text]

    return weights


@pytest.mark.parametrize("seed", RANDOM)
def test_run_stopped_at_random_moments_has_same_weights(corpus, in_tmp, straight, seed):
    """Signals come at random times, drawn from the seed, from the start of the process."""
    expected = straight(corpus.read_bytes())
    chance = random.Random(seed)
    arguments: tuple[str, ...] = ("corpus.txt", *SMALL, *STEPS, "--out", "run")
    codes = []
    while not codes or codes[-1] != 0:
        process = Process("train", *arguments)
        process.wait_for("ready")  # before, Python itself handles signals
        if len(codes) < 3:
            time.sleep(chance.uniform(0.0, 3.0))
            process.send(chance.choice([signal.SIGTERM, signal.SIGINT]))
        codes.append(process.end())
        assert codes[-1] in {0, 130, 143}, process.stderr
        if Path("run", "config.json").exists():
            arguments = ("--resume", "--out", "run")
        else:
            assert not Path("run").exists()

    found = load_file(Path("run", "model.safetensors"))
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in expected)

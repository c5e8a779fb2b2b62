"""Ctrl-C and SIGTERM: the first is noted, the second leaves, and a process that is told to stop can be resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from seqgen.cli.signals import Interrupts

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_the_first_signal_is_noted_and_the_second_leaves(number, code):
    before = signal.getsignal(number)
    with Interrupts() as stop:
        assert (stop(), stop.exit_code) == (False, None)
        signal.raise_signal(number)
        assert (stop(), stop.exit_code) == (True, code)
        with pytest.raises(SystemExit) as caught:
            signal.raise_signal(number)

    assert caught.value.code == code
    assert signal.getsignal(number) is before


def test_the_second_signal_says_how_it_ended():
    with Interrupts() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit) as caught:
            signal.raise_signal(signal.SIGTERM)

    assert (stop.exit_code, caught.value.code) == (130, 143)


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_process_that_is_told_to_stop_saves_and_says_how_to_go_on(corpus, in_tmp, number, code):
    command = [sys.executable, "-c", "from seqgen.cli.main import main; main()"]
    arguments = ["train", "corpus.txt", "--cell", "gru", "--hidden-size", "8", "--max-steps", "1000000"]
    arguments += ["--eval-every", "20", "--precision", "fp32", "--batch-size", "4", "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("step 20/"):
                process.send_signal(number)

    assert process.returncode == code, said
    assert "stopped after" in said
    assert said.splitlines()[-1] == "note: go on with it: seqgen train --resume --out run"
    assert "Traceback" not in said
    metrics = [json.loads(line) for line in (in_tmp / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    saved, finished = metrics[-2:]
    assert (finished["event"], finished["reason"]) == ("finished", "stopped")
    assert (saved["event"], saved["step"]) == ("saved", finished["step"])
    assert (in_tmp / "run" / saved["path"] / "state.json").is_file()
    assert (in_tmp / "run" / "model.safetensors").is_file()

"""A process that has imported torch, and forks one that trains for each fault: importing torch takes seconds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .faults import Fault, Faults, moment_of

TIME_LIMIT = 60
"""Seconds for one training; it takes a third of one."""
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from reliability.worker import serve; serve()"


@dataclass
class Outcome:
    """The result of one training: its operations, events, and how it ended."""

    operations: list[str] = field(default_factory=list)
    events: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, step, and the number of operations before it; the first is `created`."""
    notices: list[str] = field(default_factory=list)
    error: tuple[str, str] | None = None
    bug: str | None = None
    all_seen: bool = False
    """Whether the counted operations explain what is on the disk."""
    signal: int = 0

    def names(self) -> list[str]:
        """Return the names of the events."""
        return [name for name, _, _ in self.events]


def train(order: dict[str, Any]) -> Outcome:
    """Train with a fault, and return the result."""
    import seqgen

    faults = Faults(Path(order["world"]), Fault(**order["fault"]) if order["fault"] else None)
    outcome = Outcome(faults.operations)
    faults.install()
    try:
        run = seqgen.train(**order["arguments"])
        outcome.notices = run.notices
        outcome.events.append(("created", run.first_step, len(faults.operations)))
        for event in run:
            outcome.events.append((type(event).__name__, event.step, len(faults.operations)))
            if isinstance(event, seqgen.SaveFailed):
                faults.disk.copy_to(moment_of(faults.root))
            faults.reached(event.step)
    except seqgen.SeqgenError as error:
        outcome.error = type(error).__name__, str(error)
    except Exception:  # noqa: BLE001 (a bug, reported in the outcome)
        outcome.bug = traceback.format_exc()
    if faults.fault is not None and faults.fault.act == "fail":
        faults.fault = None
    faults.before("exit", faults.root / ".")
    outcome.all_seen = faults.disk.is_on(faults.root)
    return outcome


def serve() -> None:
    """For each line of input, train in a forked process and print a line. The first training only warms up."""
    import warnings

    import torch

    import seqgen
    from seqgen.training import samples

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    samples.SAMPLE_TOKENS = 4
    with tempfile.TemporaryDirectory() as folder:
        for _ in seqgen.train(**json.loads(sys.stdin.readline()), out=Path(folder) / "run"):
            pass
    print(flush=True)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            signal.alarm(TIME_LIMIT)
            with os.fdopen(writing, "w", encoding="utf-8") as report:
                json.dump(asdict(train(json.loads(line))), report)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as report:
            result = report.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"signal": -status} if status else json.loads(result)), flush=True)


class Worker:
    """The process, as a test uses it."""

    def __init__(self, text: Path, settings: dict[str, Any]) -> None:
        self.fresh = {"text": str(text), **settings}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, str(Path(__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ask(self.fresh)

    def train(self, world: Path, out: Path, fault: Fault | None = None, **settings: Any) -> Outcome:
        """Train a new run at `out`, below `world`, with a fault."""
        return self._order(world, fault, {**self.fresh, "out": str(out), **settings})

    def resume(self, world: Path, out: Path, fault: Fault | None = None) -> Outcome:
        """Resume the run at `out`."""
        return self._order(world, fault, {"resume": True, "out": str(out)})

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _order(self, world: Path, fault: Fault | None, arguments: dict[str, Any]) -> Outcome:
        order = {"world": str(world), "fault": fault and asdict(fault), "arguments": arguments}
        outcome = Outcome(**json.loads(self._ask(order)))
        assert outcome.bug is None, outcome.bug
        assert outcome.signal in {0, signal.SIGKILL}, f"ended by signal {outcome.signal}"
        return outcome

    def _ask(self, order: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

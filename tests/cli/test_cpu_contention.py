"""Whether other programs keep the threads from working."""

from __future__ import annotations

from pathlib import Path

import pytest
from seqgen.cli import cpu_contention
from seqgen.cli.cpu_contention import CpuContention


@pytest.mark.parametrize(("used", "noted"), [(0.5, True), (1.9, False)])
@pytest.mark.parametrize(("threads", "ever"), [(2, True), (1, False)])
def test_waiting_threads_are_noted_once(monkeypatch, used, noted, threads, ever):
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(cpu_contention.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(cpu_contention.time, "process_time", lambda: now["cpu"])
    waiting, messages = CpuContention(threads, Path("runs/a")), []
    for step in range(1, 100):
        messages.append(waiting.after_step(step))
        now["wall"] += 0.2
        now["cpu"] += 0.2 * used

    found = [message for message in messages if message is not None]
    assert len(found) == (noted and ever)
    assert all("--out runs/a --threads 1" in message and "25%" in message for message in found)


def test_pauses_and_evaluations_do_not_count_as_waiting(monkeypatch):
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(cpu_contention.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(cpu_contention.time, "process_time", lambda: now["cpu"])
    waiting = CpuContention(2, Path("runs/a"))
    for step in range(1, 100):
        assert waiting.after_step(step) is None
        if step % 10 == 0:
            waiting.interrupt()  # an evaluation that waits for the disk
            now["wall"] += 5.0
        if step == 25:
            now["wall"] += 60.0  # Ctrl-Z
        now["wall"] += 0.2
        now["cpu"] += 0.38

"""Measure ratios that hold on a machine whose speed changes from minute to minute.

The contenders of a race take turns, round after round, so that a burst of other work hits each of them. A ratio is
taken within a round; its median over the rounds is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

Row = dict[str, Any]
"""One line of a table: column -> text or number."""

Work = Callable[[], float]
"""Does some work and returns the amount, in the unit of the race."""

TURN_SECONDS = 0.4
PAUSE_SECONDS = 0.1
"""Before a turn, so that the threads of the turn before it go to sleep: onnxruntime's spin for a while."""


def race(work: str, unit: str, contenders: Mapping[str, Work], peers: Mapping[str, Work], rounds: int) -> Iterator[Row]:
    """Run all in turn, `rounds` times after a warm-up round; yield a row for each contender and peer."""
    runners = {**peers, **contenders}
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            time.sleep(PAUSE_SECONDS)
            done, began = 0.0, time.perf_counter()
            while (took := time.perf_counter() - began) < TURN_SECONDS or not done:
                done += run()
            if turn:
                rates[name].append(done / took)
    for name in contenders:
        for peer in peers:
            ratios = sorted(mine / theirs for mine, theirs in zip(rates[name], rates[peer], strict=True))
            yield {
                "work": work,
                "contender": name,
                "rate": statistics.median(rates[name]),
                "compared with": peer,
                "its rate": statistics.median(rates[peer]),
                "unit": f"{unit}/s",
                "ratio": statistics.median(ratios),
                "lowest": ratios[0],
                "highest": ratios[-1],
            }


def repeat(run: Callable[[], object], amount: float, times: int) -> Work:
    """Run `run` several times; each is `amount` of work."""

    def work() -> float:
        for _ in range(times):
            run()
        return amount * times

    return work


def matrix_products(dtype: torch.dtype = torch.bfloat16, size: int = 2048) -> Work:
    """Multiply square matrices, in GFLOP: the fastest arithmetic of the machine."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return repeat(lambda: torch.mm(a, b, out=out), 2 * size**3 / 1e9, 5)


def rate_of(work: Work, rounds: int = 5) -> float:
    """Return the median rate of one piece of work."""
    rate: float = next(race("", "", {"one": work}, {"the same": work}, rounds))["rate"]
    return rate

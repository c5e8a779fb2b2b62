"""Ratios that can be trusted on a machine whose speed changes from minute to minute.

All contenders of a race take turns, round after round, so that a burst of other work hits each of them; a ratio is
taken within a round, and the median over the rounds is what counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

Work = Callable[[], float]
"""Does some work, and says how much it was, in the unit of the race."""

TURN = 0.4
"""Seconds that a turn takes at least."""
PAUSE = 0.1
"""Seconds before a turn, in which the threads of the one before go to sleep: those of onnxruntime spin for a while."""

HEADER = "| work | contender | rate | against | rate | x | from to |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """A contender beside a peer: their median rates a second, and the ratio of each round in order of size."""

    work: str
    name: str
    rate: float
    peer: str
    peer_rate: float
    unit: str
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        return (
            f"| {self.work} | {self.name} | {self.rate:,.4g} {self.unit}/s | {self.peer} | "
            f"{self.peer_rate:,.4g} {self.unit}/s | **{self.ratio:.2f}** | {self.ratios[0]:.2f} {self.ratios[-1]:.2f} |"
        )


def race(work: str, unit: str, contenders: Mapping[str, Work], peers: Mapping[str, Work], rounds: int) -> Iterator[Row]:
    """Every one in turn, `rounds` times after one that is not counted; a row for each contender beside each peer."""
    runners = {**peers, **contenders}
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            time.sleep(PAUSE)
            done, began = 0.0, time.perf_counter()
            while (took := time.perf_counter() - began) < TURN or not done:
                done += run()
            if turn:
                rates[name].append(done / took)
    median = {name: statistics.median(found) for name, found in rates.items()}
    for name in contenders:
        for peer in peers:
            ratios = sorted(mine / theirs for mine, theirs in zip(rates[name], rates[peer], strict=True))
            yield Row(work, name, median[name], peer, median[peer], unit, tuple(ratios))


def repeat(run: Callable[[], object], amount: float, times: int) -> Work:
    """`run` so many times, each of `amount`."""

    def work() -> float:
        for _ in range(times):
            run()
        return amount * times

    return work


def products(dtype: torch.dtype = torch.bfloat16, size: int = 2048) -> Work:
    """Products of square matrices, in GFLOP: what the machine multiplies at most."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return repeat(lambda: torch.mm(a, b, out=out), 2 * size**3 / 1e9, 5)


def rate_of(work: Work, rounds: int = 5) -> float:
    """The median rate of one alone."""
    return next(race("", "", {"one": work}, {"the same": work}, rounds)).rate

"""Time `seqgen train` as a whole process, and score a held-out text, next to nanoGPT's two recipes.

nanoGPT's recipe for a CPU takes 91 s to 1.898 nats per character in disjoint windows of 64, on a machine whose bf16
products run at 700 GFLOP/s; its recipe for a GPU ends at 1.4697 in windows of 256, after about three minutes of an A100
(a figure of its README, not a time to compare). The text of both is tiny Shakespeare: the first 90%, and the last 10%.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from measuring import Row, matrix_products, rate_of

import seqgen

NANOGPT_SECONDS, NANOGPT_GFLOPS = 91.0, 700.0
"""Of its CPU recipe, and how fast that machine multiplies."""
QUICK = "2.8s"
LONG_WINDOW, WINDOW = 256, 64


def rows(text: Path, held_out: Path, times: Sequence[str] | None) -> Iterator[Row]:
    """Yield a row for each training time: in seconds next to the CPU recipe, in minutes next to the GPU recipe."""
    scaled = NANOGPT_SECONDS * NANOGPT_GFLOPS / rate_of(matrix_products())
    for max_time in times or [QUICK]:
        is_long = max_time.endswith(("m", "h"))
        window = LONG_WINDOW if is_long else WINDOW
        seconds, nats = train(text, held_out, max_time, window)
        yield {
            "settings": f"--max-time {max_time}",
            "whole process, s": round(seconds, 1),
            "window": window,
            "nats/token": nats,
            "nanoGPT": "1.4697, 3 minutes of an A100" if is_long else f"1.898 in {scaled:.0f} s on this machine",
        }


def train(text: Path, held_out: Path, max_time: str, window: int) -> tuple[float, float]:
    """Return the seconds of the process, and nats per token of the held-out text in disjoint windows."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        script = Path(sys.executable).with_name("seqgen")
        command = [script, "train", text, "--valid", held_out, "--out", run, "--quiet", "--max-time", max_time]
        began = time.perf_counter()
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        return seconds, seqgen.load(run).evaluate(held_out, context_window=window).nats_per_token

"""How long `seqgen train` takes, as a whole process, to a stated quality on a held-out text.

nanoGPT's recipe for a CPU takes 91 s to 1.898 nats a character in disjoint windows of 64, on a machine whose bf16
products run at 700 GFLOP/s; its recipe for a GPU ends at 1.4697 in windows of 256, after some three minutes of an A100
(a figure of its README, not a time to compare). The text of both is tiny Shakespeare, the first 90% and the last 10%.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import products, rate_of

import seqgen

NANOGPT_SECONDS, NANOGPT_GFLOPS = 91.0, 700.0
"""Of its CPU recipe, and how fast that machine multiplies."""
QUICK = ("--max-time", "2.8s")
LONG = ("--max-time", "5m")
HEADER = "| settings | whole process, s | windows | nats/token | reference | x faster |\n|---|---|---|---|---|---|"


def lines(text: Path, valid: Path, *, long: bool) -> Iterator[str]:
    """The quick run beside nanoGPT's CPU recipe, and with `long` a run of minutes beside its GPU recipe."""
    rate = rate_of(products())
    scaled = NANOGPT_SECONDS * NANOGPT_GFLOPS / rate
    seconds, nats = train(text, valid, QUICK, 64)
    reference = f"1.898 in {scaled:.0f} s at {rate:.0f} GFLOP/s"
    yield f"| {' '.join(QUICK)} | {seconds:.1f} | 64 | {nats:.4f} | {reference} | {scaled / seconds:.1f} |"
    if long:
        seconds, nats = train(text, valid, LONG, 256)
        yield f"| {' '.join(LONG)} | {seconds:.1f} | 256 | {nats:.4f} | 1.4697 on an A100 | |"


def train(text: Path, valid: Path, settings: tuple[str, ...], window: int) -> tuple[float, float]:
    """Seconds of the process, and nats a token of the held-out text in disjoint windows."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        script = Path(sys.executable).with_name("seqgen")
        command = [script, "train", text, "--valid", valid, "--out", run, "--quiet", *settings]
        began = time.perf_counter()
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        return seconds, seqgen.load(run).evaluate(valid, context_window=window).nats_per_token

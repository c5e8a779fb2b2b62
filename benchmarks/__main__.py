"""What seqgen does with this machine, beside what a user would pick instead: a table of ratios.

    pip install -e '.[bench]'
    python benchmarks                                  # all but `quality`, some ten minutes
    python benchmarks layers decoding --rounds 9       # some of it
    python benchmarks quality --text 90.txt --valid 10.txt [--long]

Every row is measured in one run, its contenders taking turns; rates are medians, and so is the ratio, with the least
and the largest behind it. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import decoding
import encoding
import evaluation
import layers
import numpy as np
import quality
import torch
import training
from measuring import HEADER, products, rate_of, repeat

from seqgen.device import keep_freed_memory

PARTS = {
    "layers": layers.rows,
    "training": training.rows,
    "decoding": decoding.rows,
    "evaluation": evaluation.rows,
    "encoding": encoding.rows,
}


def main() -> None:
    """Print the machine's own rates, then a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python benchmarks", description="seqgen beside its peers, on this machine.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join([*PARTS, "quality"]))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--text", type=Path, help="what quality trains on")
    parser.add_argument("--valid", type=Path, help="what quality is measured on")
    parser.add_argument("--long", action="store_true", help="quality: the run of minutes too")
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    if unknown := sorted({*parts} - {*PARTS, "quality"}):
        parser.error(f"there is no {', '.join(unknown)}")
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as training does, and to the good of the peers too
    print(describe_machine(), "\n")
    print(HEADER)
    for part, rows in PARTS.items():
        if part in parts:
            for row in rows(given.rounds, given.threads):
                print(row, flush=True)
    if "quality" in parts:
        if given.text is None or given.valid is None:
            parser.error("quality needs --text and --valid")
        print(f"\n{quality.HEADER}")
        for line in quality.lines(given.text, given.valid, long=given.long):
            print(line, flush=True)


def describe_machine() -> str:
    """The versions, and what the machine multiplies and copies in this minute."""
    source = np.zeros(1 << 26, np.uint8)
    target = np.empty_like(source)
    copies = rate_of(repeat(lambda: np.copyto(target, source), len(source) / 1e9, 5))
    bf16, fp32 = (rate_of(products(dtype)) for dtype in (torch.bfloat16, torch.float32))
    return (
        f"torch {torch.__version__}, python {platform.python_version()}, {torch.get_num_threads()} threads: products "
        f"of 2048 x 2048 at {bf16:.0f} GFLOP/s in bf16 and {fp32:.0f} in fp32, copies by one core at {copies:.1f} GB/s"
    )


if __name__ == "__main__":
    main()

"""Draw exact match against source length, with attention and without: docs/bottleneck.svg.

    python benchmarks/bottleneck.py [--time 120s] [--rates 0.0025 0.005 0.01] [--runs DIR]

Each of four models reverses letters (`corpus:reversal`): lstm and gru, same size and time, each with the learning
rate that was best on the withheld pairs. Sources have 1 to 30 letters in training; longer ones are to the
right of the line. Runs that exist in DIR are not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import seqgen
from seqgen.pages.chart import Chart, Curve
from seqgen.pages.chart_picture import write_picture
from seqgen.runs.pairs.translator import TranslatorRun

CELLS, ATTENTIONS = ("lstm", "gru"), ("dot", "none")
LONGEST_TRAINED = 30
OUT = Path(__file__).parents[1] / "docs" / "bottleneck.svg"


def best_run(cell: str, attention: str, time: str, rates: list[float], folder: Path) -> TranslatorRun:
    """Train with each rate, and return the run with the lowest validation loss."""
    found = []
    for rate in rates:
        path = folder / f"{cell}-{attention}-{rate}"
        if not (path / "model.safetensors").is_file():
            settings: dict[str, Any] = {"cell": cell, "attention": attention, "lr": rate, "max_time": time, "seed": 1}
            seqgen.train("corpus:reversal", out=path, **settings).run()
        run = seqgen.load(path).expect(TranslatorRun)
        nats = run.evaluate_pairs(run.validation_texts(), sacrebleu=False).cost.nats_per_token
        print(f"{path.name}: {nats:.4f} nats per token of the withheld targets", flush=True)
        found.append((nats, rate, run))
    return min(found, key=lambda one: one[:2])[2]


def shares_by_length(run: TranslatorRun) -> dict[int, float]:
    """Return the share of exact outputs by source length, of the parts `test` and `longer`."""
    shares: dict[int, float] = {}
    for part in ("test", "longer"):
        report = run.evaluate_pairs(f"corpus:reversal:{part}", sacrebleu=False).report
        print(f"{run.path.name}: {part} {report.exact_match:.4f}", flush=True)
        shares |= {one.longest: one.matches / one.total for one in report.by_source_length}
    return shares


def main() -> None:
    """Train what is missing, measure, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", default="120s")
    parser.add_argument("--runs", type=Path, default=Path("runs/bottleneck"))
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0025, 0.005, 0.01])
    options = parser.parse_args()
    curves = []
    for number, cell in enumerate(CELLS):
        for attention in ATTENTIONS:
            shares = shares_by_length(best_run(cell, attention, options.time, options.rates, options.runs))
            percent = [100 * share for share in shares.values()]
            name = f"{cell}, attention {attention}"
            curves.append(Curve(name, list(shares), percent, dashed=attention == "none", color=number))
    title, marks = "Reversal of letters, with attention and without", {"longer than in training": LONGEST_TRAINED}
    write_picture([Chart(title, "letters of the source", "exact match, %", curves, x_marks=marks)], OUT)


if __name__ == "__main__":
    main()

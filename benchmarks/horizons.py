"""Draw how far back gradients reach, and over what distance letters are remembered: docs/horizons.svg.

    python benchmarks/horizons.py [--text corpus:pydoc] [--time 25s] [--recall-time 40s] [--seeds 3] [--workers 2]

The rnn with each activation, the gru and the lstm are trained on the same text with the same size and time, each
with several seeds and with the settings of its preset. Then rnn, gru and lstm are trained on `corpus:recall`, and
measured by the number of characters between three letters and their copy. Each run uses one thread; runs that exist
in --runs are not trained again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import seqgen
from seqgen.inspection.gradients import HORIZON_SHARE, GradientNorms, Gradients, measure_gradients
from seqgen.inspection.recall import measure_recall
from seqgen.pages.chart import Chart, Curve
from seqgen.pages.chart_picture import write_picture
from seqgen.sources.catalog.corpus import read_chunks
from seqgen.sources.catalog.synthetic import LETTERS, RECALL_DISTANCES

OUT = Path(__file__).parents[1] / "docs" / "horizons.svg"
MODELS: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "rnn sigmoid": {"cell": "rnn", "activation": "sigmoid"},
    "rnn relu": {"cell": "rnn", "activation": "relu"},
}
RECALLING = ("rnn", "gru", "lstm")
SHOWN = {"rnn": "hidden", "gru": "hidden", "lstm": "cell", "rnn sigmoid": "hidden", "rnn relu": "hidden"}
"""The state whose gradient is compared."""
DISTANCE = 300
"""The greatest k that is measured."""
RECORDS = 1_000
"""Records of the test part in which the recalled letters are scored."""

Norms = npt.NDArray[np.float64]


class Job(NamedTuple):
    """A run to be trained, if it does not exist."""

    model: str
    text: str
    folder: Path
    settings: dict[str, Any]


class Reach(NamedTuple):
    """What was measured on one run."""

    trained: dict[str, GradientNorms]
    untrained: dict[str, GradientNorms]
    bits_per_byte: float
    note: str


def train(job: Job) -> seqgen.TextRun:
    """Train a run if it does not exist, and load it."""
    if not (job.folder / "model.safetensors").is_file():
        seqgen.train(job.text, out=job.folder, threads=1, **MODELS[job.model], **job.settings).run()
    return seqgen.load(job.folder, device="cpu", threads=1)


def reach(job: Job) -> Reach:
    """Train a run, and measure its gradients on its validation part, trained and untrained."""
    run = train(job)
    documents = run.validation_texts()
    trained = measure_gradients(run, documents, distance=DISTANCE)
    untrained = measure_gradients(run, documents, distance=DISTANCE, trained=False)
    bias = "".join(f"{gate} bias {number:g}" for gate, number in untrained.gate_bias.items())
    return Reach(_by_state(trained), _by_state(untrained), run.evaluate_documents(documents).bits_per_byte, bias)


def _by_state(gradients: Gradients) -> dict[str, GradientNorms]:
    return {norms.of.rpartition(".")[2]: norms for norms in gradients.norms}


def recalled_bits(job: Job) -> list[float]:
    """Train a run on `corpus:recall`, and return the bits that a recalled letter costs, by distance."""
    bits: list[float] = measure_recall(
        train(job), list(islice(read_lines("corpus:recall:test"), RECORDS))
    ).bits.tolist()
    return bits


def read_lines(name: str) -> Iterator[str]:
    """Yield the lines of a corpus with their ends."""
    yield from "".join(read_chunks(name)).splitlines(keepends=True)


def reach_curves(name: str, found: Sequence[Reach], color: int, last: int) -> list[Curve]:
    """Return the shares of the norm at k = 0 that are left: mean, lowest and highest seed, trained and untrained."""
    curves = []
    state, k = SHOWN[name], np.arange(last + 1)
    for trained in (True, False):
        shares = np.stack([_share((one.trained if trained else one.untrained)[state])[k] for one in found])
        with np.errstate(divide="ignore"):
            mean = np.exp(np.log(shares).mean(0))
        label = f"{name} {'c' if state == 'cell' else 'h'}" + ("" if trained else ", untrained")
        label += f", {found[0].note}" if found[0].note and not trained else ""
        low, high = (shares.min(0), shares.max(0)) if trained else (None, None)
        curves.append(Curve(label, k, mean, low, high, dashed=not trained, color=color))
    return curves


def _share(norms: GradientNorms) -> Norms:
    share: Norms = norms.mean / norms.mean[0]
    return share


def print_horizons(found: dict[str, list[Reach]]) -> None:
    """Print the horizon of every state and seed, and whether the trained gru and lstm reach further than the rnn."""
    for name, seeds in found.items():
        bits = ", ".join(f"{one.bits_per_byte:.3f}" for one in seeds)
        print(f"{name}: {bits} bits per byte")
        for state in seeds[0].trained:
            for kind in ("trained", "untrained"):
                horizons = [getattr(one, kind)[state].horizon for one in seeds]
                factors = [getattr(one, kind)[state].decay for one in seeds]
                shown = ", ".join(f"more than {DISTANCE}" if one is None else str(one) for one in horizons)
                print(
                    f"  {state}, {kind}: horizon {shown}; factor per token {', '.join(f'{one:.3f}' for one in factors)}"
                )
    trained = {
        name: [one.trained[SHOWN[name]].horizon or DISTANCE + 1 for one in seeds]
        for name, seeds in found.items()
        if name in RECALLING
    }
    further = min(*trained["gru"], *trained["lstm"]) > max(trained["rnn"])
    print(f"every trained gru (h) and lstm (c) reaches further than every rnn: {'yes' if further else 'NO'}")


def draw(found: dict[str, list[Reach]], bits: dict[str, list[list[float]]], out: Path) -> None:
    """Write the picture."""
    charts = []
    for title, names, last in (
        ("Gradient of one loss with respect to the state k tokens before", RECALLING, 100),
        ("The same for the rnn by its activation", ("rnn", "rnn sigmoid", "rnn relu"), 40),
    ):
        curves = [curve for color, name in enumerate(names) for curve in reach_curves(name, found[name], color, last)]
        line = Curve("a thousandth", [0, last], [HORIZON_SHARE, HORIZON_SHARE], dashed=True, color=6)
        charts.append(Chart(title, "k, tokens back", "share of the norm at k = 0", [*curves, line], log_y=True))
    distances, blind = list(RECALL_DISTANCES), math.log2(len(LETTERS))
    curves = []
    for color, (name, seeds) in enumerate(bits.items()):
        by_seed = np.array(seeds)
        curves.append(Curve(name, distances, by_seed.mean(0), by_seed.min(0), by_seed.max(0), color=color))
    curves.append(Curve("nothing remembered", distances, [blind] * len(distances), dashed=True, color=6))
    title = "Three letters, recalled after other characters"
    charts.append(Chart(title, "characters in between", "bits for a letter", curves, log_x=True))
    write_picture(charts, out)


def main() -> None:
    """Train what is missing, measure, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="corpus:pydoc")
    parser.add_argument("--time", default="25s")
    parser.add_argument("--recall-time", default="40s")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--recall-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/horizons"))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    size = {"tokenizer": "char", "hidden_size": options.hidden_size, "max_time": options.time}
    reaches = [
        Job(name, options.text, options.runs / f"{name.replace(' ', '-')}-{seed}", {**size, "seed": seed})
        for name in MODELS
        for seed in range(options.seeds)
    ]
    small = {
        "tokenizer": "char", "hidden_size": options.recall_size, "max_time": options.recall_time, "bptt": 128,
        "batch_size": 16,
    }  # fmt: skip
    recalls = [
        Job(name, "corpus:recall", options.runs / f"{name}-recall-{seed}", {**small, "seed": seed})
        for name in RECALLING
        for seed in range(options.seeds)
    ]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        measured, recalled = list(pool.map(reach, reaches)), list(pool.map(recalled_bits, recalls))
    found = {name: measured[at * options.seeds :][: options.seeds] for at, name in enumerate(MODELS)}
    bits = {name: recalled[at * options.seeds :][: options.seeds] for at, name in enumerate(RECALLING)}
    print_horizons(found)
    for name, seeds in bits.items():
        for needed in seeds:
            pairs = zip(RECALL_DISTANCES, needed, strict=True)
            print(f"{name}: bits for a letter, by distance: " + ", ".join(f"{at}: {one:.2f}" for at, one in pairs))
    draw(found, bits, options.out)


if __name__ == "__main__":
    main()

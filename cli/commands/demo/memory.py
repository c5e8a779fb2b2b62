"""Show by `seqgen demo --task memory` over what distance rnn, gru and lstm remember letters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen.cli.commands.demo.stages import say, train
from seqgen.cli.output import fit_table, printable, stdout, write_text

if TYPE_CHECKING:
    from seqgen.inspection.recall import Recall
    from seqgen.runs.text import TextRun

CORPUS = "corpus:recall"
TEST = f"{CORPUS}:test"
CELLS = ("rnn", "gru", "lstm")
TRAINING_TIME = "35s"
SETTINGS: dict[str, Any] = {"tokenizer": "char", "hidden_size": 64, "bptt": 128, "batch_size": 16}
"""The same for every cell."""
RECORDS = 700
"""Records of the test part that are measured, a seventh at each distance."""
ENOUGH = 0.5
"""The share of letters that are right at a distance that a cell is said to bridge."""


def demonstrate_memory(time: str, out: Path | None, *, quiet: bool) -> None:
    """Train each cell for an equal time, measure its recall by distance, draw it, and say what was seen."""
    from seqgen.cli.chart import print_chart

    from seqgen.inspection.recall import measure_recall
    from seqgen.pages.chart_file import write_charts
    from seqgen.pages.charts.recall import recall_chart
    from seqgen.runs.text import TextRun
    from seqgen.sources.source import load_documents

    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in SETTINGS.items())
    runs: dict[str, TextRun] = {}
    for cell in CELLS:
        say(f"{len(runs) + 1}. Train: seqgen train {CORPUS} --cell {cell} {options} --max-time {time}", quiet=quiet)
        runs[cell] = train(CORPUS, time, quiet=quiet, cell=cell, **SETTINGS).expect(TextRun)

    say(f"{len(runs) + 1}. Measure: how many letters are right, by the characters in between, in {TEST}", quiet=quiet)
    text = "".join(load_documents([TEST], runs[CELLS[0]].reading()))
    records = list(islice(text.splitlines(keepends=True), RECORDS))
    measured = {cell: measure_recall(run, records) for cell, run in runs.items()}
    _print(measured)
    chart = recall_chart(measured)
    stdout().print()
    print_chart(stdout(), chart)
    if out is not None:
        write_charts([chart], chart.title, out)
    write_text(f"\n{describe(measured)}\n{_command(runs)}\n")


def describe(measured: Mapping[str, Recall]) -> str:
    """Return in two sentences how far each cell remembers, and what the gates have to do with it."""
    from seqgen.inspection.recall import GUESSED

    last = int(next(iter(measured.values())).distances[-1])
    reaches = {cell: recall.reach(ENOUGH) or 0 for cell, recall in measured.items()}
    longest = {0: "none", last: f"{last} (the longest)"}
    parts = ", ".join(f"{cell} {longest.get(reach, reach)}" for cell, reach in reaches.items())
    seen = f"At least half of the letters are right, {GUESSED:.1%} by guessing, up to these distances: {parts}."
    gated = {cell: reach for cell, reach in reaches.items() if cell != "rnn"}
    further = [cell for cell, reach in gated.items() if reach > reaches["rnn"]]
    if len(further) == len(gated):
        reason = (
            "A gate near 1 carries a state from step to step as it is, and the rnn has none: it writes its whole state "
            "anew at every step."
        )
    elif further:
        reason = f"With the same time, gates helped {further[0]} only: they make it possible to remember, not certain."
    else:
        reason = "With this time, gates have not helped: they have to be learned, so train longer with --max-time."
    return f"{seen}\n{reason}"


def _command(runs: Mapping[str, TextRun]) -> str:
    """Return the sentence with the command that shows why."""
    paths = " ".join(printable(str(run.path)) for run in runs.values())
    return (
        f"To see how far back each one's gradients reach, and that an untrained gru forgets faster than an untrained "
        f"rnn: seqgen inspect gradients {paths} --untrained"
    )


def _print(measured: Mapping[str, Recall]) -> None:
    """Print the accuracy of every cell at every distance."""
    distances = next(iter(measured.values())).distances.tolist()
    columns = ["characters in between", *map(str, distances)]
    rows = [
        dict(zip(columns, [cell, *(f"{one:.0%}" for one in recall.accuracy)], strict=True))
        for cell, recall in measured.items()
    ]
    stdout().print(fit_table(stdout(), columns, rows, figures=columns[1:], left_out_first=()).table)

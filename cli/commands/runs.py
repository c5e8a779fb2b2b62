"""`seqgen runs`: list the runs, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqgen.cli.options import JsonOption
from seqgen.cli.output import WIDE, clock, notice, printable, stdout, tokenizer_name, write_json

from seqgen.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


COLUMNS = ("run", "model", "vocabulary", "text", "parameters", "bits/byte", "accuracy", "steps", "time", "state")
FIGURES = ("parameters", "bits/byte", "accuracy", "steps", "time", "state")
RESULTS = ("bits/byte", "accuracy")
"""The columns of results: of texts and targets, and of labels and tags. One without any result is not shown."""
LEFT_OUT_FIRST = ("vocabulary", "parameters", "text", "time", "steps", "model")
"""The columns that a narrow terminal drops, in this order."""


def runs(json: JsonOption = False) -> None:
    """List the runs under runs/: model, text, size, result, time."""
    from seqgen.runs.directory import find_runs
    from seqgen.runs.summary import summarize

    rows, broken = [], []
    for directory, config in find_runs():
        try:
            if isinstance(config, RunError):
                raise config
            rows.append(summarize(directory, config))
        except RunError as error:
            broken.append(str(error))
    if json:
        write_json([row.model_dump() for row in rows])
    elif rows:
        _print_table([_cells(row.model_dump()) for row in rows])
    elif not broken:
        notice("no runs under runs/ yet; train one with `seqgen train FILE`, or try `seqgen demo`")
    for message in broken:
        notice(message)


def _print_table(rows: Sequence[dict[str, str]]) -> None:
    """Print a line per run; on a narrow terminal with fewer columns, so that no cell is cut."""
    console, left_out = stdout(), list[str]()
    shown = {name for name in RESULTS if any(row[name] != "-" for row in rows)} or {RESULTS[0]}
    columns = [name for name in COLUMNS if name not in RESULTS or name in shown]
    table = _table(rows, columns)
    for name in LEFT_OUT_FIRST:
        if _width(console, table) <= console.width:
            break
        left_out.append(name)
        table = _table(rows, [column for column in columns if column not in left_out])
    if _width(console, table) > console.width:  # a name as long as the line has a line to itself
        for row in rows:
            console.print(row["run"], soft_wrap=True)
            result = f"{row['bits/byte']} bits/byte" if row["accuracy"] == "-" else f"{row['accuracy']} accuracy"
            console.print(f"  {result}, {row['state']}", soft_wrap=True)
    else:
        console.print(table)
    if left_out:
        notice(f"not shown at this width: {', '.join(left_out)}; `seqgen runs --json` has everything")


def _width(console: Console, table: Table) -> int:
    """Return the columns that a table needs."""
    return console.measure(table, options=console.options.update(width=WIDE)).maximum


def _table(rows: Sequence[dict[str, str]], columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in FIGURES else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a run."""
    best, accuracy = row["best_bits_per_byte"], row["best_accuracy"]
    return {
        "run": printable(row["run"]),
        "model": f"{row['cell']} {row['shape']}",
        "vocabulary": f"{tokenizer_name(row['tokenizer'], row['normalization'])} {row['vocab_size']:,}",
        "text": printable(row["text"]),
        "parameters": "-" if row["parameters"] is None else f"{row['parameters']:,}",
        "bits/byte": "-" if best is None else f"{best:.3f}",
        "accuracy": "-" if accuracy is None else f"{accuracy:.1%}",
        "steps": f"{row['steps']:,}/{row['total_steps']:,}",
        "time": clock(row["seconds"]),
        "state": row["state"],
    }

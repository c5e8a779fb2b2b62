"""`seqgen runs`: every run, side by side, one line each."""

from __future__ import annotations

from typing import Any

from seqgen.cli.options import JsonOption
from seqgen.cli.output import notice, printable, stdout, tokenizer_name, write_json

from seqgen.errors import RunError


def runs(json: JsonOption = False) -> None:
    """List the runs under runs/: what was trained on what, how big, how good, how long."""
    from seqgen.run import find_runs
    from seqgen.run_summary import summarize

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
        _print_table([row.model_dump() for row in rows])
    elif not broken:
        notice("there are no runs here yet; train one with `seqgen train FILE`, or try `seqgen demo`")
    for message in broken:
        notice(message)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from seqgen.cli.screen import clock

    table = Table(box=None, pad_edge=False)
    for name in ("run", "model", "vocabulary", "text"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "bits/byte", "steps", "time", "state"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        best = row["best_bits_per_byte"]
        table.add_row(
            printable(row["run"]),
            f"{row['cell']} {row['layers']}x{row['hidden_size']}",
            f"{tokenizer_name(row['tokenizer'], row['normalization'])} {row['vocab_size']:,}",
            printable(row["text"]),
            "-" if row["parameters"] is None else f"{row['parameters']:,}",
            "-" if best is None else f"{best:.3f}",
            f"{row['steps']:,}/{row['total_steps']:,}",
            clock(row["seconds"]),
            row["state"],
        )
    stdout().print(table)

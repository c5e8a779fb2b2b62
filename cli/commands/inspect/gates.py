"""`seqgen inspect gates`: how open the gates of a recurrent model are, and how long its units remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.inspect.arguments import (
    MACHINE,
    SETTINGS,
    ChartsOption,
    MemberOption,
    TextArgument,
    note_unknown_tokens,
    read_documents,
    text_name,
)
from seqgen.cli.options import JsonOption, QuietOption, RunArgument, pick, with_settings
from seqgen.cli.output import check_out, notice_written, printable, stdout, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.pages.chart_file import CHART_SUFFIXES, write_charts
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.table import Table

    from seqgen.inspection.gates import Gates
    from seqgen.runs.text import TextRun

MOST_CHARACTERS = 20_000
"""Characters of a text that are read: enough for means to three digits, in seconds."""
SHARES = {"shortest": 0.0, "10%": 0.1, "25%": 0.25, "median": 0.5, "75%": 0.75, "90%": 0.9, "longest": 1.0}
"""The columns of the table of half-lives."""


@with_settings(SETTINGS, main=MACHINE)
def gates(
    run: RunArgument = None,
    text: TextArgument = None,
    member: MemberOption = None,
    top: Annotated[int, typer.Option(min=1, help="How many units with the longest memory to list.")] = 10,
    out: ChartsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Show how open the gates of an lstm or gru are, and after how many tokens half of a unit's memory is left.

    The half-life of a unit is ln(1/2) / mean(ln r); r is the share of its state that it keeps at a token.
    It is the forget gate of an lstm, and the update gate of a gru.
    """
    path = check_out(out, CHART_SUFFIXES)
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.gates import gated_cell, measure_gates
        from seqgen.inspection.trace import neural_part, part_name
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    machine = pick(settings, *MACHINE)
    model = load(run, **machine).expect(TextRun)
    part = neural_part(model, member)
    name = part_name(model, part)
    gated_cell(part)
    documents = read_documents(model, text, settings, MOST_CHARACTERS, quiet=quiet)
    note_unknown_tokens([model], documents, text, quiet=quiet)
    with torch_threads(machine.get("threads")), WorkBar("reading", quiet=quiet) as bar:
        found = measure_gates(part, documents, progress=bar.show)
    if path is not None:
        from seqgen.pages.charts.gates import half_life_chart, saturation_charts

        title = f"Gates of {name}, {part.config.model.name} {part.config.model.shape}"
        write_charts([half_life_chart(found), *saturation_charts(found)], title, path)
        notice_written(path, quiet=quiet)
    if json:
        write_json(_as_record(found, part, text_name(text)))
    elif path is None:
        _print(found, part, name, top)


def _as_record(found: Gates, run: TextRun, text: str) -> dict[str, Any]:
    """Return the figures of every unit."""
    return {
        "run": str(run.path),
        "text": text,
        "tokens": found.tokens,
        "cell": found.cell,
        "retention": found.retention,
        "units": [
            {
                "layer": layer,
                "unit": unit,
                "half_life": half_life,
                "limited": float(found.limited[layer, unit]),
                "gates": {
                    name: {part: float(getattr(gate, part)[layer, unit]) for part in ("mean", "left", "right")}
                    for name, gate in found.gates.items()
                },
            }
            for layer, half_lives in enumerate(found.half_life.tolist())
            for unit, half_life in enumerate(half_lives)
        ],
    }


def _print(found: Gates, run: TextRun, name: str, top: int) -> None:
    from seqgen.inspection.gates import SMALLEST

    console, config = stdout(), run.config
    line = f"{name}: {config.model.name} {config.model.shape}, {config.tokenizer.kind}"
    line += f"; {plural(found.tokens, 'token')}"
    console.print(printable(line), soft_wrap=True)
    for title, table in (
        ("gates, mean over units and tokens", _gate_table(found)),
        (f"half-life of the units in tokens, by the {found.retention} gate", _half_life_table(found)),
        ("units with the longest memory", _unit_table(found, top)),
    ):
        console.print(f"\n{title}", style="bold")
        console.print(table)
    if share := found.limited.mean():
        limits = f"within {SMALLEST:.1g} of 0 or 1, and count as that"
        console.print(f"\n{share:.2%} of the values of the {found.retention} gate are {limits}", soft_wrap=True)


def _gate_table(found: Gates) -> Table:
    from seqgen.inspection.gates import LEFT, RIGHT

    table = _table("layer", "gate", "mean", f"below {LEFT}", f"above {RIGHT}")
    for layer in range(len(found.half_life)):
        for name, gate in found.gates.items():
            shares = [f"{share[layer].mean():.1%}" for share in (gate.left, gate.right)]
            table.add_row(str(layer), name, f"{gate.mean[layer].mean():.3f}", *shares)
    return table


def _half_life_table(found: Gates) -> Table:
    table = _table("layer", *SHARES)
    for layer, row in enumerate(found.half_life_quantiles([*SHARES.values()]).tolist()):
        table.add_row(str(layer), *map(_tokens, row))
    return table


def _unit_table(found: Gates, top: int) -> Table:
    from seqgen.inspection.gates import RIGHT

    kept = found.gates[found.retention]
    table = _table("layer", "unit", "half-life", f"{found.retention} gate", f"above {RIGHT}")
    for place in found.longest(top):
        layer, unit = map(str, place)
        figures = _tokens(found.half_life[place]), f"{kept.mean[place]:.3f}", f"{kept.right[place]:.1%}"
        table.add_row(layer, unit, *figures)
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name == "gate" else "right")
    return table


def _tokens(number: float) -> str:
    return f"{number:,.2f}" if number < 100 else f"{number:,.0f}"

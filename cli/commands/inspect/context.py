"""`seqgen inspect context`: what a text costs by how far back models look, and by what is disturbed there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.inspect.arguments import (
    MACHINE,
    SETTINGS,
    ChartsOption,
    RunsArgument,
    SharedTextOption,
    load_runs,
    note_unknown_tokens,
    read_documents,
    text_name,
)
from seqgen.cli.options import JsonOption, QuietOption, pick, with_settings
from seqgen.cli.output import check_out, fit_table, notice, notice_written, print_line, printable, stdout, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.pages.chart_file import CHART_SUFFIXES, write_charts
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.inspection.context import ContextLosses, Estimate, Floats, Unit
    from seqgen.runs.text import TextRun

MOST_CHARACTERS = 100_000
"""Characters of a text that are read: all of them once, for the loss with the whole context."""


@with_settings(SETTINGS, main=MACHINE)
def context(
    runs: RunsArgument = None,
    text: SharedTextOption = None,
    targets: Annotated[int, typer.Option(min=2, metavar="N", help="How many places of the text to measure.")] = 200,
    longest: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of the longest context.")] = 512,
    members: Annotated[
        bool, typer.Option("--members", help="Measure each member of a mixture as a run of its own too.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the places and of the shuffling.")] = 1,
    out: ChartsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Show how far back models look: their loss with only the last n tokens, and with distant tokens disturbed.

    All runs, of any family and tokenizer, are measured at the same places of the text.
    """
    path = check_out(out, CHART_SUFFIXES)
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.context import common_unit, measure_context

    machine = pick(settings, *MACHINE)
    loaded = load_runs(runs, **machine)
    documents = _read(loaded, text, settings, quiet=quiet)
    measured = [part for run in loaded for part in (run, *(run.members.values() if members else ()))]
    with torch_threads(machine.get("threads")), WorkBar("reading contexts", quiet=quiet) as bar:
        found = measure_context(measured, documents, targets=targets, longest=longest, seed=seed, progress=bar.show)
    reached = [one.lengths[-1] for one, run in zip(found, measured, strict=True) if run.model.max_positions is None]
    if reached and reached[0] < longest:
        notice(f"the documents are short, so the longest context has {plural(reached[0], 'token')}", quiet=quiet)
    if path is not None:
        from seqgen.pages.charts.context import context_charts

        title = f"Context of {', '.join(one.name for one in found)}"
        write_charts(context_charts(found, common_unit(found)), title, path)
        notice_written(path, quiet=quiet)
    if json:
        records = [_as_record(one, run) for one, run in zip(found, measured, strict=True)]
        write_json({"text": text_name(text), "places": len(found[0].tokens), "runs": records})
    elif path is None:
        _print(found)


def _read(runs: Sequence[TextRun], text: str | None, reading: Mapping[str, Any], *, quiet: bool) -> Sequence[str]:
    """Return the documents of a text, or of the validation part that all runs share.

    Raises:
        ConfigError: the runs have different validation parts.
    """
    if text is None and len(runs) > 1:
        from seqgen.inspection.comparison import require_same_validation

        require_same_validation({str(run.path): run.config for run in runs})
    documents = read_documents(runs[0], text, reading, MOST_CHARACTERS, quiet=quiet)
    note_unknown_tokens(runs, documents, text, quiet=quiet)
    return documents


def _print(found: Sequence[ContextLosses]) -> None:
    """Print tables of losses with a column for each run, as many in one as fit, and on a terminal the charts."""
    from seqgen.cli.chart import print_chart

    from seqgen.inspection.context import common_unit, disturbed_lengths
    from seqgen.pages.charts.context import context_charts

    console, unit = stdout(), common_unit(found)
    print_line(console, f"{unit}, and its standard error, at {plural(len(found[0].tokens), 'place')}")
    names = [printable(one.name) for one in found]
    _print_table(console, "last tokens", names, _length_rows(found, unit))
    if any(one.distances for one in found):
        line = f"added when, of the last {disturbed_lengths(found)} tokens, those more than k back are disturbed"
        print_line(console, f"\n{line}")
        _print_table(console, "disturbed, k", names, _disturbance_rows(found, unit))
    if console.is_terminal:
        for chart in context_charts(found, unit):
            console.print()
            print_chart(console, chart)


def _length_rows(found: Sequence[ContextLosses], unit: Unit) -> Iterator[tuple[str, list[str]]]:
    """Yield the losses by the length of the context; a run with limited positions has no longer ones."""
    longest = max(found, key=lambda one: len(one.lengths)).lengths
    for number, length in enumerate(longest):
        cells = [_show(one.loss(one.by_length[number], unit)) if number < len(one.lengths) else "" for one in found]
        yield f"{length:,}", cells
    yield "all before", [_show(one.loss(one.whole, unit)) for one in found]
    yield "within 1% of the best", [_horizon(one.horizon, one.lengths) for one in found]


def _disturbance_rows(found: Sequence[ContextLosses], unit: Unit) -> Iterator[tuple[str, list[str]]]:
    """Yield what is added to the losses by what happens to the tokens more than k back."""
    most = max(found, key=lambda one: len(one.distances)).distances
    for kind in found[0].disturbances:
        for number, distance in enumerate(most):
            cells = [
                _show(one.added(one.disturbances[kind][number], unit), signed=True)
                if number < len(one.distances)
                else ""
                for one in found
            ]
            yield f"{kind}, {distance}", cells
    yield "shuffled adds below 1%", [_horizon(one.order_horizon, one.distances) for one in found]
    yield "replaced adds below 1%", [_horizon(one.replacement_horizon, one.distances) for one in found]


def _print_table(console: Console, title: str, names: Sequence[str], rows: Iterator[tuple[str, list[str]]]) -> None:
    """Print rows with a cell for each run; the runs that have no room follow in further tables."""
    named = [{title: first, **dict(zip(names, cells, strict=True))} for first, cells in rows]
    left = list(names)
    while left:
        for count in range(len(left), 0, -1):
            columns = [title, *left[:count]]
            fitted = fit_table(console, columns, named, figures=columns, left_out_first=())
            if fitted.fits:
                break
        console.print(fitted.table)
        if left := left[count:]:
            console.print()


def _show(estimate: Estimate, *, signed: bool = False) -> str:
    return f"{estimate.value:{'+' if signed else ''}.4f} ± {estimate.error:.4f}"


def _horizon(found: int | None, tried: Sequence[int]) -> str:
    if not tried:
        return ""
    return f"more than {tried[-1]:,}" if found is None else f"{found:,}"


def _as_record(found: ContextLosses, run: TextRun) -> dict[str, Any]:
    """Return the losses and what is added, in both units, each with its standard error."""
    from seqgen.inspection.context import UNITS

    def losses(nats: Floats) -> dict[str, dict[str, float]]:
        return {unit.replace(" ", "_"): found.loss(nats, unit)._asdict() for unit in UNITS}

    def added(nats: Floats) -> dict[str, dict[str, float]]:
        return {unit.replace(" ", "_"): found.added(nats, unit)._asdict() for unit in UNITS}

    return {
        "run": str(run.path),
        "tokens": int(found.tokens.sum()),
        "bytes": int(found.bytes.sum()),
        "whole": losses(found.whole),
        "lengths": [
            {"tokens": length, **losses(nats)} for length, nats in zip(found.lengths, found.by_length, strict=True)
        ],
        "horizon": found.horizon,
        "disturbed_tokens": found.disturbed,
        "disturbed": [
            {"kind": kind, "distance": distance, **losses(nats[number]), "added": added(nats[number])}
            for kind, nats in found.disturbances.items()
            for number, distance in enumerate(found.distances)
        ],
        "order_horizon": found.order_horizon,
        "replacement_horizon": found.replacement_horizon,
    }

"""`seqgen inspect units`: what single units of a model's state track, and a text in their colors."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.inspect.arguments import (
    MACHINE,
    SETTINGS,
    MemberOption,
    TextArgument,
    note_unknown_tokens,
    read_documents,
    text_name,
)
from seqgen.cli.commands.inspect.colored_text import PALETTES, color_text
from seqgen.cli.options import JsonOption, QuietOption, RunArgument, pick, with_settings
from seqgen.cli.output import check_out, notice, notice_written, printable, stdout, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, TextError
from seqgen.pages.chart_file import PAGE_SUFFIX
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.inspection.units import FoundUnits, SimilarPlaces, UnitTrace
    from seqgen.runs.text import TextRun

CONTEXT = 20
"""Characters that are shown on each side of a place."""


ProbeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REGEX", help="Find units for this too: inside a match or not. Several times for several patterns."
    ),
]
UnitOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Color the text by this unit: layers.0.cell:17. Several times for several units."
    ),
]
FindOption = Annotated[
    str | None,
    typer.Option(
        metavar="SPAN", help="List places with a similar state as this part of the text, or characters START:END."
    ),
]
TopOption = Annotated[int, typer.Option(min=1, help="Number of units for each probe.")]
TokensOption = Annotated[int, typer.Option(min=1, help="Read at most this many tokens, from the start of the text.")]
ExcerptOption = Annotated[
    int, typer.Option(min=0, help="Characters of the text to show in colors, from its second half.")
]
ColorsOption = Annotated[
    Literal["red-blue", "safe"],
    typer.Option(help="Colors of positive and negative values; safe is orange and blue, for color-blind readers."),
]
OutOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write a page, OUT.html, on which to choose units and find places."),
]


@with_settings(SETTINGS, main=MACHINE)
def units(
    run: RunArgument = None,
    text: TextArgument = None,
    probe: ProbeOption = None,
    unit: UnitOption = None,
    find: FindOption = None,
    top: TopOption = 1,
    tokens: TokensOption = 100_000,
    excerpt: ExcerptOption = 300,
    colors: ColorsOption = "red-blue",
    member: MemberOption = None,
    out: OutOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Find units that by themselves track quotes, brackets, indentation, line position, case or your own pattern.

    Units are chosen by their correlation on the first half of the text, and measured on the second, held-out half.
    The text is shown in the colors of the best units, or of those that --unit names.
    """
    path = check_out(out, [PAGE_SUFFIX])
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.trace import neural_part, part_name
        from seqgen.inspection.units import find_similar, find_units
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    machine = pick(settings, *MACHINE)
    model = load(run, **machine).expect(TextRun)
    part, name = neural_part(model, member), text or "the validation part"
    documents = read_documents(model, text, settings, quiet=quiet)
    with torch_threads(machine.get("threads")):
        trace = _trace(part, documents, tokens, name, quiet=quiet)
    note_unknown_tokens([part], ["".join(trace.tokens)], text, quiet=quiet)
    asked = [trace.names[trace.column(one)] for one in unit or []]
    span = None if find is None else _locate(trace, find)
    wanted = json or path or probe or not (asked or find)
    found = find_units(trace, probe or [], top=top) if wanted else None
    places = None if span is None else find_similar(trace, *span)
    if path is not None and found is not None:
        _write_page(path, trace, found, f"Units of {part_name(model, part)} on {name}", asked)
        notice_written(path, quiet=quiet)
    if json and found is not None:
        write_json(_as_record(part, text_name(text), trace, found, asked, places))
        return
    console = stdout()
    if found is not None and path is None:
        _print_found(console, found, part_name(model, part))
    if places is not None:
        _print_places(console, trace, places)
    elif path is None and excerpt:
        _print_colored(console, trace, dict.fromkeys(asked, "") or _best_units(found), excerpt, colors)


def _write_page(path: Path, trace: UnitTrace, found: FoundUnits, title: str, asked: list[str]) -> None:
    """Write the page."""
    from seqgen.pages.units import units_page
    from seqgen.utils.files import write_atomically

    write_atomically(path, units_page(trace, found, title, asked).encode("utf-8"))


def _trace(part: TextRun, documents: tuple[str, ...], tokens: int, name: str, *, quiet: bool) -> UnitTrace:
    """Trace the first tokens of documents; note how many are left out."""
    from seqgen.inspection.trace import fit_positions
    from seqgen.inspection.units import first_tokens, trace_units

    kept = first_tokens(part, documents, tokens)
    if not kept:
        raise TextError(f"{name} is empty; name a file with text")
    if (left := sum(map(len, documents)) - sum(map(len, kept))) > 0:
        notice(
            f"{name}: reading stops after {plural(tokens, 'token')} and leaves out {plural(left, 'character')}, which "
            "--tokens can include",
            quiet=quiet,
        )
    fitting = fit_positions(part, kept)
    if (parts := len(fitting)) > len(kept):
        limit = plural(part.model.max_positions or 0, "token")
        notice(f"{name}: the model reads at most {limit} at once, so it is read in {parts:,} parts", quiet=quiet)
    with WorkBar(name, quiet=quiet) as bar:
        return trace_units(part, fitting, progress=bar.show)


def _locate(trace: UnitTrace, find: str) -> tuple[int, int]:
    """Return the tokens of a span, which is START:END in characters, or the first occurrence of a text."""
    text = "".join(trace.tokens)
    if match := re.fullmatch(r"(\d+):(\d+)", find):
        start, stop = map(int, match.groups())
        if not start < stop <= len(text):
            raise ConfigError(f"find: {find} is not a span of the {plural(len(text), 'character')} of the text")
    else:
        start = text.find(find)
        stop = start + len(find)
        if start < 0 or not find:
            raise ConfigError(f"find: {find!r} is not in the text; name a part of it, or characters START:END")
    ends = list(accumulate(map(len, trace.tokens)))
    return bisect_right(ends, start), bisect_right(ends, stop - 1) + 1


def _as_record(
    part: TextRun, name: str, trace: UnitTrace, found: FoundUnits, asked: list[str], places: SimilarPlaces | None
) -> dict[str, Any]:
    """Return what --json prints; with the tokens and their values where units were asked for."""
    values = {one: [round(value, 6) for value in trace.unit(one).tolist()] for one in asked}
    return {
        "run": str(part.path),
        "text": name,
        "tokens": found.total,
        "fitting_tokens": found.half,
        "held_out_tokens": found.total - found.half,
        "tried": found.tried,
        "units": [asdict(one) for one in found.found],
        "absent": found.absent,
        **({"token_texts": trace.tokens, "values": values} if asked else {}),
        **({} if places is None else {"similar": asdict(places)}),
    }


def _print_found(console: Console, found: FoundUnits, name: str) -> None:
    """Print the units of each probe."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("probe", "unit", "chosen on", "held out"):
        table.add_column(title, justify="right" if title in {"chosen on", "held out"} else "left")
    before = ""
    for one in found.found:
        table.add_row(
            printable(one.probe) if one.probe != before else "", one.unit, f"{one.fitted:+.2f}", f"{one.held_out:+.2f}"
        )
        before = one.probe
    console.print(
        printable(
            f"{name}: the best of {plural(found.tried, 'unit')} for each probe by correlation, chosen on the first "
            f"{plural(found.half, 'token')} and measured on the other {found.total - found.half:,}, which are held out"
        ),
        soft_wrap=not console.is_terminal,
    )
    console.print(table)
    if found.absent:
        console.print(printable(f"not measured, as they do not change: {', '.join(found.absent)}"), soft_wrap=True)


def _best_units(found: FoundUnits | None) -> dict[str, str]:
    """Return the best units of all probes, with what each tracks."""
    made: dict[str, list[str]] = {}
    for one in found.best() if found is not None else ():
        made.setdefault(one.unit, []).append(one.probe)
    return {name: f"{', '.join(probes)}: " for name, probes in made.items()}


def _print_colored(console: Console, trace: UnitTrace, units: dict[str, str], length: int, colors: str) -> None:
    """Print a part of the text in the colors of each unit; it begins with a line of the second half."""
    from seqgen.inspection.units import color_scale

    lengths = [len(token) for token in trace.tokens]
    half = len(lengths) // 2
    first = 0 if sum(lengths) <= length else half
    while first and "\n" not in trace.tokens[first - 1] and half - first < length:
        first -= 1
    stop, shown = first + 1, lengths[first]
    while stop < len(lengths) and shown + lengths[stop] <= length:
        shown += lengths[stop]
        stop += 1
    for name, tracked in units.items():
        values = trace.unit(name)
        scale = color_scale(values)
        console.print()
        console.print(printable(f"{tracked}{name}, tokens {first + 1:,} to {stop:,}"), style="bold", soft_wrap=True)
        color_text(console, trace.tokens[first:stop], (values[first:stop] / scale).tolist(), scale, PALETTES[colors])


def _print_places(console: Console, trace: UnitTrace, places: SimilarPlaces) -> None:
    """Print the places with a similar state, the most similar first."""
    from rich.table import Table
    from rich.text import Text

    ends = [0, *accumulate(map(len, trace.tokens))]
    text = "".join(trace.tokens)

    def show(start: int, stop: int) -> Text:
        begin, end = ends[start], ends[stop]
        parts = (text[max(begin - CONTEXT, 0) : begin], text[begin:end], text[end : end + CONTEXT])
        before, inside, after = (printable(part).replace("\n", "⏎").replace("\t", "⇥") for part in parts)
        return Text.assemble(before, ("[" + inside + "]", "bold reverse"), after)

    count = len(places.units)
    if not count:
        console.print("no unit is on at the end of the span; choose another", soft_wrap=True)
        return
    console.print(Text.assemble("compared: ", show(places.start, places.stop)), soft_wrap=True)
    names = ", ".join(places.units[:6]) + (", ..." if count > 6 else "")
    console.print(f"by {plural(count, 'unit')}: {names}", soft_wrap=True)
    if not places.places:
        console.print("more than half of them are on nowhere else", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("units on", justify="right")
    table.add_column("characters", justify="right")
    table.add_column("place", overflow="fold")
    for place in places.places:
        where = f"{ends[place.start]}:{ends[place.stop]}"
        table.add_row(f"{place.matched} of {count}", where, show(place.start, place.stop))
    console.print(table)

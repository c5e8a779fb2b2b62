"""`seqgen inspect step`: step through a short text with the equations of a cell in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.commands.inspect.arguments import CPU_SETTINGS, MACHINE, MemberOption, read_passage, run_and_text
from seqgen.cli.options import JsonOption, QuietOption, RunArgument, pick, with_settings
from seqgen.cli.output import PAGE, check_out, notice, notice_written, printable, stdout, write_json
from seqgen.cli.prompt import check_vocabulary
from seqgen.cli.signals import exit_on_signal

from seqgen.pages.chart_file import PAGE_SUFFIX
from seqgen.utils.files import write_atomically

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from seqgen.inspection.step import NextToken, TextSteps, UnitSteps
    from seqgen.runs.text import TextRun

MOST_TOKENS = 100
"""Tokens of a text that are stepped through."""
PAGE_UNITS = 8
"""Units that a page offers."""
EXAMPLE = "hello"


@with_settings(CPU_SETTINGS, main=MACHINE)
def step(
    run: RunArgument = None,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The text itself, or a file, or - for stdin.", show_default=EXAMPLE),
    ] = None,
    layer: Annotated[int | None, typer.Option(metavar="N", help="Layer of the unit, from 0.")] = None,
    unit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Unit to show, from 0.", show_default="the unit that changes most in the text"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many likely next tokens to show.")] = 5,
    member: MemberOption = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page that steps by the arrow keys: OUT.html.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Step through a short text: the equations of a cell with their numbers, and the distribution over the next token.

    The equations are those of one unit of a recurrent layer, from its weights and your text.
    The numbers shown add up: a line has more decimals than three where it needs them.
    For a transformer, the attention to the tokens so far takes their place.

    A single argument that is not a directory is the text: seqgen inspect step hello.
    """
    path = check_out(out, (PAGE_SUFFIX,))
    run, text = run_and_text(run, text)
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.step import step_text
        from seqgen.inspection.trace import neural_part, part_name
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    machine = pick(settings, *MACHINE)
    model = load(run, device="cpu", **machine).expect(TextRun)
    part = neural_part(model, member)
    name = part_name(model, part)
    given = EXAMPLE if text is None else text
    content = _read(part, given, settings, quiet=quiet)
    units = 1 if path is None else PAGE_UNITS
    with torch_threads(machine.get("threads")):
        steps = step_text(part, content, layer=layer, unit=unit, units=units, top=top)
    if path is not None:
        from seqgen.pages.step import step_page

        title = f"Step by step through {name}, {part.config.model.name} {part.config.model.shape}"
        write_atomically(path, step_page(steps, title).encode())
        notice_written(path, quiet=quiet)
    if json:
        write_json(_as_record(steps, part, given))
    elif path is None:
        _print(steps, part, name)


def _read(run: TextRun, text: str, reading: Mapping[str, Any], *, quiet: bool) -> str:
    """Return the text itself or that of a file, cut to `MOST_TOKENS`; note what is not in the vocabulary.

    Raises:
        TextError: it cannot be read, or is empty.
    """
    from seqgen.inspection.trace import cut_tokens

    whole = read_passage(run, text, reading, quiet=quiet)
    content = cut_tokens(run, whole, MOST_TOKENS)
    if content != whole:
        notice(f"the text: the first {MOST_TOKENS} tokens", quiet=quiet)
    check_vocabulary([content], run, "the text", quiet=quiet)
    return content


def _as_record(steps: TextSteps, run: TextRun, text: str) -> dict[str, Any]:
    """Return all steps as --json prints them; the first has no token, but what may follow the start."""
    tokens = [None, *steps.tokens]
    return {
        "run": str(run.path),
        "text": text,
        "tokens": len(steps.tokens),
        "cell": steps.cell,
        "steps": [
            {
                "token": token,
                "units": [_unit_record(unit, number) for unit in steps.units] if number else [],
                "attention": _attention(steps, number),
                "top": [{"token": name, "probability": probability} for name, probability in found.top],
                "next": found.actual,
                "nats": found.nats,
            }
            for number, (token, found) in enumerate(zip(tokens, steps.next_tokens, strict=True))
        ],
    }


def _unit_record(unit: UnitSteps, number: int) -> dict[str, Any]:
    equations = unit.equations[number - 1]
    return {
        "layer": unit.layer,
        "unit": unit.unit,
        "equations": [
            {"symbol": one.symbol, "formula": one.formula, "numbers": dict(one.numbers), "value": one.value}
            for one in equations
        ],
    }


def _attention(steps: TextSteps, number: int) -> list[list[float]]:
    """Return the attention of a step in each layer: to the start, and to each token so far; empty without any."""
    weights = () if steps.attention is None or not number else steps.attention
    return [layer[number - 1, : number + 1].tolist() for layer in weights]


def _print(steps: TextSteps, run: TextRun, name: str) -> None:
    config, console = run.config, stdout(PAGE)
    line = f"{name}: {config.model.name} {config.model.shape}, {config.tokenizer.kind}"
    for unit in steps.units:
        line += f"; layer {unit.layer}, unit {unit.unit}"
    console.print(printable(line), soft_wrap=True)
    _print_block(console, "start", steps.next_tokens[0], [])
    for number, (token, found) in enumerate(zip(steps.tokens, steps.next_tokens[1:], strict=True), 1):
        lines = [*_equations(steps, number), *_attention_lines(steps, number)]
        _print_block(console, _shown(token), found, lines)
    console.print()
    console.print(_summary(steps))


def _print_block(console: Console, token: str, found: NextToken, lines: list[str]) -> None:
    """Print what happens at a token: the equations or the attention, and what may follow."""
    heading = token if found.actual is None else f"{token} -> {_shown(found.actual)}"
    console.print(f"\n{heading}", style="bold")
    likely = "  ".join(f"{_shown(name)} {probability:.1%}" for name, probability in found.top)
    for line in [*lines, f"next: {likely}"]:
        console.print(f"  {line}", soft_wrap=True)
    if found.actual is not None and found.nats is not None:
        console.print(f"  cost of {_shown(found.actual)}: -ln p = {found.nats:.3f} nats", soft_wrap=True)


def _equations(steps: TextSteps, number: int) -> Iterator[str]:
    """Yield the equations of a step, the signs of equality in columns."""
    from seqgen.pages.step import write_equation

    for unit in steps.units:
        written = [write_equation(equation) for equation in unit.equations[number - 1]]
        formula, numbers = (max(map(len, column)) for column in [*zip(*written, strict=True)][1:3])
        for one in written:
            yield f"{one.symbol:2} = {one.formula:{formula}} = {one.numbers:{numbers}} = {one.result:>6}"


def _attention_lines(steps: TextSteps, number: int) -> Iterator[str]:
    names = ["start", *map(_shown, steps.tokens)]
    for layer, weights in enumerate(_attention(steps, number)):
        pairs = [f"{name} {weight:.2f}" for name, weight in zip(names, weights, strict=False)]
        yield f"layer {layer} attends to: {', '.join(pairs)}"


def _summary(steps: TextSteps) -> Table:
    """Return the table of all steps: the states after each token, the best guess, the token that follows, its cost."""
    from rich.table import Table

    from seqgen.pages.step import show_number

    equations = [unit.equations for unit in steps.units[:1]]
    states = [one.symbol for one in equations[0][0] if one.symbol.endswith("'")] if equations else []
    table = Table(box=None, pad_edge=False)
    for name in ("read", *states, "best guess", "", "next", "probability", "nats"):
        table.add_column(name, justify="left" if name in {"read", "best guess", "next"} else "right")
    for number, found in enumerate(steps.next_tokens):
        done = equations[0][number - 1] if equations and number else []
        values = {one.symbol: show_number(one.value) for one in done}
        token, (guess, probability) = _shown(steps.tokens[number - 1]) if number else "start", found.top[0]
        cost = ["", "", ""]
        if found.actual is not None and found.nats is not None:
            cost = [_shown(found.actual), f"{math.exp(-found.nats):.1%}", f"{found.nats:.3f}"]
        cells = [token, *(values.get(name, "0.000") for name in states), _shown(guess), f"{probability:.1%}", *cost]
        table.add_row(*cells)
    return table


def _shown(token: str) -> str:
    from seqgen.pages.visible import show_invisible

    return show_invisible(token)

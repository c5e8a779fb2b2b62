"""`seqgen inspect gradients`: how far back the gradients of single losses reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.inspect.arguments import (
    CPU_SETTINGS,
    MACHINE,
    ChartsOption,
    MemberOption,
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

from seqgen.errors import ConfigError
from seqgen.pages.chart_file import CHART_SUFFIXES, write_charts
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.inspection.gradients import GradientNorms, Gradients, Target
    from seqgen.runs.text import TextRun

MOST_CHARACTERS = 1_000_000
"""Characters of a text that are encoded; positions are drawn from them."""


@with_settings(CPU_SETTINGS, main=MACHINE)
def gradients(
    runs: RunsArgument = None,
    text: SharedTextOption = None,
    of: Annotated[
        Literal["state", "input"] | None,
        typer.Option(
            help="Gradient with respect to the states, or to the embedded input, which every neural family has.",
            show_default="state; input with a transformer or window",
        ),
    ] = None,
    distance: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Greatest k, in tokens.")] = 100,
    positions: Annotated[int, typer.Option(min=1, metavar="N", help="How many losses, at places of the text.")] = 64,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Add each model with the weights that its training began with.")
    ] = False,
    member: MemberOption = None,
    out: ChartsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Show how far back gradients reach: the norm of d loss_t / d h_(t-k) against k.

    loss_t is the loss of one token; the norm is a geometric mean over positions t.
    The horizon is the first k at which a thousandth of the norm at k = 0 is left.
    An lstm has a norm for h, one for c, and one for both.
    """
    path = check_out(out, CHART_SUFFIXES)
    with exit_on_signal():
        from seqgen.device import torch_threads
        from seqgen.inspection.trace import neural_part, part_name
        from seqgen.runs.run import short_names

    machine = pick(settings, *MACHINE)
    loaded = load_runs(runs, device="cpu", **machine)
    named = [(name, run, neural_part(run, member)) for name, run in zip(short_names(loaded), loaded, strict=True)]
    parts = {part_name(run, part, name): part for name, run, part in named}
    target = of or ("state" if all(_has_state(part) for part in parts.values()) else "input")
    documents = _read(loaded, text, settings, quiet=quiet)
    with torch_threads(machine.get("threads")):
        measured = _measure(parts, documents, target, distance, positions, untrained=untrained, quiet=quiet)
    if (count := measured[0][1].positions) < positions:
        notice(f"the text has only {plural(count, 'position')} with {plural(distance, 'token')} before", quiet=quiet)
    if path is not None:
        from seqgen.pages.charts.gradients import gradients_chart

        write_charts([gradients_chart(measured)], f"Gradients of {', '.join(parts)}", path)
        notice_written(path, quiet=quiet)
    if json:
        write_json({"text": text_name(text), **_as_record(measured, parts, target)})
    elif path is None:
        _print(measured, target, quiet=quiet)


def _has_state(run: TextRun) -> bool:
    from seqgen.models.config import RecurrentConfig

    return isinstance(run.config.model, RecurrentConfig)


def _read(runs: Sequence[TextRun], text: str | None, reading: Mapping[str, Any], *, quiet: bool) -> Sequence[str]:
    """Return the documents that all runs read.

    Raises:
        ConfigError: some of the runs are models of bytes, and others of text.
    """
    first, *others = runs
    for run in others:
        if run.config.data.is_raw != first.config.data.is_raw:
            raise ConfigError(
                f"one of {first.path} and {run.path} is a model of bytes, the other of text; inspect them apart"
            )
        if run.tokenizer.fingerprint != first.tokenizer.fingerprint:
            notice(f"k counts tokens, and {first.path} and {run.path} have different ones", quiet=quiet)
    if text is None and others:
        notice(f"the text is the validation part of {first.path}; choose another with --text", quiet=quiet)
    documents = read_documents(first, text, reading, MOST_CHARACTERS, quiet=quiet)
    note_unknown_tokens(runs, documents, text, quiet=quiet)
    return documents


def _measure(
    parts: dict[str, TextRun],
    documents: Sequence[str],
    target: Target,
    distance: int,
    positions: int,
    *,
    untrained: bool,
    quiet: bool,
) -> list[tuple[str, Gradients]]:
    """Measure each model trained, and untrained if that is wanted, with a bar on a terminal."""
    from seqgen.inspection.gradients import measure_gradients

    work = [
        (name, part, trained) for name, part in parts.items() for trained in ((True, False) if untrained else (True,))
    ]
    measured = []
    with WorkBar("gradients", quiet=quiet, unit="position") as bar:
        for number, (name, part, trained) in enumerate(work):

            def show(done: int, total: int, before: int = number) -> None:
                bar.show(before * total + done, len(work) * total)

            found = measure_gradients(
                part, documents, of=target, distance=distance, positions=positions, trained=trained, progress=show
            )
            measured.append((name, found))
    return measured


def _print(measured: Sequence[tuple[str, Gradients]], target: Target, *, quiet: bool) -> None:
    """Print the table, and on a terminal the chart."""
    from seqgen.cli.chart import print_chart

    from seqgen.pages.charts.gradients import gradients_chart

    console, last = stdout(), measured[0][1].distance
    source = "state" if target == "state" else "embedded input"
    line = f"norm of the gradient of one loss with respect to the {source} k tokens before"
    positions = plural(measured[0][1].positions, "position")
    print_line(console, f"{line}, geometric mean over {positions}, in fp64")
    shown = [0, *([last // 10] if last >= 20 else []), last]
    rows = [_row(name, found, norms, shown) for name, found in measured for norms in found.norms]
    columns = list(rows[0])
    fitted = fit_table(console, columns, rows, figures=columns[3:], left_out_first=[f"k = {k}" for k in shown[1:]])
    console.print(fitted.table)
    for line in dict.fromkeys(_remarks(measured)):
        print_line(console, printable(line))
    if fitted.left_out:
        notice(f"not shown at this width: {', '.join(fitted.left_out)}; --json has everything", quiet=quiet)
    if console.is_terminal:
        console.print()
        print_chart(console, gradients_chart(measured))


def _row(name: str, found: Gradients, norms: GradientNorms, shown: Sequence[int]) -> dict[str, str]:
    """Return the cells of a row, with the norms at the distances that are shown."""
    from seqgen.pages.charts.gradients import describe_source

    return {
        "run": printable(name),
        "weights": "trained" if found.trained else "untrained",
        "of": describe_source(found, norms),
        **{f"k = {k}": f"{norms.mean[k]:.2g}" for k in shown},
        "factor": "-" if norms.decay is None else f"{norms.decay:.3g}",
        "horizon": f"> {found.distance:,}" if norms.horizon is None else f"{norms.horizon:,}",
    }


def _remarks(measured: Sequence[tuple[str, Gradients]]) -> Iterator[str]:
    """Yield what the table has no room for: the bias of gates before training, and fits that end before a norm of 0."""
    from seqgen.pages.charts.gradients import describe_source, describe_weights

    for name, found in measured:
        if not found.trained and found.gate_bias:
            yield f"{name}: {describe_weights(found)}"
        for norms in found.norms:
            last = norms.fit_range[1]
            if norms.decay is not None and last < found.distance:
                yield f"{name}, {describe_source(found, norms)}: fitted up to k = {last:,}, after which norms are 0"


def _as_record(measured: Sequence[tuple[str, Gradients]], parts: dict[str, TextRun], target: Target) -> dict[str, Any]:
    """Return the norms and what is fitted to them, by run."""
    from seqgen.pages.charts.gradients import SPREAD

    return {
        "of": target,
        "distance": measured[0][1].distance,
        "positions": measured[0][1].positions,
        "runs": [
            {
                "run": str(parts[name].path),
                "cell": found.cell,
                "trained": found.trained,
                "gate_bias": found.gate_bias,
                "clip_norm": found.clip_norm,
                "norms": [
                    {
                        "of": norms.of,
                        "horizon": norms.horizon,
                        "factor_per_token": norms.decay,
                        "fitted_from": norms.fit_range[0],
                        "fitted_to": norms.fit_range[1],
                        "mean": norms.mean.tolist(),
                        "low": norms.quantile(SPREAD[0]).tolist(),
                        "high": norms.quantile(SPREAD[1]).tolist(),
                    }
                    for norms in found.norms
                ],
            }
            for name, found in measured
        ],
    }

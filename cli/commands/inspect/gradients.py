"""`seqgen inspect gradients`: how far back the gradients of single losses reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.inspect.arguments import (
    CHART_SUFFIXES,
    MemberOption,
    RunsArgument,
    SharedTextOption,
    check_out,
    load_runs,
    read_documents,
)
from seqgen.cli.options import JsonOption, QuietOption, machine_settings, with_settings
from seqgen.cli.output import notice, notice_written, printable, stdout, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.config import EVALUATION
from seqgen.errors import ConfigError
from seqgen.pages.chart_file import write_charts
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.table import Table

    from seqgen.inspection.gradients import GradientNorms, Gradients, Target
    from seqgen.runs.text import TextRun

SETTINGS = {"threads": machine_settings(EVALUATION)["threads"]}
MOST_CHARACTERS = 1_000_000
"""Characters of a text that are encoded; positions are drawn from them."""


@with_settings(SETTINGS, main=("threads",))
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
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the chart: a page, OUT.html, or a picture, .png or .svg.")
    ] = None,
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

    loaded = load_runs(runs, device="cpu")
    named = [(name, run, neural_part(run, member)) for name, run in zip(short_names(loaded), loaded, strict=True)]
    parts = {part_name(run, part, name): part for name, run, part in named}
    target = of or ("state" if all(_has_state(part) for part in parts.values()) else "input")
    documents = _read(loaded, text, quiet=quiet)
    with torch_threads(settings.get("threads")):
        measured = _measure(parts, documents, target, distance, positions, untrained=untrained, quiet=quiet)
    if (count := measured[0][1].positions) < positions:
        notice(f"the text has only {plural(count, 'position')} with {distance} tokens before", quiet=quiet)
    if path is not None:
        from seqgen.pages.charts.gradients import gradients_chart

        write_charts([gradients_chart(measured)], f"Gradients of {', '.join(parts)}", path)
        notice_written(path, quiet=quiet)
    if json:
        write_json(_as_record(measured, parts, target))
    elif path is None:
        _print(measured, target)


def _has_state(run: TextRun) -> bool:
    from seqgen.models.config import RecurrentConfig

    return isinstance(run.config.model, RecurrentConfig)


def _read(runs: Sequence[TextRun], text: str | None, *, quiet: bool) -> Sequence[str]:
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
    return read_documents(first, text, MOST_CHARACTERS, quiet=quiet)


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


def _print(measured: Sequence[tuple[str, Gradients]], target: Target) -> None:
    """Print the table, and on a terminal the chart."""
    from seqgen.cli.chart import print_chart

    from seqgen.pages.charts.gradients import gradients_chart

    console, first = stdout(), measured[0][1]
    source = "state" if target == "state" else "embedded input"
    line = f"norm of the gradient of one loss with respect to the {source} k tokens before"
    console.print(f"{line}, geometric mean over {plural(first.positions, 'position')}, in fp64", soft_wrap=True)
    console.print(_table(measured))
    if console.is_terminal:
        console.print()
        print_chart(console, gradients_chart(measured))


def _table(measured: Sequence[tuple[str, Gradients]]) -> Table:
    from rich.table import Table

    from seqgen.pages.charts.gradients import describe_source, describe_weights

    last = measured[0][1].distance
    table = Table(box=None, pad_edge=False)
    for name in ("run", "weights", "of"):
        table.add_column(name)
    for name in ("k = 0", *([f"k = {last // 10}"] if last >= 20 else []), f"k = {last}", "factor per token", "horizon"):
        table.add_column(name, justify="right")
    for name, found in measured:
        for norms in found.norms:
            shown = [0, *([last // 10] if last >= 20 else []), last]
            figures = (f"{norms.mean[k]:.2g}" for k in shown)
            table.add_row(
                printable(name), describe_weights(found), describe_source(found, norms), *figures, _factor(norms),
                f"more than {last:,}" if norms.horizon is None else f"{norms.horizon:,}",
            )  # fmt: skip
    return table


def _factor(norms: GradientNorms) -> str:
    """Return the fitted factor, with the range of the fit where it ends before a norm of 0."""
    if norms.decay is None:
        return "-"
    last = norms.fit_range[1]
    return f"{norms.decay:.3g}" + (f" up to k = {last}" if last < len(norms.mean) - 1 else "")


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

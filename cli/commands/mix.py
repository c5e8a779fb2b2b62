"""`seqgen mix`: make one model of several trained runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import PhaseBar
from seqgen.cli.options import JsonOption, QuietOption, machine_settings, with_settings
from seqgen.cli.output import notice, printable, stderr, write_json
from seqgen.cli.signals import exit_on_signal
from seqgen.cli.training_lines import mixed_table

from seqgen.config import RUN, settings_of
from seqgen.data.config import DataConfig
from seqgen.runs.config import RunOptions
from seqgen.utils.progress import silent
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.mixtures.record import MixtureRecord

SETTINGS = {
    "out": settings_of(RunOptions)["out"]._replace(shown="runs/<text>-<cells>"),
    "valid": settings_of(DataConfig)["valid"]._replace(
        description="Text that sets the weights, from which no run has learned.",
        shown="the part that the runs withhold",
        group=RUN,
    ),
    **machine_settings(RUN),
}


@with_settings(SETTINGS, main=list(SETTINGS))
def mix(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Directories of two trained runs or more.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Mix trained runs into one model: the weighted mean of their probabilities.

    The runs share a tokenizer, and are copied. Their weights are set on a text that none of them has learned from.
    """
    with exit_on_signal():
        from seqgen.runs.directory import RunDirectory
        from seqgen.runs.mixtures.mix import mix as mix_runs

    bar = PhaseBar(stderr())
    notices: list[str] = []
    try:
        run = mix_runs(runs, report=silent if quiet else bar.show, notify=notices.append, **settings)
    finally:
        bar.stop()
    for message in notices:
        notice(message, quiet=quiet)
    record = RunDirectory(run.path).read_mixture()
    if json:
        write_json({"run": str(run.path), **record.model_dump()})
    elif not quiet:
        _print(str(run.path), record)
    notice(f"sample from it: seqgen sample --run {run.path}", quiet=quiet)


def _print(name: str, record: MixtureRecord) -> None:
    console = stderr()
    source = "a validation file" if record.split == "none" else "the withheld part"
    console.print(printable(f"{name}: weights set on {plural(record.tokens, 'token')} of {source}"), soft_wrap=True)
    console.print(mixed_table(record.model_dump()["members"], record.bits_per_byte, record.nats_per_token))
